/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Files and block devices by offset, the same on every system. Everything here blocks;
 * disks call it from threads of their own (backing/disk_pool.c).
 *
 * A file opened for direct I/O has two handles, one around the page cache and one
 * through it. Each transfer takes the first where its offset, length and memory are
 * aligned as the host demands, else the second: the kernel keeps the two coherent, so a
 * guest that knows nothing of the host's alignment gets the right bytes, only slower.
 */
#ifndef MV_OS_FILE_H
#define MV_OS_FILE_H

#include "util/err.h"
#include "util/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mv_file {
    const char *path; /* as given to open, borrowed; for messages */
    intptr_t handle;  /* descriptor or HANDLE; -1 when closed */
    intptr_t direct;  /* the same file around the page cache; -1: there is none */
    uint64_t size_bytes;
    uint32_t align_bytes; /* what `direct` demands; 1 where there is none */
    bool block_device;
    bool can_discard; /* opened for writing, and ranges of it can be freed */
};
#define MV_FILE_CLOSED             \
    {                              \
        .handle = -1, .direct = -1 \
    }

enum {
    MV_FILE_WRITE = 1u << 0,
    MV_FILE_DIRECT = 1u << 1,
    /* With WRITE nobody else may hold the lock, without it no writer may. Advisory:
     * binds those who ask. File systems that know no locks are let pass. */
    MV_FILE_LOCK = 1u << 2
};

/* Opens an existing regular file or block device. `what` begins the error message:
 * "kernel", "disk". A directory, socket or FIFO is refused by name of its kind. */
int mv_file_open(struct mv_file *file, const char *what, const char *path,
                 unsigned flags, microvm_error *err);
void mv_file_close(struct mv_file *file);

/* Bytes read, less than length only at the end of the file, or -1, upon which
 * mv_fail_os knows why. */
int64_t mv_file_read(const struct mv_file *file, uint64_t offset, void *data,
                     size_t length);

/* Move what the spans hold after their first `skip` bytes; `offset` is where the first
 * byte of the first span belongs. Bytes moved, skip included: less than the spans hold
 * only at the end of the file. Or a negative libuv code (UV_EIO), as everywhere below.
 */
int64_t mv_file_readv(const struct mv_file *file, uint64_t offset,
                      const struct mv_span *span, unsigned spans, uint64_t skip);
int64_t mv_file_writev(const struct mv_file *file, uint64_t offset,
                       const struct mv_span *span, unsigned spans, uint64_t skip);

/* The handle that a transfer of all spans would take. */
intptr_t mv_file_handle(const struct mv_file *file, uint64_t offset,
                        const struct mv_span *span, unsigned spans);

/* Flush: what was written is on stable storage. Discard: the
 * range's content does not matter any more; where nothing can be freed it does nothing.
 * Zero: the range reads as zero; its space may be freed if may_unmap. */
int mv_file_flush(const struct mv_file *file);
int mv_file_discard(const struct mv_file *file, uint64_t offset, uint64_t length);
int mv_file_zero(const struct mv_file *file, uint64_t offset, uint64_t length,
                 bool may_unmap);

#endif
