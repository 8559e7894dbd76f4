/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What is true of every tree of an image, whoever's bytes it was made of: sorted names,
 * each node as many names as it says, contents inside of the store, and a walk that
 * ends.
 */
#ifndef TESTS_FUZZ_FUZZ_TREE_H
#define TESTS_FUZZ_FUZZ_TREE_H

#include "fuzz.h"

#include "store.h"
#include "tree.h"

#include <string.h>

static inline void fuzz_tree_node(const struct mv_node *node,
                                  const struct mv_store *store)
{
    MV_ASSERT(node->mode <= 07777);
    MV_ASSERT(node->type != MV_NODE_FILE ||
              (node->offset <= store->used &&
               node->size_bytes <= store->used - node->offset));
    MV_ASSERT(node->type != MV_NODE_SYMLINK || *node->target);
    for (unsigned i = 1; i < node->children; i++)
        MV_ASSERT(strcmp(node->child[i - 1]->text, node->child[i]->text) < 0);
    for (unsigned i = 0; i < node->children; i++)
        MV_ASSERT(node->child[i]->parent == node && node->child[i]->node->names > 0);
}

static inline void fuzz_tree_check(struct mv_tree *tree, const struct mv_store *store,
                                   bool devices)
{
    static struct mv_walk walk; /* large */
    char path[MV_TREE_PATH_MAX], clean[MV_TREE_PATH_MAX];
    uint32_t nodes = mv_tree_number(tree), seen = 0;
    mv_walk_begin(&walk, tree);
    while (mv_walk_next(&walk)) {
        if (walk.leaving)
            continue;
        seen += !walk.again;
        fuzz_tree_node(walk.node, store);
        MV_ASSERT(devices || (walk.node->type != MV_NODE_CHAR &&
                              walk.node->type != MV_NODE_BLOCK));
        MV_ASSERT(!mv_tree_path(walk.path, false, clean, NULL));
        MV_ASSERT(!strcmp(walk.path, clean));
        MV_ASSERT(mv_tree_find(tree, walk.path, NULL) == walk.node);
        mv_tree_path_of(tree, walk.node, path);
        MV_ASSERT(walk.again || !strcmp(path, walk.path));
    }
    MV_ASSERT(seen == nodes);
}

#endif
