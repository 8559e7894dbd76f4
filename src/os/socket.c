/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Sockets: BSD calls, which Winsock spells nearly the same.
 */
#define _GNU_SOURCE
#include "os/socket.h"

#include "os/error.h"
#include "util/bytes.h"

#include <stddef.h>
#include <string.h>
#include <uv.h>

#ifdef _WIN32
#include <winsock2.h>
typedef SOCKET sock;
#define close_sock closesocket
#define poll_sock  WSAPoll
#define SEND_FLAGS 0
#define END_WRITE  SD_SEND
#define END_READ   SD_RECEIVE
typedef int sock_length;
static int would_block(void)
{
    return WSAGetLastError() == WSAEWOULDBLOCK;
}
#else
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
typedef int sock;
typedef size_t sock_length;
#define close_sock close
#define poll_sock  poll
#define END_WRITE  SHUT_WR
#define END_READ   SHUT_RD
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

/* What libuv calls non-blocking is overlapped on Windows, where recv would still wait.
 */
static void make_polite(sock s)
{
#ifdef _WIN32
    u_long on = 1;
    (void)ioctlsocket(s, (long)FIONBIO, &on);
#endif
#ifdef SO_NOSIGPIPE
    int no = 1;
    (void)setsockopt(s, SOL_SOCKET, SO_NOSIGPIPE, &no, sizeof no);
#endif
    (void)s;
}

/* Calls of its own instead of SOCK_NONBLOCK | SOCK_CLOEXEC and accept4, which macOS
 * does not have. */
void mv_socket_prepare(intptr_t socket)
{
#ifdef _WIN32
    (void)SetHandleInformation((HANDLE)socket, HANDLE_FLAG_INHERIT, 0);
#else
    (void)fcntl((sock)socket, F_SETFD, FD_CLOEXEC);
    (void)fcntl((sock)socket, F_SETFL, O_NONBLOCK);
#endif
    make_polite((sock)socket);
}

int mv_socket_pair(microvm_socket_type type, intptr_t pair[2], microvm_error *err)
{
    int kind = type == MICROVM_SOCKET_STREAM ? SOCK_STREAM : SOCK_SEQPACKET;
    uv_os_sock_t s[2];
    int rc = mv_socket_has(type, err);
    if (rc)
        return rc;
    rc = uv_socketpair(kind, 0, s, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE);
    if (rc)
        return mv_fail_uv(err, rc, "socketpair");
    for (int i = 0; i < 2; i++) {
        make_polite(s[i]);
        pair[i] = (intptr_t)s[i];
    }
    return 0;
}

#ifdef _WIN32
intptr_t mv_socket_accept(intptr_t socket)
{
    sock s;
    do
        s = accept((sock)socket, NULL, NULL);
    while (s == INVALID_SOCKET && WSAGetLastError() == WSAECONNRESET);
    if (s == INVALID_SOCKET)
        return WSAGetLastError() == WSAEWOULDBLOCK ? MV_SOCKET_AGAIN : MV_SOCKET_GONE;
    mv_socket_prepare((intptr_t)s);
    return (intptr_t)s;
}
#else
intptr_t mv_socket_accept(intptr_t socket)
{
    int fd;
    do /* who has gone before we came is no reason to leave the others waiting */
        fd = accept((sock)socket, NULL, NULL);
    while (fd < 0 && (errno == ECONNABORTED || errno == EINTR));
    if (fd < 0)
        return would_block() ? MV_SOCKET_AGAIN : MV_SOCKET_GONE;
    mv_socket_prepare(fd);
    return fd;
}
#endif

void mv_socket_close(intptr_t socket)
{
    if (socket != MV_SOCKET_NONE)
        (void)close_sock((sock)socket);
}

enum { AT_ONCE_MAX = 1 << 30 }; /* what every system's length type holds */

static int64_t moved(int64_t n)
{
    if (n >= 0)
        return n;
    return would_block() ? MV_SOCKET_AGAIN : MV_SOCKET_GONE;
}

int64_t mv_socket_read(intptr_t socket, void *data, size_t length)
{
    if (length > AT_ONCE_MAX)
        length = AT_ONCE_MAX;
    return moved(recv((sock)socket, data, (sock_length)length, 0));
}

