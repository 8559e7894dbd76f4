/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What os/file.c needs of each system: one attempt each, no policy. All return a
 * negative libuv code when they fail; UV_ENOTSUP where the system or the file system
 * has no such thing, so that file.c tries the next way.
 */
#ifndef MV_OS_FILE_SYS_H
#define MV_OS_FILE_SYS_H

#include "os/file.h"

/* Bytes moved by one attempt, maybe fewer than asked for; reading: 0 at the end. */
int64_t mv_file_sys_readv(intptr_t handle, uint64_t offset, const struct mv_span *span,
                          unsigned spans);
int64_t mv_file_sys_writev(intptr_t handle, uint64_t offset, const struct mv_span *span,
                           unsigned spans);

int mv_file_sys_flush(intptr_t handle);

/* Frees the range of a file or device; what it reads as afterwards is undefined. */
int mv_file_sys_discard(const struct mv_file *file, uint64_t offset, uint64_t length);
/* The range reads as zero and is freed; or: reads as zero and stays allocated. */
int mv_file_sys_punch(const struct mv_file *file, uint64_t offset, uint64_t length);
int mv_file_sys_zero(const struct mv_file *file, uint64_t offset, uint64_t length);

#endif
