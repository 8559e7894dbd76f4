/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Archives from anywhere, applied as an OCI layer over a small tree. Whatever happens,
 * the tree stays one: sorted names, every node as many names as it says, contents
 * inside of the store, and a walk that ends.
 */
#include "fuzz.h"

#include "layer.h"

#include <stdlib.h>
#include <string.h>

enum { STORE_BYTES = 1 << 20, ENTRIES = 1000 };

static void add(struct mv_tree *tree, const char *path, enum mv_node_type type)
{
    struct mv_node *node = mv_node_new(type);
    MV_ASSERT(node);
    if (type == MV_NODE_SYMLINK)
        node->target = strdup("/etc");
    MV_ASSERT(!mv_tree_put(tree, path, node, NULL));
}

static void check_node(const struct mv_node *node, const struct mv_store *store)
{
    MV_ASSERT(node->mode <= 07777);
    MV_ASSERT(node->type != MV_NODE_FILE ||
              node->offset + node->size_bytes <= store->used);
    MV_ASSERT(node->type != MV_NODE_SYMLINK || *node->target);
    MV_ASSERT(node->type != MV_NODE_CHAR && node->type != MV_NODE_BLOCK);
    for (unsigned i = 1; i < node->children; i++)
        MV_ASSERT(strcmp(node->child[i - 1]->text, node->child[i]->text) < 0);
    for (unsigned i = 0; i < node->children; i++)
        MV_ASSERT(node->child[i]->parent == node && node->child[i]->node->names > 0);
}

static void check_tree(struct mv_tree *tree, const struct mv_store *store)
{
    static struct mv_walk walk; /* large */
    char path[MV_TREE_PATH_MAX], clean[MV_TREE_PATH_MAX];
    uint32_t nodes = mv_tree_number(tree), seen = 0;
    mv_walk_begin(&walk, tree);
    while (mv_walk_next(&walk)) {
        if (walk.leaving)
            continue;
        seen += !walk.again;
        check_node(walk.node, store);
        MV_ASSERT(!mv_tree_path(walk.path, false, clean, NULL));
        MV_ASSERT(!strcmp(walk.path, clean));
        MV_ASSERT(mv_tree_find(tree, walk.path, NULL) == walk.node);
        mv_tree_path_of(tree, walk.node, path);
        MV_ASSERT(walk.again || !strcmp(path, walk.path));
    }
    MV_ASSERT(seen == nodes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct mv_store store = MV_STORE_NONE; /* one file for all inputs */
    struct mv_layer_options options = {.what = "layer", .whiteouts = true};
    struct mv_blob blob = {.fd = -1, .data = data, .length = length};
    struct mv_tree tree;
    microvm_error err;
    if (store.fd < 0)
        MV_ASSERT(!mv_store_open(&store, "/tmp", STORE_BYTES, NULL));
    MV_ASSERT(!mv_store_reset(&store, NULL));
    MV_ASSERT(!mv_tree_init(&tree, NULL));
    tree.entries_max = ENTRIES;
    add(&tree, "etc/passwd", MV_NODE_FILE);
    add(&tree, "link", MV_NODE_SYMLINK);
    add(&tree, "usr/bin/a", MV_NODE_FILE);
    MV_ASSERT(!mv_tree_link(&tree, "usr/bin/b", "usr/bin/a", NULL));
    if (length && data[0] == 's') {
        options.devices = MV_DEVICES_SKIP;
        blob.data = data + 1;
        blob.length--;
    }
    if (mv_layer_apply(&tree, &store, &blob, &options, NULL, &err))
        MV_ASSERT(err.code < 0 && err.message[0]);
    check_tree(&tree, &store);
    mv_tree_done(&tree);
    return 0;
}
