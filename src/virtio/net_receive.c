/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Frames to the guest. The backing writes each frame straight into the receive buffers
 * that come next; with mergeable buffers (5.1.6.4) as many as it needs, whose number
 * goes into its header afterwards. Behind the guest's buffers each receive has `spill`,
 * memory of ours: so no frame is ever cut, and none has to be measured before.
 *
 * Who listens to whom: while there are buffers the device listens to the backing and
 * the driver's kicks are not wanted; when they run out it is the other way round.
 */
#include "virtio/net_impl.h"

#include "util/assert.h"

enum {
    /* Frames that are taken before the loop's other work has its turn. */
    RECEIVE_BATCH = 64,
    /* A turn of the loop takes some microseconds: a frame that follows so soon on the
     * last one has waited already. */
    RECEIVE_SOON_NS = 20000
};

static bool receive_merges(const struct net *net)
{
    return net->dev.negotiated & NET_F_MRG_RXBUF;
}

/* What the backing's frames lack before them. */
static size_t receive_skip(const struct net *net)
{
    return net->backing->header ? 0 : MV_NET_HEADER_BYTES;
}

/* -- the window -- */

static void window_close_gap(struct net_window *w)
{
    if (w->first == 0)
        return;
    memmove(w->buffer, w->buffer + w->first, w->buffers * sizeof w->buffer[0]);
    memmove(w->span, w->span + w->first_span, w->spans * sizeof w->span[0]);
    w->first = w->first_span = 0;
    w->full = false;
}

/* One more buffer; false: the driver has no more, or has failed, or there is no place
 * for its spans. */
static bool window_add(struct net *net)
{
    struct net_window *w = &net->window;
    struct mv_chain chain;
    if (!mv_vdev_pop(&net->dev, NET_RECEIVE, &chain))
        return false;
    if (chain.write_bytes < MV_NET_HEADER_BYTES) {
        mv_vdev_fail(&net->dev, "a receive buffer without room for a header");
        return false;
    }
    if (w->spans + chain.writable > NET_WINDOW_SPANS) {
        w->full = true;
        mv_vq_unpop(&net->dev.vq[NET_RECEIVE]);
        return false;
    }
    memcpy(w->span + w->spans, chain.span + chain.readable,
           chain.writable * sizeof chain.span[0]);
    w->buffer[w->buffers++] =
        (struct net_buffer){chain.head, chain.writable, chain.write_bytes};
    w->spans += chain.writable;
    w->bytes += chain.write_bytes;
    return true;
}

static void window_fill(struct net *net)
{
    struct net_window *w = &net->window;
    if (w->bytes >= NET_ROOM)
        return;
    window_close_gap(w);
    while (w->buffers < NET_QUEUE_SIZE && w->bytes < 2 * NET_ROOM && window_add(net))
        ;
}

/* The first buffer is the driver's again when this has been published. */
static void window_use(struct net *net, uint32_t written)
{
    struct net_window *w = &net->window;
    const struct net_buffer *buffer = &w->buffer[w->first];
    mv_vq_fill(&net->dev.vq[NET_RECEIVE], buffer->head, written);
    w->first++;
    w->buffers--;
    w->first_span += buffer->spans;
    w->spans -= buffer->spans;
    w->bytes -= buffer->bytes;
}

/* The spans of the window that one frame may fill, in *count, and what they hold: of
 * all buffers, or of the first. */
static uint32_t window_room(const struct net *net, unsigned *count)
{
    const struct net_window *w = &net->window;
    unsigned spans = 0, buffers = receive_merges(net) ? w->buffers : 1;
    uint32_t bytes = 0;
    for (unsigned i = 0; i < buffers && bytes < NET_ROOM; i++) {
        spans += w->buffer[w->first + i].spans;
        bytes += w->buffer[w->first + i].bytes;
    }
    *count = spans;
    return bytes;
}

/* Copies to the window's beginning plus `offset`. */
static void window_write(struct net *net, size_t offset, const uint8_t *from,
                         size_t length)
{
    const struct mv_span *span = net->window.span + net->window.first_span;
    for (; length > 0; span++) {
        if (offset >= span->length) {
            offset -= span->length;
            continue;
        }
        size_t n = MV_MIN(span->length - offset, length);
        memcpy((uint8_t *)span->base + offset, from, n);
        from += n;
        length -= n;
        offset = 0;
    }
}

/* -- frames -- */

/* The frame's destination, from the guest's memory, where it just went: a driver that
 * changes it there fools its own filter. */
static bool receive_wanted(const struct net *net)
{
    const struct mv_span *span = net->window.span + net->window.first_span;
    uint8_t mac[NET_MAC_BYTES];
    size_t at = 0, skip = MV_NET_HEADER_BYTES;
    if (net->filter.promiscuous)
        return true;
    for (; at < sizeof mac; span++) {
        for (; skip < span->length && at < sizeof mac; skip++)
            mac[at++] = ((const uint8_t *)span->base)[skip];
        skip -= MV_MIN(skip, span->length);
    }
    return net_filter_wants(net, mac);
}

/* Writes what is missing of the header; `length` with it. */
static void receive_push(struct net *net, size_t length)
{
    struct net_window *w = &net->window;
    static const uint8_t plain[MV_NET_HEADER_BYTES];
    uint8_t number[2];
    uint16_t buffers = 0;
    for (size_t bytes = 0; bytes < length; buffers++)
        bytes += w->buffer[w->first + buffers].bytes;
    if (!net->backing->header)
        window_write(net, 0, plain, sizeof plain);
    mv_store16(number, buffers); /* 1 without mergeable buffers: 5.1.6.4.1 */
    window_write(net, NET_HDR_NUM_BUFFERS, number, sizeof number);
    net->backing->received_frames++;
    net->backing->received_bytes += length - MV_NET_HEADER_BYTES;
    while (length > 0) {
        uint32_t written = (uint32_t)MV_MIN(length, w->buffer[w->first].bytes);
        window_use(net, written);
        length -= written;
    }
    mv_vq_publish(&net->dev.vq[NET_RECEIVE]);
}

