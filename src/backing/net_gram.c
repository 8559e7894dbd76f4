/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Frames over a datagram socket, one in each, straight between the socket and guest
 * memory. Also SOCK_SEQPACKET, when given as a descriptor.
 *
 * A datagram socket does not know that its peer is gone until it sends: the link goes
 * down then.
 */
#include "backing/net_gram.h"

#include "backing/net_impl.h"
#include "util/bytes.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { SPANS_MAX = 2 * 256 + 1 };

static struct mv_net_gram *gram_of(struct mv_net *net)
{
    return MV_CONTAINER(mv_net_watch_of(net), struct mv_net_gram, watch);
}

static void gram_iovec(struct iovec *iov, const struct mv_span *span, unsigned spans)
{
    for (unsigned i = 0; i < spans; i++)
        iov[i] = (struct iovec){span[i].base, span[i].length};
}

size_t mv_net_gram_receive(struct mv_net *net, const struct mv_span *span,
                           unsigned spans)
{
    struct mv_net_gram *g = gram_of(net);
    struct iovec iov[SPANS_MAX];
    struct msghdr msg = {.msg_iov = iov};
    spans = MV_MIN(spans, (unsigned)SPANS_MAX);
    gram_iovec(iov, span, spans);
    for (unsigned runts = 0; runts < MV_NET_RUNTS && !g->watch.lost;) {
        msg.msg_iovlen = (__typeof__(msg.msg_iovlen))spans;
        ssize_t n = recvmsg(g->watch.fd, &msg, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if ((n < 0 && errno == ECONNRESET) || (n == 0 && g->ends))
            mv_net_watch_lost(&g->watch);
        if (n < 0)
            break;
        if (n >= MV_NET_FRAME_MIN && n <= MV_NET_FRAME_MAX &&
            !(msg.msg_flags & MSG_TRUNC))
            return (size_t)n;
        net->received_drops++;
        runts++;
    }
    return 0;
}

static bool gram_gone(void)
{
    return errno == ECONNREFUSED || errno == ECONNRESET || errno == ENOTCONN ||
           errno == EPIPE || errno == EDESTADDRREQ;
}

bool mv_net_gram_send(struct mv_net *net, const struct mv_span *span, unsigned spans,
                      size_t length)
{
    struct mv_net_gram *g = gram_of(net);
    struct iovec iov[SPANS_MAX];
    ssize_t n = -1;
    (void)length;
    gram_iovec(iov, span, spans);
    if (!g->watch.lost) {
        do
            n = mv_net_sendmsg(g->watch.fd, iov, spans);
        while (n < 0 && errno == EINTR);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            mv_net_watch_await_room(&g->watch);
            return false;
        }
        if (n < 0 && gram_gone())
            mv_net_watch_lost(&g->watch);
    }
    if (n < 0)
        net->sent_drops++; /* too large for the socket is among the reasons */
    return true;
}

static const struct mv_net_ops gram_ops = {.name = "unixgram",
                                           .receive = mv_net_gram_receive,
                                           .send = mv_net_gram_send,
                                           .listen = mv_net_watch_listen,
                                           .close = mv_net_watch_close};

int mv_net_gram_from_fd(int fd, struct mv_loop *loop, const char *what,
                        struct mv_net **out, microvm_error *err)
{
    struct mv_net_watch *watch;
    int type = 0;
    socklen_t length = sizeof type;
    (void)getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length);
    int rc = mv_net_watch_open(sizeof(struct mv_net_gram), fd, loop, &gram_ops, what,
                               &watch, err);
    if (rc)
        return rc;
    gram_of(&watch->net)->ends = type == SOCK_SEQPACKET;
    *out = &watch->net;
    return 0;
}

int mv_net_gram_open(const struct mv_net_config *config, struct mv_loop *loop,
                     const struct mv_log *log, struct mv_net **out, microvm_error *err)
{
    int fd;
    (void)log;
    int rc = mv_net_connect("unixgram", config->where, SOCK_DGRAM, &fd, err);
    return rc ? rc : mv_net_gram_from_fd(fd, loop, config->where, out, err);
}
