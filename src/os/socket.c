/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Sockets: BSD calls, which Winsock spells nearly the same.
 */
#define _GNU_SOURCE
#include "os/socket.h"

#include "os/error.h"

#include <uv.h>

#ifdef _WIN32
#include <winsock2.h>
typedef SOCKET sock;
#define close_sock closesocket
#define poll_sock  WSAPoll
#define SEND_FLAGS 0
typedef int sock_length;
static int would_block(void)
{
    return WSAGetLastError() == WSAEWOULDBLOCK;
}
#else
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
typedef int sock;
typedef size_t sock_length;
#define close_sock close
#define poll_sock  poll
#ifdef MSG_NOSIGNAL
#define SEND_FLAGS MSG_NOSIGNAL
#else
#define SEND_FLAGS 0 /* macOS: SO_NOSIGPIPE below */
#endif
static int would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}
#endif

static void no_sigpipe(sock s)
{
#ifdef SO_NOSIGPIPE
    int on = 1;
    (void)setsockopt(s, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#else
    (void)s;
#endif
}

int mv_socket_pair(intptr_t pair[2], microvm_error *err)
{
    uv_os_sock_t s[2];
    int rc = uv_socketpair(SOCK_STREAM, 0, s, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE);
    if (rc)
        return mv_fail_uv(err, rc, "socketpair");
    for (int i = 0; i < 2; i++) {
        no_sigpipe(s[i]);
        pair[i] = (intptr_t)s[i];
    }
    return 0;
}

void mv_socket_close(intptr_t socket)
{
    if (socket != MV_SOCKET_NONE)
        (void)close_sock((sock)socket);
}

enum { AT_ONCE_MAX = 1 << 30 }; /* what every system's length type holds */

int64_t mv_socket_read(intptr_t socket, void *data, size_t length)
{
    if (length > AT_ONCE_MAX)
        length = AT_ONCE_MAX;
    int64_t n = recv((sock)socket, data, (sock_length)length, 0);
    if (n >= 0)
        return n;
    return would_block() ? MV_SOCKET_AGAIN : MV_SOCKET_GONE;
}

int64_t mv_socket_write(intptr_t socket, const void *data, size_t length)
{
    if (length > AT_ONCE_MAX)
        length = AT_ONCE_MAX;
    int64_t n = send((sock)socket, data, (sock_length)length, SEND_FLAGS);
    if (n >= 0)
        return n;
    return would_block() ? MV_SOCKET_AGAIN : MV_SOCKET_GONE;
}

int mv_socket_wait(intptr_t socket, int for_write, int64_t timeout_ms)
{
    struct pollfd p = {.fd = (sock)socket, .events = for_write ? POLLOUT : POLLIN};
    uint64_t start = uv_hrtime();
    for (;;) {
        int64_t passed = (int64_t)((uv_hrtime() - start) / 1000000);
        int64_t left = timeout_ms < 0 ? -1 : timeout_ms - passed;
        if (timeout_ms >= 0 && left < 0)
            left = 0;
        int rc = poll_sock(&p, 1, left > INT32_MAX ? INT32_MAX : (int)left);
        if (rc > 0)
            return 1;
        if (rc == 0 && left <= INT32_MAX && timeout_ms >= 0)
            return 0;
        if (rc < 0 && !would_block())
            return 1; /* let the read or write say what is wrong */
    }
}
