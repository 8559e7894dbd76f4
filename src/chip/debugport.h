/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The debug port (0xe9, as in Bochs): boot time marks. A guest that writes 0, 1, 2 or 3
 * for the first time marks a point of its boot; the time of each is read for
 * statistics. Everything else that is written is for tests, which may listen.
 *
 * There is nothing to save: what a guest reads never changes, and the marks are times
 * of this host.
 */
#ifndef MV_CHIP_DEBUGPORT_H
#define MV_CHIP_DEBUGPORT_H

#include "core/bus.h"

enum {
    MV_DEBUGPORT_SIZE = 1, /* ports */
    MV_DEBUGPORT_MARKS = 4
};

/* Ready when zeroed. */
struct mv_debugport {
    _Atomic uint64_t mark_ns[MV_DEBUGPORT_MARKS]; /* monotonic; 0: not reached */
    /* Every byte written, on the vCPU's thread. NULL: nobody listens. Set before the
     * first vCPU runs. */
    void (*written)(void *ctx, uint8_t value);
    void *ctx;
};

extern const struct mv_bus_ops mv_debugport_bus;

/* When the guest reached `mark` (uv_hrtime), 0 when it has not. Any thread. */
uint64_t mv_debugport_mark_ns(const struct mv_debugport *port, unsigned mark);

#endif
