/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A descriptor that the application or its launcher has opened: a stream socket carries
 * frames with their lengths, a datagram or sequential packet socket one frame in each
 * packet, a tap is a tap. It is duplicated: the caller's stays his. (The open file is
 * one: it becomes non-blocking, and a stream out of step is ended for the caller, too.)
 */
#include "backing/net_impl.h"
#include "backing/net_watch.h"
#include "os/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int mv_net_fd_open(const struct mv_net_config *config, struct mv_loop *loop,
                   const struct mv_log *log, struct mv_net **out, microvm_error *err)
{
    char what[32];
    int type = 0;
    socklen_t length = sizeof type;
    (void)log;
    (void)snprintf(what, sizeof what, "fd=%lld", (long long)config->fd);
    int fd = fcntl((int)config->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return mv_fail_os(err, "net '%s'", what);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length)) {
        if (errno == ENOTSOCK)
            return mv_net_tap_from_fd(fd, loop, what, out, err);
        (void)close(fd);
        return mv_fail_os(err, "net '%s'", what);
    }
    if (type == SOCK_STREAM)
        return mv_net_stream_from_fd(fd, loop, what, out, err);
    if (type == SOCK_DGRAM || type == SOCK_SEQPACKET)
        return mv_net_gram_from_fd(fd, loop, what, out, err);
    (void)close(fd);
    return mv_fail(err, MICROVM_E_INVALID,
                   "net '%s': a socket of type %d carries no frames; use a stream, "
                   "datagram or sequential packet socket, or a tap",
                   what, type);
}
