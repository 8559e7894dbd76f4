/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Filling an ext4 file system that exists in memory: a tree's nodes become inodes.
 * Apart from write_ext4.c, which makes the file system around them.
 */
#ifndef MV_IMAGE_EXT4_NODES_H
#define MV_IMAGE_EXT4_NODES_H

#include "write.h"

#include <ext2fs/ext2fs.h>

int mv_ext4_nodes(const struct mv_write *w, ext2_filsys fs, uint32_t nodes,
                  microvm_error *err);
/* A libext2fs code in words; `what` is a path or a part of the file system. */
int mv_ext4_failed(errcode_t code, const char *what, microvm_error *err);

#endif
