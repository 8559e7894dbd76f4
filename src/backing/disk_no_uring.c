/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Stands where the build has no liburing.
 */
#include "backing/disk_impl.h"

int mv_disk_uring_open(struct mv_file *file, struct mv_loop *loop, struct mv_disk **out,
                       microvm_error *err)
{
    (void)file;
    (void)loop;
    (void)out;
    return mv_fail(err, MICROVM_E_UNSUPPORTED, "this build has no io_uring");
}
