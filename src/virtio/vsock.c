/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Socket device, virtio 1.2, 5.10: connections between ports of the guest and sockets
 * of the host, streams and messages (SOCK_SEQPACKET, where the host has such sockets),
 * with credit in both directions, so that a slow end slows down its own connection and
 * nobody else. vsock_conn.h says how connections work and which file has which part.
 *
 * A snapshot has no connections: the guest is told by a TRANSPORT_RESET event
 * (5.10.6.7) that they are gone, and reads its CID again, which may be another one.
 *
 * Deliberately absent: datagrams, which Linux does not have either; SEQ_EOR, which the
 * host's sockets could not say; empty messages, which read like the end there.
 */
#include "virtio/devices.h"
#include "virtio/vsock_conn.h"

#include <stdlib.h>

#define VSOCK_F_STREAM (1ull << 0) /* 5.10.3; SEQPACKET is in vsock_conn.h */

enum {
    VSOCK_ID = 19,
    VSOCK_QUEUE_SIZE = 256,
    VSOCK_CONFIG_BYTES = 8, /* guest_cid: 5.10.4 */
    VSOCK_TRANSPORT_RESET = 0,
    VSOCK_EVENT_BYTES = 4
};

static void vsock_turned(void *ctx)
{
    mv_vsock_pump(ctx);
}

/* -- the event queue -- */

static void vsock_send_event(struct mv_vsock *v)
{
    struct mv_chain chain;
    uint8_t event[VSOCK_EVENT_BYTES];
    mv_store32(event, VSOCK_TRANSPORT_RESET);
    if (!v->reset_event)
        return;
    while (!mv_vdev_pop(&v->dev, MV_VSOCK_EVENT, &chain)) {
        if (!mv_vq_listen(&v->dev.vq[MV_VSOCK_EVENT]))
            return; /* a kick comes with the next buffer */
    }
    size_t n = mv_chain_write(&chain, 0, event, sizeof event);
    mv_vq_push(&v->dev.vq[MV_VSOCK_EVENT], chain.head, (uint32_t)n);
    v->reset_event = false;
    mv_vdev_signal(&v->dev, MV_VSOCK_EVENT);
}

/* -- the device's life -- */

static void vsock_kick(struct mv_vdev *dev, unsigned q)
{
    struct mv_vsock *v = mv_vsock_of(dev);
    if (q == MV_VSOCK_EVENT)
        vsock_send_event(v);
    if (q == MV_VSOCK_TX)
        mv_vsock_transmit(v);
    mv_vsock_pump(v);
}

static int vsock_start(struct mv_vdev *dev)
{
    struct mv_vsock *v = mv_vsock_of(dev);
    struct mv_vq *tx = &dev->vq[MV_VSOCK_TX];
    uint8_t cid[VSOCK_CONFIG_BYTES];
    mv_store64(cid, v->cid);
    if (memcmp(dev->config, cid, sizeof cid)) /* loaded from a machine with another */
        mv_vdev_set_config(dev, 0, cid, sizeof cid);
    mv_vq_hush(&dev->vq[MV_VSOCK_RX]);
    v->tx_waits = false;
    tx->signalled_at = (uint16_t)(tx->used_at - v->tx_untold);
    mv_vsock_signal_tx(v);
    if (v->made > 0) /* who was to be asked before a stop */
        mv_vsock_ask_later(v);
    if (dev->vq[MV_VSOCK_RX].live && dev->vq[MV_VSOCK_TX].live)
        v->host.ready(v->host.ctx);
    return 0;
}

static void vsock_stop(struct mv_vdev *dev)
{
    struct mv_vsock *v = mv_vsock_of(dev);
    mv_vsock_timers_stop(v);
    mv_vsock_unstash(v);
    const struct mv_vq *tx = &dev->vq[MV_VSOCK_TX];
    v->tx_untold = tx->live ? (uint16_t)(tx->used_at - tx->signalled_at) : 0;
}

static void vsock_reset(struct mv_vdev *dev)
{
    struct mv_vsock *v = mv_vsock_of(dev);
    v->resets = v->reset_at = 0;
    v->tx_untold = 0;
    v->tx_waits = v->reset_event = false;
    mv_conn_unkey_all(v);
}

static void vsock_save(const struct mv_vdev *dev, struct mv_writer *w)
{
    const struct mv_vsock *v = (const void *)dev; /* its first member */
    mv_put16(w, v->tx_untold);
}

static int vsock_load(struct mv_vdev *dev, struct mv_reader *r, uint32_t version,
                      microvm_error *err)
{
    (void)version;
    (void)err;
    struct mv_vsock *v = mv_vsock_of(dev);
    uint16_t untold = mv_get16(r);
    if (r->failed)
        return 0;
    v->tx_untold = untold;
    v->reset_event = true; /* no connection was saved */
    return 0;
}

