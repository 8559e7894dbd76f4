/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the parts of tree writing share (tree_write.c, tree_place.c).
 */
#ifndef MV_OS_POSIX_TREE_POSIX_H
#define MV_OS_POSIX_TREE_POSIX_H

#include "os/tree.h"

#include <limits.h>

/* Where the root goes: a name in a folder, or a folder that is there. */
struct mv_filetree_found {
    int parent; /* -1: */
    int root;   /* the root itself */
    char leaf[NAME_MAX + 1];
};

int mv_filetree_place_find(struct mv_filetree_found *found,
                           const struct mv_filetree_place *place, microvm_error *err);

/* A name that means something inside of its folder. */
bool mv_filetree_name_is_plain(const char *name, size_t length);

#endif
