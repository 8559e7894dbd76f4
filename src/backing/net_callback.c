/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The application as the network: two rings of frames under one lock, one for each
 * direction, so that neither side ever waits for the other unless it asked to. When the
 * guest's ring is full the guest waits, as on every network that is slower than it;
 * nothing is lost.
 */
#include "backing/net_callback.h"

#include "backing/net_impl.h"
#include "os/error.h"
#include "os/notify.h"
#include "util/bytes.h"

#include <stdlib.h>

enum {
    /* Three frames of the largest size, or 170 of the usual: keeps a guest busy for the
     * time an application's thread takes to wake up. */
    RING_BYTES = 256 << 10,
    LENGTH_BYTES = 4
};

/* Frames with their lengths before them. */
struct ring {
    size_t start, used;
    uint8_t data[RING_BYTES];
};

struct callback {
    struct mv_net net;
    struct mv_loop *loop;
    struct mv_call readable, writable;
    uv_mutex_t lock; /* what follows */
    uv_cond_t changed;
    struct mv_notify arrived; /* signalled while to_host holds frames */
    bool listening, full;     /* the guest listens; it waits for room in to_host */
    bool ended;
    struct ring to_guest, to_host;
};

static struct callback *callback_of(struct mv_net *net)
{
    return MV_CONTAINER(net, struct callback, net);
}

/* -- rings -- */

static void ring_put(struct ring *r, const void *from, size_t length)
{
    size_t end = (r->start + r->used) % RING_BYTES;
    size_t n = MV_MIN(length, RING_BYTES - end);
    memcpy(r->data + end, from, n);
    memcpy(r->data, (const uint8_t *)from + n, length - n);
    r->used += length;
}

static void ring_take(struct ring *r, void *to, size_t length)
{
    size_t n = MV_MIN(length, RING_BYTES - r->start);
    memcpy(to, r->data + r->start, n);
    memcpy((uint8_t *)to + n, r->data, length - n);
    r->start = (r->start + length) % RING_BYTES;
    r->used -= length;
}

static bool ring_has_room(const struct ring *r, size_t length)
{
    return RING_BYTES - r->used >= LENGTH_BYTES + length;
}

static void ring_put_length(struct ring *r, size_t length)
{
    uint8_t raw[LENGTH_BYTES];
    mv_store32(raw, (uint32_t)length);
    ring_put(r, raw, sizeof raw);
}

/* The length of the next frame, which begins after it. The ring is not empty. */
static size_t ring_length(const struct ring *r)
{
    uint8_t raw[LENGTH_BYTES];
    for (size_t i = 0; i < sizeof raw; i++)
        raw[i] = r->data[(r->start + i) % RING_BYTES];
    return mv_load32(raw);
}

static void ring_skip_length(struct ring *r)
{
    r->start = (r->start + LENGTH_BYTES) % RING_BYTES;
    r->used -= LENGTH_BYTES;
}

/* -- the guest's end, on the loop -- */

static size_t callback_receive(struct mv_net *net, const struct mv_span *span,
                               unsigned spans)
{
    struct callback *c = callback_of(net);
    struct ring *r = &c->to_guest;
    size_t length = 0;
    (void)spans; /* they hold every frame */
    uv_mutex_lock(&c->lock);
    if (r->used > 0) {
        length = ring_length(r);
        ring_skip_length(r);
        for (size_t left = length; left > 0; span++) {
            size_t n = MV_MIN(span->length, left);
            ring_take(r, span->base, n);
            left -= n;
        }
        uv_cond_broadcast(&c->changed);
    }
    uv_mutex_unlock(&c->lock);
    return length;
}

static bool callback_send(struct mv_net *net, const struct mv_span *span,
                          unsigned spans, size_t length)
{
    struct callback *c = callback_of(net);
    struct ring *r = &c->to_host;
    uv_mutex_lock(&c->lock);
    bool room = ring_has_room(r, length);
    if (room) {
        if (r->used == 0)
            mv_notify_signal(&c->arrived);
        ring_put_length(r, length);
        for (unsigned i = 0; i < spans; i++)
            ring_put(r, span[i].base, span[i].length);
        uv_cond_broadcast(&c->changed);
    } else {
        c->full = true;
    }
    uv_mutex_unlock(&c->lock);
    return room;
}

static void callback_listen(struct mv_net *net, bool on)
{
    struct callback *c = callback_of(net);
    uv_mutex_lock(&c->lock);
    c->listening = on;
    bool waiting = c->to_guest.used > 0;
    uv_mutex_unlock(&c->lock);
    if (on && waiting)
        mv_loop_post(c->loop, &c->readable);
}

static void callback_readable(void *arg)
{
    struct callback *c = arg;
    uv_mutex_lock(&c->lock);
    bool wanted = c->listening && c->to_guest.used > 0;
    uv_mutex_unlock(&c->lock);
    if (!wanted)
        return;
    c->net.user.readable(c->net.user.device);
    mv_loop_post(c->loop, &c->readable); /* to look once more */
}

static void callback_writable(void *arg)
{
    struct callback *c = arg;
    if (c->net.user.writable)
        c->net.user.writable(c->net.user.device);
}

static void callback_close(struct mv_net *net)
{
    struct callback *c = callback_of(net);
    mv_loop_cancel(c->loop, &c->readable);
    mv_loop_cancel(c->loop, &c->writable);
    mv_notify_close(&c->arrived);
    uv_cond_destroy(&c->changed);
    uv_mutex_destroy(&c->lock);
    free(c);
}

static const struct mv_net_ops callback_ops = {.name = "callback",
                                               .receive = callback_receive,
                                               .send = callback_send,
                                               .listen = callback_listen,
                                               .close = callback_close};

