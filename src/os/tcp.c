/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Sockets that listen on TCP, and such that connect.
 */
#define _GNU_SOURCE
#include "os/error.h"
#include "os/socket.h"

#include <string.h>
#include <uv.h>

#ifdef _WIN32
#include <winsock2.h>

#include <ws2tcpip.h>
typedef SOCKET sock;
typedef int sock_length;
#define close_sock   closesocket
#define last_error() WSAGetLastError()
/* Without SO_REUSEADDR, which means there that two may listen. */
#define REUSE_OPTION SO_EXCLUSIVEADDRUSE
#define ERROR_OF(e)  WSA##e
#define IN_PROGRESS  WSAEWOULDBLOCK
#else
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
typedef int sock;
typedef socklen_t sock_length;
#define close_sock   close
#define last_error() errno
#define REUSE_OPTION SO_REUSEADDR
#define ERROR_OF(e)  e
#define IN_PROGRESS  EINPROGRESS
#endif

enum { BACKLOG = 512 };

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static uint16_t tcp_port(sock s)
{
    union address bound;
    sock_length length = sizeof bound;
    if (getsockname(s, &bound.any, &length))
        return 0;
    return ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port
                                                 : bound.v4.sin_port);
}

int mv_tcp_listen(const char *address, uint16_t port, intptr_t *out, uint16_t *bound,
                  microvm_error *err)
{
    union address at;
    const int on = 1;
    if (uv_ip4_addr(address, port, &at.v4) && uv_ip6_addr(address, port, &at.v6))
        return mv_fail(err, MICROVM_E_INVALID,
                       "'%s' is neither an IPv4 nor an IPv6 address", address);
    sock_length length = at.any.sa_family == AF_INET6 ? sizeof at.v6 : sizeof at.v4;
    sock s = socket(at.any.sa_family, SOCK_STREAM, 0);
    if (s == (sock)-1)
        return mv_fail_os_code(err, MICROVM_E_IO, last_error(), "a TCP socket");
    mv_socket_prepare((intptr_t)s);
    (void)setsockopt(s, SOL_SOCKET, REUSE_OPTION, (const void *)&on, sizeof on);
    /* For the sockets that it gives. */
    (void)setsockopt(s, IPPROTO_TCP, TCP_NODELAY, (const void *)&on, sizeof on);
    if (bind(s, &at.any, length) || listen(s, BACKLOG)) {
        int rc = mv_fail_os_code(err, MICROVM_E_IO, last_error(), "listening on %s:%u",
                                 address, port);
        (void)close_sock(s);
        return rc;
    }
    *out = (intptr_t)s;
    *bound = tcp_port(s);
    return 0;
}

bool mv_tcp_is_loopback(const char *address)
{
    union address at;
    if (!uv_ip4_addr(address, 0, &at.v4))
        return (ntohl(at.v4.sin_addr.s_addr) >> 24) == 127;
    return !uv_ip6_addr(address, 0, &at.v6) && IN6_IS_ADDR_LOOPBACK(&at.v6.sin6_addr);
}

/* -- connecting -- */

static enum mv_tcp_why tcp_why(int error)
{
    switch (error) {
    case 0:
        return MV_TCP_CONNECTED;
    case ERROR_OF(ECONNREFUSED):
        return MV_TCP_REFUSED;
    case ERROR_OF(ENETUNREACH):
    case ERROR_OF(ENETDOWN):
    case ERROR_OF(EADDRNOTAVAIL):
        return MV_TCP_NO_NETWORK;
    case ERROR_OF(EHOSTUNREACH):
    case ERROR_OF(EHOSTDOWN):
        return MV_TCP_NO_HOST;
    case ERROR_OF(ETIMEDOUT):
        return MV_TCP_TIMED_OUT;
    default:
        return MV_TCP_FAILED;
    }
}

static sock_length tcp_address(union address *at, const struct mv_address *to,
                               uint16_t port)
{
    memset(at, 0, sizeof *at);
    if (mv_address_is_v4(to)) {
        at->v4.sin_family = AF_INET;
        at->v4.sin_port = htons(port);
        memcpy(&at->v4.sin_addr, to->byte + 12, 4);
        return sizeof at->v4;
    }
    at->v6.sin6_family = AF_INET6;
    at->v6.sin6_port = htons(port);
    memcpy(&at->v6.sin6_addr, to->byte, sizeof to->byte);
    return sizeof at->v6;
}

intptr_t mv_tcp_dial(const struct mv_address *to, uint16_t port, enum mv_tcp_why *why)
{
    union address at;
    const int on = 1;
    sock_length length = tcp_address(&at, to, port);
    sock s = socket(at.any.sa_family, SOCK_STREAM, 0);
    *why = MV_TCP_FAILED;
    if (s == (sock)-1)
        return MV_SOCKET_NONE;
    mv_socket_prepare((intptr_t)s);
    (void)setsockopt(s, IPPROTO_TCP, TCP_NODELAY, (const void *)&on, sizeof on);
    if (!connect(s, &at.any, length) || last_error() == IN_PROGRESS)
        return (intptr_t)s;
    *why = tcp_why(last_error());
    (void)close_sock(s);
    return MV_SOCKET_NONE;
}

enum mv_tcp_why mv_tcp_dialled(intptr_t socket)
{
    int error = 0;
    sock_length length = sizeof error;
    if (getsockopt((sock)socket, SOL_SOCKET, SO_ERROR, (void *)&error, &length))
        error = last_error();
    return tcp_why(error);
}

void mv_tcp_close_resets(intptr_t socket, bool resets)
{
    const struct linger linger = {.l_onoff = resets};
    (void)setsockopt((sock)socket, SOL_SOCKET, SO_LINGER, (const void *)&linger,
                     sizeof linger);
}

void mv_tcp_reset(intptr_t socket)
{
    if (socket == MV_SOCKET_NONE)
        return;
    mv_tcp_close_resets(socket, true);
    (void)close_sock((sock)socket);
}
