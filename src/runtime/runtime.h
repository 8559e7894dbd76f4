/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the parts of the runtime API know of one another:
 *
 *   runtime.c   the machine and its life
 *   client.c    connections with its ports; what clients share with the runtime is a
 *               door that the runtime closes
 *   console.c   its console for many readers, a thread that reads it for them
 *   vpn.c       questions and answers of a VPN gateway's daemon, over client.c
 *   shared.c    what several hold, in several threads
 */
#ifndef MV_RUNTIME_RUNTIME_H
#define MV_RUNTIME_RUNTIME_H

#include <microvm/runtime.h>

#include "os/loop.h" /* uv's threads and clock */
#include "util/err.h"

/* -- shared.c -- */

/* The first member of what is freed when its last holder has left. */
struct mv_shared {
    uv_mutex_t lock;
    uv_cond_t changed;
    unsigned count; /* holders; one at first */
};
/* 0, or -1: there is no memory. */
int mv_shared_open(struct mv_shared *shared);
/* True: that was the last holder, nobody has the lock, and the memory may go. */
bool mv_shared_leave(struct mv_shared *shared);

/* -- client.c -- */

microvm_client *mv_client_new(microvm *vm, microvm_error *err);
/* The machine has been killed: waits for the calls that are under way, and no other
 * call reaches it any more. Accepts NULL. */
void mv_client_shut(microvm_client *client);
/* As microvm_client_request_on. client NULL: the connection is somebody else's, and
 * whether its end is a cut is not known. */
int mv_client_request_on(microvm_client *client, intptr_t connection, const void *data,
                         size_t length, int64_t timeout_ms, char **text,
                         size_t *reply_length, microvm_error *err);

/* -- console.c -- */

struct mv_console;
struct mv_console *mv_console_new(size_t history, microvm_error *err);
/* Begins to read; the machine does not run yet. */
int mv_console_start(struct mv_console *console, microvm *vm, microvm_error *err);
/* The machine has ended. Accepts NULL. */
void mv_console_end(struct mv_console *console);
microvm_subscriber *mv_console_subscribe(struct mv_console *console, size_t history,
                                         microvm_error *err);
int mv_console_input(struct mv_console *console, const void *data, size_t length,
                     int64_t timeout_ms, microvm_error *err);

#endif
