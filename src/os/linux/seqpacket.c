/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * SOCK_SEQPACKET between processes, as Linux has it: unix(7).
 */
#define _GNU_SOURCE
#include "os/socket.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

int mv_socket_has(microvm_socket_type type, microvm_error *err)
{
    (void)type;
    (void)err;
    return 0;
}

/* The end and an empty message are read alike: but the end comes after all messages,
 * and not before the peer has ended its writing. */
static bool seqpacket_ended(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    int bytes = 0; /* of all messages that wait */
    if (poll(&p, 1, 0) <= 0)
        return false;
    return ioctl(fd, FIONREAD, &bytes) || bytes == 0;
}

/* That the peer has closed without reading everything is said once, and before the
 * messages that it had sent: they come first here. */
int64_t mv_socket_next(intptr_t socket)
{
    const int fd = (int)socket;
    for (;;) {
        ssize_t n = recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC);
        if (n > 0)
            return n;
        if (n == 0) {
            if (seqpacket_ended(fd))
                return 0;
            (void)recv(fd, NULL, 0, 0);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
            return MV_SOCKET_AGAIN;
        } else if (errno != ECONNRESET) {
            return MV_SOCKET_GONE;
        }
    }
}
