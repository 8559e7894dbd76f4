/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Sockets that listen on TCP.
 */
#define _GNU_SOURCE
#include "os/error.h"
#include "os/socket.h"

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
