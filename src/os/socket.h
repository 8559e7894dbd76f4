/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Connected stream sockets as plain handles, non-blocking, without SIGPIPE: what the
 * application gets as console. The loop watches them with uv_poll.
 */
#ifndef MV_OS_SOCKET_H
#define MV_OS_SOCKET_H

#include "util/err.h"

enum { MV_SOCKET_NONE = -1 };
enum { MV_SOCKET_AGAIN = -1, MV_SOCKET_GONE = -2 };

/* A connected pair, both ends non-blocking and not inherited by child processes. */
int mv_socket_pair(intptr_t pair[2], microvm_error *err);
void mv_socket_close(intptr_t socket); /* accepts MV_SOCKET_NONE */

/* Bytes moved; AGAIN when it would block; GONE when the peer has closed (a read gives
 * 0 for an orderly end). */
int64_t mv_socket_read(intptr_t socket, void *data, size_t length);
int64_t mv_socket_write(intptr_t socket, const void *data, size_t length);

/* Waits until the socket can be read (or written): 1 yes, 0 time is over. */
int mv_socket_wait(intptr_t socket, int for_write, int64_t timeout_ms);

#endif
