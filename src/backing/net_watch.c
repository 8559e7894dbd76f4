/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Polling for the backings on a descriptor. Changing what is polled costs system calls,
 * so it is done only when the set of events really changes.
 */
#include "backing/net_watch.h"

#include "os/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void watch_event(uv_poll_t *poll, int status, int events);

static void watch_update(struct mv_net_watch *w)
{
    unsigned wanted = (w->listening && !w->staged ? UV_READABLE : 0u) |
                      (w->writing ? UV_WRITABLE : 0u) |
                      (w->ends_seen ? UV_DISCONNECT : 0u);
    if (w->lost)
        wanted = 0;
    if (wanted == w->events)
        return;
    w->events = wanted;
    if (wanted)
        (void)uv_poll_start(&w->poll, (int)wanted, watch_event);
    else
        (void)uv_poll_stop(&w->poll);
}

static void watch_writable(struct mv_net_watch *w)
{
    if (w->flush && !w->flush(w))
        return;
    w->writing = false;
    watch_update(w);
    if (w->net.user.writable)
        w->net.user.writable(w->net.user.device);
}

/* libuv stops polling when it reports an error (of the descriptor, or POLLERR alone):
 * the interface or the peer is gone. What can still be read is read first. */
static void watch_event(uv_poll_t *poll, int status, int events)
{
    struct mv_net_watch *w = poll->data;
    if (status < 0) {
        w->events = 0;
        mv_net_watch_lost(w);
        return;
    }
    if (events & UV_WRITABLE)
        watch_writable(w);
    if (events & UV_READABLE && w->listening)
        w->net.user.readable(w->net.user.device);
    else if (events & UV_DISCONNECT)
        mv_net_watch_lost(w);
}

static void watch_again(void *arg)
{
    struct mv_net_watch *w = arg;
    if (w->staged && w->listening) {
        w->net.user.readable(w->net.user.device);
        if (w->staged && w->listening)
            mv_loop_post(w->loop, &w->again);
    }
    if (!w->lost || w->told || w->staged)
        return;
    w->told = true;
    mv_net_set_link(&w->net, false);
    if (w->writing && w->net.user.writable) {
        w->writing = false; /* what is sent now is dropped */
        w->net.user.writable(w->net.user.device);
    }
}

void mv_net_watch_listen(struct mv_net *net, bool on)
{
    struct mv_net_watch *w = mv_net_watch_of(net);
    w->listening = on;
    if (on && w->staged)
        mv_loop_post(w->loop, &w->again);
    watch_update(w);
}

void mv_net_watch_await_room(struct mv_net_watch *w)
{
    w->writing = true;
    watch_update(w);
}

void mv_net_watch_stage(struct mv_net_watch *w, bool staged)
{
    if (w->staged == staged)
        return;
    w->staged = staged;
    if ((staged && w->listening) || (!staged && w->lost))
        mv_loop_post(w->loop, &w->again);
    watch_update(w);
}

void mv_net_watch_lost(struct mv_net_watch *w)
{
    if (w->lost)
        return;
    w->lost = true;
    watch_update(w);
    mv_loop_post(w->loop, &w->again);
}

void mv_net_watch_see_end(struct mv_net_watch *w)
{
    w->ends_seen = true;
    watch_update(w);
}

/* The number stays, because libuv's handle is bound to it; libuv must have forgotten
 * the old socket before. */
int mv_net_watch_replace(struct mv_net_watch *w, int fd, microvm_error *err)
{
    (void)uv_poll_stop(&w->poll);
    w->events = 0;
    int rc = dup2(fd, w->fd) < 0 ? mv_fail_os(err, "net: taking a new socket") : 0;
    (void)close(fd);
    if (rc) {
        watch_update(w);
        return rc;
    }
    (void)fcntl(w->fd, F_SETFD, FD_CLOEXEC);
    bool waiting = w->writing;
    w->lost = w->told = w->writing = false;
    watch_update(w);
    mv_net_set_link(&w->net, true);
    if (waiting && w->net.user.writable)
        w->net.user.writable(w->net.user.device);
    return 0;
}

int mv_net_watch_open(size_t bytes, int fd, struct mv_loop *loop,
                      const struct mv_net_ops *ops, const char *what,
                      struct mv_net_watch **out, microvm_error *err)
{
    struct mv_net_watch *w = calloc(1, bytes);
    int rc = w ? uv_poll_init(&loop->uv, &w->poll, fd) : UV_ENOMEM;
    if (rc) {
        free(w);
        (void)close(fd);
        return mv_fail_uv(err, rc, "net '%s': polling it", what);
    }
#ifdef SO_NOSIGPIPE
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
    w->net.ops = ops;
    w->net.link = true;
    w->loop = loop;
    w->fd = fd;
    w->poll.data = w;
    w->again = (struct mv_call){.fn = watch_again, .arg = w};
    *out = w;
    return 0;
}

static void watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void mv_net_watch_close(struct mv_net *net)
{
    struct mv_net_watch *w = mv_net_watch_of(net);
    mv_loop_cancel(w->loop, &w->again);
    uv_close((uv_handle_t *)&w->poll, watch_closed);
    (void)close(w->fd);
}

/* -- sockets -- */

#ifdef MSG_NOSIGNAL
enum { SEND_FLAGS = MSG_NOSIGNAL };
#else
enum { SEND_FLAGS = 0 }; /* SO_NOSIGPIPE, in open */
#endif

ssize_t mv_net_sendmsg(int fd, struct iovec *iov, unsigned count)
{
    struct msghdr msg = {.msg_iov = iov};
    msg.msg_iovlen = (__typeof__(msg.msg_iovlen))count;
    return sendmsg(fd, &msg, SEND_FLAGS);
}

static int watch_socket(int type)
{
    int fd = socket(AF_UNIX, type, 0);
    if (fd < 0)
        return fd;
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    if (type == SOCK_DGRAM) {
        const struct sockaddr_un any = {.sun_family = AF_UNIX};
        (void)bind(fd, (const struct sockaddr *)&any, sizeof any.sun_family);
    }
    return fd;
}

/* Waiting for a server that is busy would hold up everything: a socket whose backlog is
 * full is an error. */
int mv_net_connect(const char *kind, const char *path, int type, int *out,
                   microvm_error *err)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof to.sun_path)
        return mv_fail(err, MICROVM_E_INVALID,
                       "net '%s=%s': the path has %zu bytes, a socket's at most %zu",
                       kind, path, length, sizeof to.sun_path - 1);
    memcpy(to.sun_path, path, length);
    int fd = watch_socket(type);
    if (fd < 0)
        return mv_fail_os(err, "net '%s=%s': making a socket", kind, path);
    if (connect(fd, (const struct sockaddr *)&to, sizeof to)) {
        int rc = mv_fail_os(err, "net '%s=%s': connecting to its server", kind, path);
        (void)close(fd);
        return rc;
    }
    *out = fd;
    return 0;
}
