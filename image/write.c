/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What writers share: contents in pieces, the identity of a tree, modes and device
 * numbers as Linux has them.
 */
#include "write.h"

#include "util/bytes.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 256 * 1024 };

uint64_t mv_write_total(const struct mv_tree *tree)
{
    struct mv_walk walk;
    uint64_t total = 0;
    mv_walk_begin(&walk, tree);
    while (mv_walk_next(&walk))
        if (walk.node->type == MV_NODE_FILE && !walk.again)
            total += walk.node->size_bytes;
    return total;
}

int mv_write_content(const struct mv_write *w, const struct mv_node *node,
                     int (*take)(void *opaque, const void *data, size_t length,
                                 microvm_error *err),
                     void *opaque, uint64_t *done, uint64_t total, microvm_error *err)
{
    void *piece = malloc(PIECE_BYTES);
    int rc = piece ? 0 : mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    for (uint64_t at = 0; !rc && at < node->size_bytes;) {
        size_t length = (size_t)MV_MIN(node->size_bytes - at, (uint64_t)PIECE_BYTES);
        rc = mv_store_read(w->store, node->offset + at, piece, length, err);
        if (!rc)
            rc = take(opaque, piece, length, err);
        at += length;
        *done += length;
        if (!rc)
            rc = mv_progress(w->progress, "writing", *done, total, err);
    }
    free(piece);
    return rc;
}

uint32_t mv_node_st_mode(const struct mv_node *node)
{
    static const uint32_t bits[] = {
        [MV_NODE_FILE] = 0100000,    [MV_NODE_DIRECTORY] = 0040000,
        [MV_NODE_SYMLINK] = 0120000, [MV_NODE_CHAR] = 0020000,
        [MV_NODE_BLOCK] = 0060000,   [MV_NODE_FIFO] = 0010000,
    };
    return bits[node->type] | node->mode;
}

uint32_t mv_node_device(const struct mv_node *node)
{
    return (node->minor & 0xff) | node->major << 8 | (node->minor & ~0xffu) << 12;
}

/* ---- identity -------------------------------------------------------------------- */

static int identity_take(void *opaque, const void *data, size_t length,
                         microvm_error *err)
{
    (void)err;
    mv_hash_add(opaque, data, length);
    return 0;
}

static void identity_text(struct mv_hash *hash, const char *text)
{
    mv_hash_add(hash, text, strlen(text) + 1);
}

static void identity_node(struct mv_hash *hash, const struct mv_walk *walk)
{
    const struct mv_node *node = walk->node;
    uint64_t number[] = {mv_node_st_mode(node),
                         (uint64_t)node->uid << 32 | node->gid,
                         (uint64_t)node->mtime_s,
                         node->size_bytes,
                         (uint64_t)node->major << 32 | node->minor,
                         node->number,
                         node->xattrs};
    identity_text(hash, walk->path);
    mv_hash_add(hash, number, sizeof number);
    identity_text(hash, node->target ? node->target : "");
    for (unsigned i = 0; i < node->xattrs; i++) {
        uint64_t length = node->xattr[i].length;
        identity_text(hash, node->xattr[i].name);
        mv_hash_add(hash, &length, sizeof length);
        mv_hash_add(hash, node->xattr[i].value, node->xattr[i].length);
    }
}

int mv_write_identity(const struct mv_write *w, struct mv_digest *digest,
                      microvm_error *err)
{
    struct mv_walk walk;
    struct mv_write silent = *w; /* this is not the writing */
    struct mv_hash *hash;
    uint64_t done = 0;
    int rc = mv_hash_new(&hash, err);
    if (rc)
        return rc;
    silent.progress = NULL;
    (void)mv_tree_number(w->tree);
    mv_walk_begin(&walk, w->tree);
    while (!rc && mv_walk_next(&walk)) {
        if (walk.leaving)
            continue;
        identity_node(hash, &walk);
        if (walk.node->type == MV_NODE_FILE && !walk.again)
            rc = mv_write_content(&silent, walk.node, identity_take, hash, &done, 0,
                                  err);
    }
    if (!rc)
        mv_hash_end(hash, digest);
    mv_hash_free(hash);
    return rc;
}
