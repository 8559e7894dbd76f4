/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A pollable flag: signalled from any thread, seen by whoever polls its handle (the
 * application's own loop, or the hypervisor for interrupts on Linux).
 */
#ifndef MV_OS_NOTIFY_H
#define MV_OS_NOTIFY_H

#include "util/err.h"

#include <stdbool.h>

struct mv_notify {
    intptr_t handle; /* eventfd, read end of a pipe, or event HANDLE; -1 closed */
    intptr_t write;  /* where signals go; the same as handle except for a pipe */
};
#define MV_NOTIFY_CLOSED          \
    {                             \
        .handle = -1, .write = -1 \
    }

int mv_notify_open(struct mv_notify *notify, microvm_error *err);
void mv_notify_close(struct mv_notify *notify); /* accepts a closed one */
void mv_notify_signal(struct mv_notify *notify);
/* True when it had been signalled. */
bool mv_notify_clear(struct mv_notify *notify);

#endif
