/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The content of a folder of the host.
 */
#ifndef MV_IMAGE_DISK_FOLDER_H
#define MV_IMAGE_DISK_FOLDER_H

#include "digest.h"
#include "progress.h"

/* Of names, permissions, links, attributes and contents; not of owners and times, which
 * images of folders do not have. `scratch`: a folder for a file of that size. */
int mv_disk_folder_digest(const char *host, const char *scratch,
                          const struct mv_progress *progress, struct mv_digest *digest,
                          microvm_error *err);

#endif
