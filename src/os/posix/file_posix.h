/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What posix/file.c needs of linux/file.c and macos/file.c when it opens a file.
 */
#ifndef MV_OS_POSIX_FILE_POSIX_H
#define MV_OS_POSIX_FILE_POSIX_H

#include "os/file.h"

/* The size of a block device; 0, or -1 and errno is set. */
int mv_file_posix_device_size(int fd, uint64_t *size_bytes);

/* Makes an open file a direct one: fills direct and align_bytes. */
int mv_file_posix_direct(struct mv_file *file, const char *what, const char *path,
                         unsigned flags, microvm_error *err);

/* Whether ranges can be freed. Changes nothing in the file. */
bool mv_file_posix_can_discard(const struct mv_file *file);

#endif
