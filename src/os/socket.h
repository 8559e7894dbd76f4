/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Connected sockets as plain handles, non-blocking, without SIGPIPE: what the
 * application gets as console, and as connection to a port of the guest. Most are
 * streams; where the host has them, also SOCK_SEQPACKET, whose writes are messages that
 * are read one at a time. UNIX sockets by path are here too. The loop watches them with
 * uv_poll or os/watch.h.
 */
#ifndef MV_OS_SOCKET_H
#define MV_OS_SOCKET_H

#include "os/address.h"
#include "util/err.h"
#include "util/span.h"

#include <stdbool.h>

enum { MV_SOCKET_NONE = -1 };
enum { MV_SOCKET_AGAIN = -1, MV_SOCKET_GONE = -2 };

/* 0: this host has sockets of that type. */
int mv_socket_has(microvm_socket_type type, microvm_error *err);
/* A connected pair, both ends non-blocking and not inherited by child processes. */
int mv_socket_pair(microvm_socket_type type, intptr_t pair[2], microvm_error *err);
/* Non-blocking, without SIGPIPE, and not inherited by child processes. */
void mv_socket_prepare(intptr_t socket);
void mv_socket_close(intptr_t socket); /* accepts MV_SOCKET_NONE */

/* Bytes moved; AGAIN when it would block; GONE when the peer has closed (a read gives
 * 0 for an orderly end). */
int64_t mv_socket_read(intptr_t socket, void *data, size_t length);
int64_t mv_socket_write(intptr_t socket, const void *data, size_t length);

/* The same from and into several pieces, of which at most MV_SOCKET_SPANS are used. */
enum { MV_SOCKET_SPANS = 256 };
int64_t mv_socket_readv(intptr_t socket, const struct mv_span *span, unsigned spans);
int64_t mv_socket_writev(intptr_t socket, const struct mv_span *span, unsigned spans);

/* As read, but the bytes stay. */
int64_t mv_socket_peek(intptr_t socket, void *data, size_t length);

/* The length of the next message of a SOCK_SEQPACKET socket, which stays. 0: there will
 * be none any more. Empty messages are taken out and passed over: to who reads them
 * they look like the end. */
int64_t mv_socket_next(intptr_t socket);

/* Ends one direction: what we write, after which a close resets nothing any more
 * (mv_tcp_close_resets); or what we read, upon which the peer's writes fail. */
void mv_socket_end_write(intptr_t socket);
void mv_socket_end_read(intptr_t socket);

/* The next connection of a socket that listens; MV_SOCKET_AGAIN when none waits,
 * MV_SOCKET_GONE when it cannot be had (no descriptors). */
intptr_t mv_socket_accept(intptr_t socket);

/* Waits until the socket can be read (or written): 1 yes, 0 time is over. */
int mv_socket_wait(intptr_t socket, int for_write, int64_t timeout_ms);
/* Milliseconds of a clock that does not jump; and what is left of a time that began at
 * `began`: MICROVM_FOREVER stays. */
uint64_t mv_socket_now_ms(void);
int64_t mv_socket_left_ms(int64_t timeout_ms, uint64_t began);
/* All of the bytes: 0; AGAIN when the time is over, GONE when the peer has closed: a
 * part of them may have gone then. */
int mv_socket_send(intptr_t socket, const void *data, size_t length,
                   int64_t timeout_ms);

/* -- UNIX sockets by path, os/<system>/unix_socket.c -- */

/* Listens at `path`. A socket there that nobody listens on any more is replaced; any
 * other file is an error. */
int mv_unix_listen(const char *path, intptr_t *out, microvm_error *err);
/* Ends what listen made, the file too. */
void mv_unix_unlisten(intptr_t socket, const char *path);
/* Connects at once or not at all: MV_SOCKET_NONE when nobody listens at `path` or its
 * backlog is full. */
intptr_t mv_unix_connect(microvm_socket_type type, const char *path);

/* -- TCP, os/tcp.c -- */

/* Listens at an address, IPv4 or IPv6, not a name. Port 0: any; *bound tells. What is
 * accepted sends at once (TCP_NODELAY). */
int mv_tcp_listen(const char *address, uint16_t port, intptr_t *out, uint16_t *bound,
                  microvm_error *err);
/* The address is this computer's own, which nobody else reaches. */
bool mv_tcp_is_loopback(const char *address);

enum mv_tcp_why {
    MV_TCP_CONNECTED,
    MV_TCP_FAILED,
    MV_TCP_REFUSED,
    MV_TCP_NO_HOST,
    MV_TCP_NO_NETWORK,
    MV_TCP_TIMED_OUT
};
/* A connection that is being made: when it can be written, mv_tcp_dialled says what has
 * become of it. MV_SOCKET_NONE: nothing, and *why. */
intptr_t mv_tcp_dial(const struct mv_address *to, uint16_t port, enum mv_tcp_why *why);
enum mv_tcp_why mv_tcp_dialled(intptr_t socket);
/* To close it, as the end of this process does, too, tells its peer that this was not
 * all; or no longer. Means nothing to other sockets than TCP's. */
void mv_tcp_close_resets(intptr_t socket, bool resets);
/* Closes it so. */
void mv_tcp_reset(intptr_t socket);

#endif
