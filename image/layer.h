/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Archives on top of a tree: layers of OCI images, and root file systems as tar files.
 */
#ifndef MV_IMAGE_LAYER_H
#define MV_IMAGE_LAYER_H

#include "digest.h"
#include "progress.h"
#include "store.h"
#include "tree.h"
#include "unpack.h"

/* Device nodes in archives. A guest makes its own (devtmpfs), so an image has no use
 * for them, and one that carries some may be meant for another machine than a guest. */
enum mv_devices { MV_DEVICES_REFUSE, MV_DEVICES_KEEP, MV_DEVICES_SKIP };

struct mv_layer_options {
    const char *what; /* begins messages: "layer 2 of alpine" */
    bool whiteouts;   /* an OCI layer: names that begin with ".wh." remove */
    enum mv_devices devices;
    const struct mv_progress *progress; /* or NULL */
    uint64_t blob_bytes;                /* for progress; 0: not known */
};

/* Applies a tar archive, compressed or not, as the tree's next layer. After an error
 * the tree is whole, with a part of the layer in it. *diff_id, unless NULL, becomes the
 * digest of the uncompressed archive. */
int mv_layer_apply(struct mv_tree *tree, struct mv_store *store,
                   const struct mv_blob *blob, const struct mv_layer_options *options,
                   struct mv_digest *diff_id, microvm_error *err);

#endif