static void vsock_close(struct mv_vdev *dev)
{
    struct mv_vsock *v = mv_vsock_of(dev);
    if (v->conn)
        mv_conn_close_all(v);
    mv_watch_close(v->watches);
    mv_vsock_timers_close(v);
    mv_vsock_pool_close(&v->pool);
    free(v->conn);
}

/* -- the host's end -- */

static enum mv_vsock_dialling vsock_dial(void *device, microvm_socket_type type,
                                         uint32_t port, void *dial)
{
    struct mv_vsock *v = device;
    if (v->dev.life == MV_VDEV_IDLE && !v->dev.vq[MV_VSOCK_TX].live)
        return MV_VSOCK_NOT_YET;
    if (mv_vdev_status(&v->dev) & MV_STATUS_NEEDS_RESET)
        return MV_VSOCK_NOT_YET;
    if (!mv_vsock_has(v, (uint16_t)type))
        return MV_VSOCK_UNABLE;
    struct mv_vsock_conn *c = mv_conn_new(v, type, port, mv_conn_new_port(v, port));
    if (!c)
        return MV_VSOCK_FULL;
    c->life = MV_CONN_DIALLING;
    c->dial = dial;
    c->owed = MV_OWE_REQUEST;
    mv_conn_list(v, c);
    mv_bell_ring(&v->dev.bell[MV_VSOCK_RX]); /* heard when it is live */
    return MV_VSOCK_DIALLED;
}

static void vsock_hang_up(void *device, void *dial)
{
    struct mv_vsock *v = device;
    for (unsigned i = 0; i < v->made; i++) {
        struct mv_vsock_conn *c = &v->conn[i];
        if (!c->keyed || c->life != MV_CONN_DIALLING || c->dial != dial)
            continue;
        c->dial = NULL;
        mv_conn_abort(v, c);
        mv_bell_ring(&v->dev.bell[MV_VSOCK_RX]);
        return;
    }
}

void mv_vsock_end(struct mv_vdev *dev)
{
    mv_conn_unkey_all(mv_vsock_of(dev));
}

void mv_vsock_counts(const struct mv_vdev *dev, uint64_t *connections,
                     uint64_t *out_bytes, uint64_t *in_bytes)
{
    const struct mv_vsock *v = (const void *)dev; /* its first member */
    *connections = v->connections;
    *out_bytes = v->out_bytes;
    *in_bytes = v->in_bytes;
}

static const struct mv_vdev_class vsock_class = {
    .name = "virtio-vsock",
    .id = VSOCK_ID,
    .queues = MV_VSOCK_QUEUES,
    .queue_size = VSOCK_QUEUE_SIZE,
    .config_size = VSOCK_CONFIG_BYTES,
    .live_size = VSOCK_CONFIG_BYTES,
    .state_version = 1,
    .together = true, /* an answer goes with the question's used buffer */
    .close = vsock_close,
    .start = vsock_start,
    .kick = vsock_kick,
    .stop = vsock_stop,
    .reset = vsock_reset,
    .save = vsock_save,
    .load = vsock_load,
};

static int vsock_open_parts(struct mv_vsock *v, microvm_error *err)
{
    int rc = mv_vsock_pool_open(&v->pool, err);
    if (rc)
        return rc;
    v->conn = calloc(MV_VSOCK_SLOTS, sizeof *v->conn);
    if (!v->conn)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "%s: no memory for connections",
                       v->dev.name);
    v->slots_left = MV_VSOCK_SLOTS;
    rc = mv_vsock_timers_open(v, err);
    return rc ? rc : mv_watch_open(v->dev.host.loop, vsock_turned, v, &v->watches, err);
}

int mv_vsock_open(const struct mv_vdev_host *host, uint64_t cid,
                  const struct mv_vsock_host *ports, struct mv_vsock_user *user,
                  struct mv_vdev **out, microvm_error *err)
{
    struct mv_vdev *dev;
    int rc = mv_vdev_open(&vsock_class, sizeof(struct mv_vsock), NULL, host, &dev, err);
    if (rc)
        return rc;
    struct mv_vsock *v = mv_vsock_of(dev);
    v->host = *ports;
    v->cid = cid;
    rc = vsock_open_parts(v, err);
    if (rc) {
        mv_vdev_close(dev);
        return rc;
    }
    dev->features |= VSOCK_F_STREAM;
    if (!mv_socket_has(MICROVM_SOCKET_SEQPACKET, NULL))
        dev->features |= MV_VSOCK_F_SEQPACKET;
    mv_store64(dev->config, cid);
    *user = (struct mv_vsock_user){vsock_dial, vsock_hang_up, v};
    *out = dev;
    return 0;
}
