/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Builds without libarchive have no tar streams.
 */
#include "copy/tar.h"

static int unsupported(microvm_error *err)
{
    return mv_fail(err, MICROVM_E_UNSUPPORTED,
                   "tar streams are not in this build: it has no libarchive");
}

int mv_tar_read_open(struct mv_tar **out, intptr_t fd, struct mv_copy_source *source,
                     microvm_error *err)
{
    (void)out, (void)fd, (void)source;
    return unsupported(err);
}

int mv_tar_write_open(struct mv_tar **out, intptr_t fd, const char *name,
                      struct mv_copy_sink *sink, microvm_error *err)
{
    (void)out, (void)fd, (void)name, (void)sink;
    return unsupported(err);
}

int mv_tar_end(struct mv_tar *tar, microvm_error *err)
{
    (void)tar;
    return unsupported(err);
}

void mv_tar_close(struct mv_tar *tar)
{
    (void)tar;
}