/* Can the window grow beyond what it has now? */
static bool window_grows(const struct net *net)
{
    const struct net_window *w = &net->window;
    return receive_merges(net) && !w->full &&
           w->buffers < net->dev.vq[NET_RECEIVE].config.size;
}

/* A frame that is longer than the window, of which `room` bytes lie there. */
static void receive_hold(struct net *net, size_t length, size_t room)
{
    struct net_window *w = &net->window;
    if (window_grows(net)) {
        w->held = length;
        w->held_room = room;
    } else {
        net->backing->received_drops++; /* the driver has no place for it */
    }
}

/* The length of a frame that was taken, header included; 0: none waits. */
static size_t receive_frame(struct net *net)
{
    struct net_window *w = &net->window;
    struct mv_span span[NET_WINDOW_SPANS + 1];
    unsigned count, n = 0;
    uint32_t room = window_room(net, &count);
    size_t skip = receive_skip(net);
    for (unsigned i = 0; i < count; i++) {
        const struct mv_span *from = &w->span[w->first_span + i];
        size_t cut = MV_MIN(skip, from->length);
        if (cut < from->length)
            span[n++] =
                (struct mv_span){(uint8_t *)from->base + cut, from->length - cut};
        skip -= cut;
    }
    if (room <= NET_ROOM) /* one more, so that what is cut is seen to be too long */
        span[n++] = (struct mv_span){w->spill, NET_ROOM};
    size_t length = net->backing->ops->receive(net->backing, span, n);
    if (length == 0)
        return 0;
    length += receive_skip(net);
    MV_ASSERT(length <= NET_ROOM);
    net_limit_take(net, NET_RECEIVE, length - MV_NET_HEADER_BYTES);
    if (net->unplugged)
        net->backing->received_drops++;
    else if (length > room)
        receive_hold(net, length, room);
    else if (receive_wanted(net))
        receive_push(net, length);
    return length;
}

/* -- who waits for whom -- */

static void receive_listen(struct net *net, bool on)
{
    if (net->window.listening == on)
        return;
    net->window.listening = on;
    net->backing->ops->listen(net->backing, on);
}

/* The rest of the frame that is held, if the window has grown enough. */
static void receive_held(struct net *net)
{
    struct net_window *w = &net->window;
    size_t length = w->held;
    if (w->bytes < length && window_grows(net))
        return;
    w->held = 0;
    if (w->bytes < length) {
        net->backing->received_drops++;
        return;
    }
    window_write(net, w->held_room, w->spill, length - w->held_room);
    if (receive_wanted(net))
        receive_push(net, length);
}

/* Can a frame be taken now? */
static bool receive_open(const struct net *net)
{
    const struct net_window *w = &net->window;
    return net->dev.vq[NET_RECEIVE].live && w->buffers > 0 && !w->held && !w->limited;
}

static bool receive_prepare(struct net *net)
{
    window_fill(net);
    if (net->window.held)
        receive_held(net);
    if (net->window.buffers == 0)
        window_fill(net); /* what was held took all */
    net->window.limited = !net_limit_ok(net, NET_RECEIVE);
    return receive_open(net);
}

/* Takes up to `most` frames, and where it is `patient` stops at a small one: whoever
 * answers every frame sends no second one, and to ask for it is a system call in vain.
 * Where the inner loop ends because the driver must add buffers, its kicks are wanted,
 * and what it added meanwhile is seen at once. */
static void receive_run(struct net *net, unsigned most, bool patient)
{
    struct mv_vq *vq = &net->dev.vq[NET_RECEIVE];
    unsigned left = most;
    do {
        while (receive_prepare(net) && left > 0) {
            size_t length = receive_frame(net);
            left = length > 0 ? left - 1 : 0;
            if (patient && length < NET_LARGE && net->backing->held == 0)
                left = 0;
        }
    } while (!receive_open(net) && !net->window.limited && mv_vq_listen(vq));
    receive_listen(net, receive_open(net));
}

void net_receive_kick(struct net *net)
{
    mv_vq_hush(&net->dev.vq[NET_RECEIVE]);
    receive_run(net, RECEIVE_BATCH, false);
    mv_vdev_signal(&net->dev, NET_RECEIVE);
}

void net_receive_ready(void *device)
{
    struct net *net = net_of(device);
    bool soon = uv_hrtime() - net->window.read_ns < RECEIVE_SOON_NS;
    receive_run(net, RECEIVE_BATCH, !soon);
    mv_vdev_signal(&net->dev, NET_RECEIVE);
    net->window.read_ns = uv_hrtime();
}

void net_receive_answers(struct net *net)
{
    if (net->window.listening)
        receive_run(net, RECEIVE_BATCH, true);
}

void net_receive_stop(struct net *net)
{
    struct net_window *w = &net->window;
    receive_listen(net, false);
    for (; w->buffers > 0; w->buffers--)
        mv_vq_unpop(&net->dev.vq[NET_RECEIVE]);
    w->first = w->first_span = w->spans = 0;
    w->bytes = 0;
    w->full = w->limited = false;
    w->held = 0; /* a frame that was lost on its way */
}
