/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Frames over a connected stream socket, the length of each before it in four bytes,
 * big-endian: what passt, gvproxy and QEMU's `-netdev stream` speak. A stream is read
 * in large pieces into memory of ours, so that small frames cost a system call for
 * many; what is sent goes out of guest memory, and only the rest of a frame that the
 * socket took in part is copied.
 *
 * A length that no frame can have means that the two sides have lost each other: there
 * is no way to find the next frame, so the connection is ended, which is how the peer
 * hears of it (between UNIX sockets of Linux its writes fail, too).
 */
#include "backing/net_impl.h"
#include "backing/net_watch.h"
#include "os/error.h"
#include "util/bytes.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    LENGTH_BYTES = 4,
    /* Two frames of the largest size: while one is given away the next arrives. */
    STAGE_BYTES = 2 * (LENGTH_BYTES + MV_NET_FRAME_MAX),
    SPANS_MAX = 1 + 257
};

struct stream {
    struct mv_net_watch watch;
    size_t in_at, in_used; /* of in: what has arrived and is not given away */
    size_t out_at, out_used;
    uint8_t in[STAGE_BYTES];
    uint8_t out[LENGTH_BYTES + MV_NET_FRAME_MAX];
};

static struct stream *stream_of(struct mv_net *net)
{
    return MV_CONTAINER(mv_net_watch_of(net), struct stream, watch);
}

static bool stream_would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* -- receiving -- */

static void stream_drop(struct stream *s, size_t bytes)
{
    s->in_at += bytes;
    s->in_used -= bytes;
}

/* The length of the frame that lies at the front, if it is there whole; else -1. */
static int32_t stream_next(struct stream *s)
{
    const uint8_t *p = s->in + s->in_at;
    if (s->in_used < LENGTH_BYTES)
        return -1;
    uint32_t length =
        (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    if (length > MV_NET_FRAME_MAX) {
        (void)shutdown(s->watch.fd, SHUT_RDWR);
        mv_net_watch_lost(&s->watch);
        s->in_used = 0;
        return -1;
    }
    return s->in_used - LENGTH_BYTES < length ? -1 : (int32_t)length;
}

/* False: nothing has arrived. */
static bool stream_read(struct stream *s)
{
    if (s->in_at > 0)
        memmove(s->in, s->in + s->in_at, s->in_used);
    s->in_at = 0;
    ssize_t n = recv(s->watch.fd, s->in + s->in_used, STAGE_BYTES - s->in_used, 0);
    if (n > 0)
        s->in_used += (size_t)n;
    else if (n == 0 || !stream_would_block())
        mv_net_watch_lost(&s->watch);
    return n > 0;
}

static void stream_give(struct stream *s, const struct mv_span *span, size_t length)
{
    const uint8_t *from = s->in + s->in_at + LENGTH_BYTES;
    for (size_t done = 0; done < length; span++) {
        size_t n = MV_MIN(span->length, length - done);
        memcpy(span->base, from + done, n);
        done += n;
    }
    stream_drop(s, LENGTH_BYTES + length);
}

static size_t stream_receive(struct mv_net *net, const struct mv_span *span,
                             unsigned spans)
{
    struct stream *s = stream_of(net);
    int32_t length = -1;
    (void)spans; /* they hold every frame */
    for (unsigned runts = 0; runts < MV_NET_RUNTS; runts++) {
        length = stream_next(s);
        while (length < 0 && !s->watch.lost && stream_read(s))
            length = stream_next(s);
        if (length < 0 || length >= MV_NET_FRAME_MIN)
            break;
        net->received_drops++;
        stream_drop(s, LENGTH_BYTES + (size_t)length);
    }
    if (length >= MV_NET_FRAME_MIN)
        stream_give(s, span, (size_t)length);
    mv_net_watch_stage(&s->watch, stream_next(s) >= 0);
    return length >= MV_NET_FRAME_MIN ? (size_t)length : 0;
}

/* -- sending -- */

static ssize_t stream_write(struct stream *s, const struct mv_span *span,
                            unsigned spans)
{
    struct iovec iov[SPANS_MAX];
    for (unsigned i = 0; i < spans; i++)
        iov[i] = (struct iovec){span[i].base, span[i].length};
    return mv_net_sendmsg(s->watch.fd, iov, spans);
}

/* Keeps what the socket has not taken of a frame. */
static void stream_keep(struct stream *s, const struct mv_span *span, unsigned spans,
                        size_t taken)
{
    s->out_at = s->out_used = 0;
    for (unsigned i = 0; i < spans; i++) {
        size_t skip = MV_MIN(taken, span[i].length);
        size_t n = span[i].length - skip;
        taken -= skip;
        memcpy(s->out + s->out_used, (const uint8_t *)span[i].base + skip, n);
        s->out_used += n;
    }
}

/* False: there is still something that the socket does not take. */
static bool stream_flush(struct mv_net_watch *watch)
{
    struct stream *s = MV_CONTAINER(watch, struct stream, watch);
    while (s->out_used > 0) {
        const struct mv_span rest = {s->out + s->out_at, s->out_used};
        ssize_t n = stream_write(s, &rest, 1);
        if (n < 0 && stream_would_block())
            return false;
        if (n < 0) {
            s->out_used = 0;
            mv_net_watch_lost(watch);
            return true;
        }
        s->out_at += (size_t)n;
        s->out_used -= (size_t)n;
    }
    return true;
}

static bool stream_send(struct mv_net *net, const struct mv_span *span, unsigned spans,
                        size_t length)
{
    struct stream *s = stream_of(net);
    const uint8_t prefix[LENGTH_BYTES] = {(uint8_t)(length >> 24),
                                          (uint8_t)(length >> 16),
                                          (uint8_t)(length >> 8), (uint8_t)length};
    uint8_t head[LENGTH_BYTES];
    struct mv_span all[SPANS_MAX] = {{head, sizeof head}};
    if (s->watch.lost) {
        net->sent_drops++;
        return true;
    }
    if (s->out_used > 0)
        return false; /* flush is on its way */
    memcpy(head, prefix, sizeof head);
    memcpy(all + 1, span, spans * sizeof *span);
    ssize_t n = stream_write(s, all, spans + 1);
    if (n < 0 && !stream_would_block()) {
        mv_net_watch_lost(&s->watch);
        net->sent_drops++;
        return true;
    }
    if (n < 0) {
        mv_net_watch_await_room(&s->watch);
        return false;
    }
    if ((size_t)n < sizeof head + length) {
        stream_keep(s, all, spans + 1, (size_t)n);
        mv_net_watch_await_room(&s->watch);
    }
    return true;
}

static const struct mv_net_ops stream_ops = {.name = "unixstream",
                                             .receive = stream_receive,
                                             .send = stream_send,
                                             .listen = mv_net_watch_listen,
                                             .close = mv_net_watch_close};

int mv_net_stream_from_fd(int fd, struct mv_loop *loop, const char *what,
                          struct mv_net **out, microvm_error *err)
{
    struct mv_net_watch *watch;
    int rc = mv_net_watch_open(sizeof(struct stream), fd, loop, &stream_ops, what,
                               &watch, err);
    if (rc)
        return rc;
    watch->flush = stream_flush;
    *out = &watch->net;
    return 0;
}

int mv_net_stream_open(const struct mv_net_config *config, struct mv_loop *loop,
                       const struct mv_log *log, struct mv_net **out,
                       microvm_error *err)
{
    int fd;
    (void)log;
    int rc = mv_net_connect("unixstream", config->where, SOCK_STREAM, &fd, err);
    return rc ? rc : mv_net_stream_from_fd(fd, loop, config->where, out, err);
}
