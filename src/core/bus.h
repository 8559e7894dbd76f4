/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A bus: which handler answers at which address. A machine has two, ports and device
 * memory. Built before the first vCPU runs and read-only afterwards, so vCPUs look up
 * without a lock.
 */
#ifndef MV_CORE_BUS_H
#define MV_CORE_BUS_H

#include "util/err.h"

#include <stdbool.h>

/* What a chip or a transport does when the guest touches it. Called on vCPU threads,
 * from several at once; offset is relative to the range's base, size is 1, 2, 4 or 8,
 * and offset + size lies inside the range. Values are zero-extended. */
struct mv_bus_ops {
    uint64_t (*read)(void *chip, uint64_t offset, unsigned size);
    void (*write)(void *chip, uint64_t offset, unsigned size, uint64_t value);
};

struct mv_bus_range {
    uint64_t base, size;
    const struct mv_bus_ops *ops;
    void *chip;
};

enum { MV_BUS_RANGES_MAX = 64 }; /* 32 virtio devices and a dozen chips, twice over */

struct mv_bus {
    struct mv_bus_range range[MV_BUS_RANGES_MAX]; /* sorted by base */
    unsigned count;
};

/* Fails when the range is empty, wraps, overlaps another, or the bus is full. */
int mv_bus_add(struct mv_bus *bus, uint64_t base, uint64_t size,
               const struct mv_bus_ops *ops, void *chip, microvm_error *err);

/* An access that hits no range, or crosses the end of one, reads as all ones and its
 * write is dropped, as on a PC; false then, for a log line. */
bool mv_bus_read(const struct mv_bus *bus, uint64_t address, unsigned size,
                 uint64_t *value);
bool mv_bus_write(const struct mv_bus *bus, uint64_t address, unsigned size,
                  uint64_t value);

#endif
