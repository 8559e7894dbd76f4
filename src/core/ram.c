/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Guest memory: one host mapping, cut into at most two regions around the hole below
 * 4 GiB where devices live.
 */
#include "core/ram.h"

#include "os/mem.h"
#include "util/bytes.h"

int mv_ram_open(struct mv_ram *ram, uint64_t size_bytes, uint64_t hole_start,
                uint64_t hole_end, unsigned flags, microvm_error *err)
{
    void *base;
    if (size_bytes > SIZE_MAX - MV_MIB(2))
        return mv_fail(err, MICROVM_E_MEMORY,
                       "memory: this host cannot address %llu bytes",
                       (unsigned long long)size_bytes);
    int rc = mv_mem_map((size_t)size_bytes, flags, &base, err);
    if (rc)
        return rc;
    uint64_t low = MV_MIN(size_bytes, hole_start);
    *ram = (struct mv_ram){.base = base, .size_bytes = size_bytes, .count = 1};
    ram->region[0] = (struct mv_ram_region){.gpa = 0, .size = low, .host = base};
    if (size_bytes > low) {
        ram->region[1] = (struct mv_ram_region){
            .gpa = hole_end, .size = size_bytes - low, .host = (uint8_t *)base + low};
        ram->count = 2;
    }
    return 0;
}

void mv_ram_close(struct mv_ram *ram)
{
    mv_mem_unmap(ram->base, (size_t)ram->size_bytes);
    *ram = (struct mv_ram){.base = NULL};
}

void *mv_ram_at(const struct mv_ram *ram, uint64_t gpa, uint64_t len)
{
    for (unsigned i = 0; i < ram->count; i++) {
        const struct mv_ram_region *r = &ram->region[i];
        if (mv_inside(gpa, len, r->gpa, r->size))
            return r->host + (gpa - r->gpa);
    }
    return NULL;
}

bool mv_ram_read(const struct mv_ram *ram, uint64_t gpa, void *to, uint64_t len)
{
    const void *from = mv_ram_at(ram, gpa, len);
    if (from)
        memcpy(to, from, (size_t)len);
    return from != NULL;
}

bool mv_ram_write(const struct mv_ram *ram, uint64_t gpa, const void *from,
                  uint64_t len)
{
    void *to = mv_ram_at(ram, gpa, len);
    if (to)
        memcpy(to, from, (size_t)len);
    return to != NULL;
}
