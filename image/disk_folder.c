/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a folder of the host holds, as one digest: of all that goes into an image of it,
 * and of nothing else, so that equal folders are one disk.
 */
#include "disk_folder.h"

#include "scan.h"
#include "util/bytes.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 128 * 1024 };

struct folder {
    struct mv_tree tree;
    struct mv_store store;
    struct mv_hash *hash;
    uint8_t *piece;
};

/* With its length in front, so that no two lists of them are the same bytes. */
static void add_bytes(struct mv_hash *hash, const void *data, size_t length)
{
    uint8_t number[8];
    mv_store64(number, length);
    mv_hash_add(hash, number, sizeof number);
    mv_hash_add(hash, data, length);
}

static void add_number(struct mv_hash *hash, uint64_t value)
{
    uint8_t number[8];
    mv_store64(number, value);
    mv_hash_add(hash, number, sizeof number);
}

static int add_content(struct folder *f, const struct mv_node *node, microvm_error *err)
{
    int rc = 0;
    add_number(f->hash, node->size_bytes);
    for (uint64_t at = 0; !rc && at < node->size_bytes;) {
        size_t n = (size_t)MV_MIN(node->size_bytes - at, (uint64_t)PIECE_BYTES);
        rc = mv_store_read(&f->store, node->offset + at, f->piece, n, err);
        if (!rc)
            mv_hash_add(f->hash, f->piece, n);
        at += n;
    }
    return rc;
}

static int add_node(struct folder *f, const struct mv_walk *walk, microvm_error *err)
{
    const struct mv_node *node = walk->node;
    add_bytes(f->hash, walk->path, strlen(walk->path));
    add_number(f->hash, node->number);
    if (walk->again)
        return 0;
    add_number(f->hash, node->type);
    add_number(f->hash, node->mode);
    add_number(f->hash, node->xattrs);
    for (unsigned i = 0; i < node->xattrs; i++) {
        add_bytes(f->hash, node->xattr[i].name, strlen(node->xattr[i].name));
        add_bytes(f->hash, node->xattr[i].value, node->xattr[i].length);
    }
    if (node->type == MV_NODE_SYMLINK)
        add_bytes(f->hash, node->target, strlen(node->target));
    return node->type == MV_NODE_FILE ? add_content(f, node, err) : 0;
}

static int folder_hash(struct folder *f, struct mv_digest *digest, microvm_error *err)
{
    struct mv_walk walk;
    int rc = 0;
    (void)mv_tree_number(&f->tree);
    mv_walk_begin(&walk, &f->tree);
    while (!rc && mv_walk_next(&walk))
        if (!walk.leaving)
            rc = add_node(f, &walk, err);
    if (!rc)
        mv_hash_end(f->hash, digest);
    return rc;
}

int mv_disk_folder_digest(const char *host, const char *scratch,
                          const struct mv_progress *progress, struct mv_digest *digest,
                          microvm_error *err)
{
    struct mv_scan_options options = {
        .devices = MV_DEVICES_SKIP, .mode = -1, .progress = progress};
    struct folder f = {.store = MV_STORE_NONE};
    int rc = mv_tree_init(&f.tree, err);
    if (rc)
        return rc;
    f.piece = malloc(PIECE_BYTES);
    rc = f.piece ? mv_store_open(&f.store, scratch, UINT64_MAX, err)
                 : mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    if (!rc)
        rc = mv_hash_new(&f.hash, err);
    if (!rc)
        rc = mv_scan(&f.tree, &f.store, host, "", &options, err);
    if (!rc)
        rc = folder_hash(&f, digest, err);
    mv_hash_free(f.hash);
    mv_store_close(&f.store);
    free(f.piece);
    mv_tree_done(&f.tree);
    return rc;
}
