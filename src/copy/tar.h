/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A tar stream in the place of a disk. tar.c reads and writes it with libarchive;
 * no_tar.c is for builds without, and says so.
 */
#ifndef MV_COPY_TAR_H
#define MV_COPY_TAR_H

#include "copy/copy.h"

struct mv_tar;

/* Reads an archive from a descriptor, which stays the caller's. Its paths are taken as
 * they are below the target; those that lead upwards are an error. */
int mv_tar_read_open(struct mv_tar **out, intptr_t fd, struct mv_copy_source *source,
                     microvm_error *err);
/* Writes one. `name` is put before all paths; NULL: ".". */
int mv_tar_write_open(struct mv_tar **out, intptr_t fd, const char *name,
                      struct mv_copy_sink *sink, microvm_error *err);
/* Completes an archive that was written. */
int mv_tar_end(struct mv_tar *tar, microvm_error *err);
void mv_tar_close(struct mv_tar *tar); /* NULL is accepted */

#endif
