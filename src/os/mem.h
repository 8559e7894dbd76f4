/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Big memory: what stands behind guest RAM. Address space is reserved at once and pages
 * come on first touch, so an idle guest costs what it uses.
 */
#ifndef MV_OS_MEM_H
#define MV_OS_MEM_H

#include "util/err.h"

#include <stdbool.h>

enum {
    MV_MEM_LARGE_PAGES = 1u << 0, /* ask for large pages where the OS has them */
    MV_MEM_SHARED = 1u << 1       /* a mapping that another process can be given */
};

/* Zeroed memory, aligned to 2 MiB. size must be a multiple of the page size. */
int mv_mem_map(size_t size_bytes, unsigned flags, void **out, microvm_error *err);
void mv_mem_unmap(void *base, size_t size_bytes);

/* Gives the pages back to the OS. They read as zero afterwards, on Windows as anything.
 * Range page-aligned. */
int mv_mem_discard(void *base, size_t size_bytes);

size_t mv_mem_page_size(void);

#endif