int64_t mv_socket_peek(intptr_t socket, void *data, size_t length)
{
    return moved(recv((sock)socket, data, (sock_length)length, MSG_PEEK));
}

int64_t mv_socket_write(intptr_t socket, const void *data, size_t length)
{
    if (length > AT_ONCE_MAX)
        length = AT_ONCE_MAX;
    return moved(send((sock)socket, data, (sock_length)length, SEND_FLAGS));
}

#ifdef _WIN32
static DWORD to_buffers(WSABUF *to, const struct mv_span *span, unsigned spans)
{
    DWORD n = 0;
    for (; n < spans && n < MV_SOCKET_SPANS; n++) {
        to[n].buf = span[n].base;
        to[n].len =
            (ULONG)(span[n].length > AT_ONCE_MAX ? AT_ONCE_MAX : span[n].length);
    }
    return n;
}

int64_t mv_socket_readv(intptr_t socket, const struct mv_span *span, unsigned spans)
{
    WSABUF buffer[MV_SOCKET_SPANS];
    DWORD count = to_buffers(buffer, span, spans), n = 0, flags = 0;
    int rc = WSARecv((sock)socket, buffer, count, &n, &flags, NULL, NULL);
    return moved(rc ? -1 : (int64_t)n);
}

int64_t mv_socket_writev(intptr_t socket, const struct mv_span *span, unsigned spans)
{
    WSABUF buffer[MV_SOCKET_SPANS];
    DWORD count = to_buffers(buffer, span, spans), n = 0;
    int rc = WSASend((sock)socket, buffer, count, &n, 0, NULL, NULL);
    return moved(rc ? -1 : (int64_t)n);
}
#else
_Static_assert(sizeof(struct iovec) == sizeof(struct mv_span) &&
                   offsetof(struct iovec, iov_base) == offsetof(struct mv_span, base) &&
                   offsetof(struct iovec, iov_len) == offsetof(struct mv_span, length),
               "spans go to the kernel as they are");

/* iov_base is not const, though sendmsg only reads. */
static struct msghdr to_message(const struct mv_span *span, unsigned spans)
{
    struct msghdr message = {.msg_iov = NULL};
    memcpy(&message.msg_iov, &span, sizeof span);
    /* An int on macOS, a size_t on Linux. */
    message.msg_iovlen =
        (__typeof__(message.msg_iovlen))MV_MIN(spans, (unsigned)MV_SOCKET_SPANS);
    return message;
}

int64_t mv_socket_readv(intptr_t socket, const struct mv_span *span, unsigned spans)
{
    struct msghdr message = to_message(span, spans);
    return moved(recvmsg((sock)socket, &message, 0));
}

int64_t mv_socket_writev(intptr_t socket, const struct mv_span *span, unsigned spans)
{
    struct msghdr message = to_message(span, spans);
    return moved(sendmsg((sock)socket, &message, SEND_FLAGS));
}
#endif

void mv_socket_end_write(intptr_t socket)
{
    mv_tcp_close_resets(socket, false); /* first: whoever is killed here has said all */
    (void)shutdown((sock)socket, END_WRITE);
}

void mv_socket_end_read(intptr_t socket)
{
    (void)shutdown((sock)socket, END_READ);
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

uint64_t mv_socket_now_ms(void)
{
    return uv_hrtime() / 1000000;
}

int64_t mv_socket_left_ms(int64_t timeout_ms, uint64_t began)
{
    int64_t gone = (int64_t)(mv_socket_now_ms() - began);
    if (timeout_ms < 0)
        return MICROVM_FOREVER;
    return timeout_ms > gone ? timeout_ms - gone : 0;
}

int mv_socket_send(intptr_t socket, const void *data, size_t length, int64_t timeout_ms)
{
    const uint8_t *bytes = data;
    uint64_t began = mv_socket_now_ms();
    while (length > 0) {
        int64_t n = mv_socket_write(socket, bytes, length);
        if (n >= 0) {
            bytes += n;
            length -= (size_t)n;
        } else if (n == MV_SOCKET_GONE) {
            return MV_SOCKET_GONE;
        } else if (!mv_socket_wait(socket, 1, mv_socket_left_ms(timeout_ms, began))) {
            return MV_SOCKET_AGAIN;
        }
    }
    return 0;
}
