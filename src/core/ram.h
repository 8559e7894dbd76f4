/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Guest memory, and the only place in the tree where a guest-physical address (gpa)
 * becomes a pointer. mv_ram_at gives a pointer only when the whole range lies in one
 * region, so whoever holds one cannot leave guest memory by the length it asked for.
 *
 * What stands in guest memory can change at any moment: copy once (mv_ram_read), then
 * check the copy.
 */
#ifndef MV_CORE_RAM_H
#define MV_CORE_RAM_H

#include "util/err.h"

#include <stdbool.h>

struct mv_ram_region {
    uint64_t gpa;
    uint64_t size;
    uint8_t *host;
};

struct mv_ram {
    struct mv_ram_region region[2]; /* below and above the hole; in order of gpa */
    unsigned count;
    void *base;          /* one host mapping for all regions */
    uint64_t size_bytes; /* of it */
};

/* Regions of guest memory: [0, size) moved up to continue at hole_end where it would
 * reach into [hole_start, hole_end). flags: MV_MEM_* of os/mem.h. */
int mv_ram_open(struct mv_ram *ram, uint64_t size_bytes, uint64_t hole_start,
                uint64_t hole_end, unsigned flags, microvm_error *err);
void mv_ram_close(struct mv_ram *ram);

/* NULL unless [gpa, gpa + len) lies in one region. len 0 is allowed inside a region. */
void *mv_ram_at(const struct mv_ram *ram, uint64_t gpa, uint64_t len);

/* Copy out of and into guest memory; false, and nothing copied, if out of range. */
bool mv_ram_read(const struct mv_ram *ram, uint64_t gpa, void *to, uint64_t len);
bool mv_ram_write(const struct mv_ram *ram, uint64_t gpa, const void *from,
                  uint64_t len);

#endif
