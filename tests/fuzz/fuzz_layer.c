/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Archives from anywhere, applied as an OCI layer over a small tree. Whatever happens,
 * the tree stays one (fuzz_tree.h).
 */
#include "fuzz_tree.h"

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
    fuzz_tree_check(&tree, &store, false);
    mv_tree_done(&tree);
    return 0;
}
