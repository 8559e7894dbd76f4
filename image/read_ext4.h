/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An ext4 file system that a guest has written to, as a tree.
 */
#ifndef MV_IMAGE_READ_EXT4_H
#define MV_IMAGE_READ_EXT4_H

#include "layer.h"
#include "progress.h"
#include "store.h"
#include "tree.h"

/* Into a new tree; contents are added to the store. Sockets are left out, device nodes
 * are as `devices` says. */
int mv_read_ext4(struct mv_tree *tree, struct mv_store *store, int fd,
                 enum mv_devices devices, const struct mv_progress *progress,
                 microvm_error *err);

#endif
