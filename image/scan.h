/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Files of the host into a tree.
 */
#ifndef MV_IMAGE_SCAN_H
#define MV_IMAGE_SCAN_H

#include "layer.h"
#include "progress.h"
#include "store.h"
#include "tree.h"

struct mv_scan_options {
    enum mv_devices devices;
    uint32_t uid, gid; /* everything's owner: the host's own mean nothing in a guest */
    int mode;          /* of a file that is scanned itself; -1: the host's */
    int64_t mtime_s;
    const struct mv_progress *progress;
};

/* What is at `host`, a file or a folder with all that is in it, becomes `path` of the
 * tree. Symbolic links in a folder are kept, not followed (`host` itself is); other
 * file systems mounted in it are left out, their mount points kept. Host files count
 * with their permissions, content, links and the attributes "user." and
 * "security.capability". */
int mv_scan(struct mv_tree *tree, struct mv_store *store, const char *host,
            const char *path, const struct mv_scan_options *options,
            microvm_error *err);

#endif
