/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What disk.c and the implementations share.
 */
#ifndef MV_BACKING_DISK_IMPL_H
#define MV_BACKING_DISK_IMPL_H

#include "backing/disk.h"
#include "os/file.h"

/* Both take the file over when they succeed. */
int mv_disk_threads_open(struct mv_file *file, struct mv_loop *loop,
                         struct mv_disk **out, microvm_error *err);
/* UNSUPPORTED where the build or the kernel has no io_uring for us. */
int mv_disk_uring_open(struct mv_file *file, struct mv_loop *loop, struct mv_disk **out,
                       microvm_error *err);

/* mv_disk_open with the implementation named; tests and measurements compare them. */
typedef int mv_disk_make(struct mv_file *file, struct mv_loop *loop,
                         struct mv_disk **out, microvm_error *err);
int mv_disk_open_by(mv_disk_make *make, const struct mv_disk_config *config,
                    struct mv_loop *loop, struct mv_disk **out, microvm_error *err);

/* The end of a request. */
static inline void mv_disk_finish(struct mv_disk *disk, struct mv_disk_request *request,
                                  int result)
{
    disk->requests++;
    if (result == 0 && request->op == MV_DISK_READ)
        disk->read_bytes += request->length;
    if (result == 0 && request->op == MV_DISK_WRITE)
        disk->write_bytes += request->length;
    request->done(request, result);
}

#endif