bool mv_net_is_callback(const struct mv_net *net)
{
    return net->ops == &callback_ops;
}

/* -- the application's end, any thread -- */

/* Waits for a change with the lock held; false when the time is over. */
static bool callback_wait(struct callback *c, int64_t timeout_ms, uint64_t since_ns)
{
    if (timeout_ms < 0) {
        uv_cond_wait(&c->changed, &c->lock);
        return true;
    }
    uint64_t limit_ns = (uint64_t)MV_MIN(timeout_ms, INT32_MAX * 1000ll) * 1000000;
    uint64_t passed_ns = timeout_ms ? uv_hrtime() - since_ns : 0;
    if (passed_ns >= limit_ns)
        return false;
    (void)uv_cond_timedwait(&c->changed, &c->lock, limit_ns - passed_ns);
    return true;
}

static int callback_ended(microvm_error *err)
{
    return mv_fail(err, MICROVM_E_NOT_RUNNING, "net: the machine is at its end");
}

int mv_net_callback_send(struct mv_net *net, const void *frame, size_t length,
                         int64_t timeout_ms, microvm_error *err)
{
    struct callback *c = callback_of(net);
    uint64_t since_ns = timeout_ms ? uv_hrtime() : 0;
    bool in_time = true;
    if (length < MV_NET_FRAME_MIN || length > MV_NET_FRAME_MAX)
        return mv_fail(err, MICROVM_E_INVALID,
                       "net: a frame of %zu bytes; it can have %d to %d", length,
                       MV_NET_FRAME_MIN, MV_NET_FRAME_MAX);
    uv_mutex_lock(&c->lock);
    while (!c->ended && in_time && !ring_has_room(&c->to_guest, length))
        in_time = callback_wait(c, timeout_ms, since_ns);
    bool ended = c->ended, first = c->to_guest.used == 0;
    if (!ended && in_time) {
        ring_put_length(&c->to_guest, length);
        ring_put(&c->to_guest, frame, length);
    }
    uv_mutex_unlock(&c->lock);
    if (ended)
        return callback_ended(err);
    if (!in_time)
        return mv_fail(err, MICROVM_E_TIMEOUT, "net: no room for a frame in %lld ms",
                       (long long)timeout_ms);
    if (first)
        mv_loop_post(c->loop, &c->readable);
    return 0;
}

/* Takes the frame that waits; the lock is held. */
static int64_t callback_take(struct callback *c, void *frame, size_t capacity,
                             microvm_error *err)
{
    struct ring *r = &c->to_host;
    size_t length = ring_length(r);
    if (length > capacity)
        return mv_fail(err, MICROVM_E_INVALID,
                       "net: the frame has %zu bytes and there is room for %zu", length,
                       capacity);
    ring_skip_length(r);
    ring_take(r, frame, length);
    if (r->used == 0 && !c->ended)
        mv_notify_clear(&c->arrived);
    if (c->full)
        mv_loop_post(c->loop, &c->writable);
    c->full = false;
    return (int64_t)length;
}

int64_t mv_net_callback_receive(struct mv_net *net, void *frame, size_t capacity,
                                int64_t timeout_ms, microvm_error *err)
{
    struct callback *c = callback_of(net);
    uint64_t since_ns = timeout_ms ? uv_hrtime() : 0;
    bool in_time = true;
    int64_t rc;
    uv_mutex_lock(&c->lock);
    while (!c->ended && in_time && c->to_host.used == 0)
        in_time = callback_wait(c, timeout_ms, since_ns);
    if (c->to_host.used > 0)
        rc = callback_take(c, frame, capacity, err);
    else if (c->ended)
        rc = callback_ended(err);
    else
        rc = mv_fail(err, MICROVM_E_TIMEOUT, "net: no frame in %lld ms",
                     (long long)timeout_ms);
    uv_mutex_unlock(&c->lock);
    return rc;
}

intptr_t mv_net_callback_handle(const struct mv_net *net)
{
    const struct callback *c = (const void *)net; /* its first member */
    return c->arrived.handle;
}

void mv_net_callback_end(struct mv_net *net)
{
    struct callback *c = callback_of(net);
    uv_mutex_lock(&c->lock);
    c->ended = true;
    uv_cond_broadcast(&c->changed);
    mv_notify_signal(&c->arrived);
    uv_mutex_unlock(&c->lock);
}

static int callback_sync_open(struct callback *c, microvm_error *err)
{
    int rc = uv_mutex_init(&c->lock);
    if (rc)
        return mv_fail_uv(err, rc, "net 'callback'");
    rc = uv_cond_init(&c->changed);
    if (rc) {
        uv_mutex_destroy(&c->lock);
        return mv_fail_uv(err, rc, "net 'callback'");
    }
    rc = mv_notify_open(&c->arrived, err);
    if (rc) {
        uv_cond_destroy(&c->changed);
        uv_mutex_destroy(&c->lock);
    }
    return rc;
}

int mv_net_callback_open(const struct mv_net_config *config, struct mv_loop *loop,
                         const struct mv_log *log, struct mv_net **out,
                         microvm_error *err)
{
    struct callback *c = calloc(1, sizeof *c);
    (void)config;
    (void)log;
    if (!c)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "net 'callback': no memory");
    int rc = callback_sync_open(c, err);
    if (rc) {
        free(c);
        return rc;
    }
    c->net.ops = &callback_ops;
    c->net.link = true;
    c->loop = loop;
    c->readable = (struct mv_call){.fn = callback_readable, .arg = c};
    c->writable = (struct mv_call){.fn = callback_writable, .arg = c};
    *out = &c->net;
    return 0;
}
