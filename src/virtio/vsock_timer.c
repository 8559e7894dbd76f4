/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a vsock device does a little later.
 *
 * Used tx buffers. The driver frees them and has nothing else to do with them, so in a
 * conversation an interrupt for each is half of all interrupts, for nothing. They are
 * told with the next packet to the guest, when a quarter of the queue waits, or TX_MS
 * after the first; but with TX_BYTES at once: Linux counts them against the sender's
 * SO_SNDBUF, 208 KiB, where three packets of 64 KiB find room. (Told with four, a guest
 * sent a third as fast.)
 *
 * Asking for credit. A guest that is asked whenever it has none left answers each time
 * with the little it has just read, and a stream falls apart into small pieces. Linux
 * speaks up by itself (when three quarters are free, or nothing is left to be read);
 * who does not is asked after ASK_MS.
 */
#include "virtio/vsock_conn.h"

#include <stdlib.h>

enum { TX_MS = 2, TX_BYTES = 128 << 10, ASK_MS = 50 };

struct mv_vsock_timers {
    uv_timer_t tx, ask;
    unsigned open;
};

void mv_vsock_signal_rx(struct mv_vsock *v)
{
    const struct mv_vq *tx = &v->dev.vq[MV_VSOCK_TX];
    mv_vdev_signal_with(&v->dev, MV_VSOCK_RX, MV_VSOCK_TX);
    if (tx->live && tx->used_at == tx->signalled_at) {
        v->tx_bytes = 0;
        (void)uv_timer_stop(&v->timers->tx);
    }
}

static void timer_tx(uv_timer_t *timer)
{
    struct mv_vsock *v = timer->data;
    v->tx_bytes = 0;
    mv_vdev_signal(&v->dev, MV_VSOCK_TX);
}

static void timer_ask(uv_timer_t *timer)
{
    struct mv_vsock *v = timer->data;
    for (unsigned i = 0; i < v->made; i++) {
        struct mv_vsock_conn *c = &v->conn[i];
        if (!c->keyed || c->life != MV_CONN_OPEN || c->asked || !c->readable ||
            c->read_ended || mv_conn_can_send(c))
            continue;
        c->asked = true;
        c->owed |= MV_OWE_ASK;
        mv_conn_list(v, c);
    }
    mv_vsock_pump(v);
}

int mv_vsock_timers_open(struct mv_vsock *v, microvm_error *err)
{
    struct mv_vsock_timers *t = calloc(1, sizeof *t);
    if (!t)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "%s: no memory", v->dev.name);
    (void)uv_timer_init(&v->dev.host.loop->uv, &t->tx); /* they cannot fail */
    (void)uv_timer_init(&v->dev.host.loop->uv, &t->ask);
    t->open = 2;
    t->tx.data = t->ask.data = v;
    v->timers = t;
    return 0;
}

static void timer_closed(uv_handle_t *handle)
{
    struct mv_vsock_timers *t = handle->data;
    if (--t->open == 0)
        free(t);
}

void mv_vsock_timers_close(struct mv_vsock *v)
{
    struct mv_vsock_timers *t = v->timers;
    if (!t)
        return;
    t->tx.data = t->ask.data = t;
    uv_close((uv_handle_t *)&t->tx, timer_closed);
    uv_close((uv_handle_t *)&t->ask, timer_closed);
    v->timers = NULL;
}

void mv_vsock_timers_stop(struct mv_vsock *v)
{
    (void)uv_timer_stop(&v->timers->tx);
    (void)uv_timer_stop(&v->timers->ask);
}

/* The loop's own idea of the time is as old as this turn, which is near enough. */
static void timer_start(uv_timer_t *timer, uv_timer_cb fn, uint64_t ms)
{
    if (!uv_is_active((const uv_handle_t *)timer))
        (void)uv_timer_start(timer, fn, ms, 0);
}

void mv_vsock_signal_tx(struct mv_vsock *v)
{
    const struct mv_vq *vq = &v->dev.vq[MV_VSOCK_TX];
    uint16_t untold = (uint16_t)(vq->used_at - vq->signalled_at);
    if (!vq->live || untold == 0)
        return;
    if (untold >= vq->config.size / 4 || v->tx_bytes >= TX_BYTES)
        timer_tx(&v->timers->tx);
    else
        timer_start(&v->timers->tx, timer_tx, TX_MS);
}

void mv_vsock_ask_later(struct mv_vsock *v)
{
    timer_start(&v->timers->ask, timer_ask, ASK_MS);
}
