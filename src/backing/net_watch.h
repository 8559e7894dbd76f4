/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the backings on a descriptor share: it is polled for what the device wants to
 * know, and a peer that is gone is a cable that was pulled. First member of their
 * structs.
 */
#ifndef MV_BACKING_NET_WATCH_H
#define MV_BACKING_NET_WATCH_H

#include "backing/net.h"

#include <sys/types.h>
#include <sys/uio.h>

struct mv_net_watch {
    struct mv_net net;
    struct mv_loop *loop;
    int fd;
    uv_poll_t poll;
    unsigned events; /* that are polled */
    bool listening, writing;
    bool ends_seen; /* the peer's end is seen even when nobody listens */
    /* Frames wait in memory of the backing's, where no poll sees them. */
    bool staged;
    struct mv_call again; /* readable, for these; or what mv_net_watch_lost left */
    bool lost, told;
    /* May be NULL. The descriptor is writable: what the backing has not got rid of yet.
     * False: there is still no room for more. */
    bool (*flush)(struct mv_net_watch *watch);
};

static inline struct mv_net_watch *mv_net_watch_of(struct mv_net *net)
{
    return (struct mv_net_watch *)(void *)net; /* its first member */
}

/* Makes a zeroed struct of `bytes` around the descriptor, which it takes over, also
 * when it fails. `what` begins the message. */
int mv_net_watch_open(size_t bytes, int fd, struct mv_loop *loop,
                      const struct mv_net_ops *ops, const char *what,
                      struct mv_net_watch **out, microvm_error *err);

/* These two are ops. */
void mv_net_watch_listen(struct mv_net *net, bool on);
void mv_net_watch_close(struct mv_net *net);

/* user.writable (after flush) when the descriptor is next writable. */
void mv_net_watch_await_room(struct mv_net_watch *watch);
/* Frames are staged, or no longer. */
void mv_net_watch_stage(struct mv_net_watch *watch, bool staged);
/* The peer is gone: the link goes down, the device is told a little later. */
void mv_net_watch_lost(struct mv_net_watch *watch);

/* From now on the peer's end is seen at once, also while the device has no buffers, its
 * driver is not there, or the machine is paused. What the peer sent last may be lost
 * with it. */
void mv_net_watch_see_end(struct mv_net_watch *watch);
/* Another peer, after the last one has gone: takes `fd` over, also when it fails; the
 * link goes up. Loop, or before it has a thread. */
int mv_net_watch_replace(struct mv_net_watch *watch, int fd, microvm_error *err);

/* Connects to a UNIX socket; `type` SOCK_STREAM or SOCK_DGRAM. A datagram socket gets
 * an address where the system has such without a file (Linux), so that servers that
 * know their peers by it can answer. */
int mv_net_connect(const char *kind, const char *path, int type, int *out,
                   microvm_error *err);
/* sendmsg that raises no SIGPIPE. */
ssize_t mv_net_sendmsg(int fd, struct iovec *iov, unsigned count);

/* Backings around a descriptor that is open, which they take over, also when they fail;
 * `what` is for messages. */
int mv_net_tap_from_fd(int fd, struct mv_loop *loop, const char *what,
                       struct mv_net **out, microvm_error *err);
int mv_net_stream_from_fd(int fd, struct mv_loop *loop, const char *what,
                          struct mv_net **out, microvm_error *err);
int mv_net_gram_from_fd(int fd, struct mv_loop *loop, const char *what,
                        struct mv_net **out, microvm_error *err);

#endif
