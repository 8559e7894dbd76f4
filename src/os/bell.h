/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A bell: rung from any thread (or by the hypervisor itself, without an exit of the
 * vCPU to us), heard on the loop. Rings that come before the loop listens are one ring.
 */
#ifndef MV_OS_BELL_H
#define MV_OS_BELL_H

#include "os/loop.h"

struct mv_bell {
    void (*heard)(void *arg);
    void (*closed)(void *arg); /* the memory may go; NULL, or set after open */
    void *arg;
    bool edge;   /* of eventfds: it is heard without being read */
    intptr_t fd; /* eventfd that a hypervisor can write to; -1 where there is none */
    union {
        uv_poll_t poll;
        uv_async_t async;
        uv_handle_t handle;
    } uv;
};

/* On the loop's thread, or before it has one. */
int mv_bell_open(struct mv_bell *bell, struct mv_loop *loop, void (*heard)(void *arg),
                 void *arg, microvm_error *err);

/* On the loop's thread, or where it has none. The memory must stay until `closed` is
 * called or the loop is closed. Accepts a bell never opened (zeroed): not called then.
 */
void mv_bell_close(struct mv_bell *bell);

void mv_bell_ring(struct mv_bell *bell);

#endif
