/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What registries say of an image, as JSON: an index of several platforms' manifests, a
 * manifest with its config and layers, the config itself. Those of the OCI image
 * specification 1.1 and Docker's "schema 2", which differ in names only. Pure: bytes
 * in, structs out.
 */
#ifndef MV_IMAGE_MANIFEST_H
#define MV_IMAGE_MANIFEST_H

#include "digest.h"
#include "recipe.h"
#include "util/err.h"

enum {
    MV_LAYERS_MAX = 128,            /* docker builds at most 127 */
    MV_MANIFEST_BYTES_MAX = 4 << 20 /* the limit of distribution's registry */
};

struct mv_descriptor {
    struct mv_digest digest;
    uint64_t size_bytes;
};

struct mv_manifest {
    struct mv_descriptor config;
    struct mv_descriptor layer[MV_LAYERS_MAX];
    unsigned layers;
};

/* Of `text`: is it an index? `what` begins messages, here and below. */
int mv_manifest_is_index(const char *what, const char *text, size_t length,
                         bool *is_index, microvm_error *err);
/* The manifest in an index for Linux on `arch` ("x86_64", "arm64"). */
int mv_index_choose(const char *what, const char *text, size_t length, const char *arch,
                    struct mv_descriptor *manifest, microvm_error *err);
int mv_manifest_parse(const char *what, const char *text, size_t length,
                      struct mv_manifest *manifest, microvm_error *err);

/* The config: how the image is started, and what its layers unpack to. */
struct mv_config_of_image {
    char arch[16]; /* ours: "x86_64", "arm64"; else as it says */
    struct mv_texts env, entrypoint, cmd;
    char *workdir, *user; /* NULL: not said */
    struct mv_digest diff_id[MV_LAYERS_MAX];
    unsigned diff_ids;
};
int mv_config_of_image_parse(const char *what, const char *text, size_t length,
                             struct mv_config_of_image *config, microvm_error *err);
void mv_config_of_image_free(struct mv_config_of_image *config);

#endif
