/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Files and block devices by offset, the same on every system. Blocking; nothing here
 * is for a data path (that is backing/disk_*).
 */
#ifndef MV_OS_FILE_H
#define MV_OS_FILE_H

#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mv_file {
    intptr_t handle; /* descriptor or HANDLE; -1 when closed */
    uint64_t size_bytes;
    bool block_device;
};
#define MV_FILE_CLOSED \
    {                  \
        .handle = -1   \
    }

enum { MV_FILE_WRITE = 1u << 0, MV_FILE_DIRECT = 1u << 1 };

/* Opens an existing regular file or block device. `what` begins the error message:
 * "kernel", "disk". A directory, socket or FIFO is refused by name of its kind. */
int mv_file_open(struct mv_file *file, const char *what, const char *path,
                 unsigned flags, microvm_error *err);
void mv_file_close(struct mv_file *file);

/* Bytes read, less than length only at the end of the file, or -1 (errno is set). */
int64_t mv_file_read(const struct mv_file *file, uint64_t offset, void *data,
                     size_t length);

#endif
