/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Images of registries, through the cache.
 */
#ifndef MV_IMAGE_PULL_H
#define MV_IMAGE_PULL_H

#include "cache.h"
#include "manifest.h"
#include "progress.h"

struct mv_pull_options {
    const char *arch;          /* "x86_64" */
    const char *cache;         /* folder */
    const char *docker_config; /* file with credentials; NULL, or not there: none */
    microvm_image_helper_fn *helper; /* or NULL */
    void *helper_opaque;
    const struct mv_progress *progress;
    bool refresh; /* ask the registry, also for what the cache has */
};

/* NULL also of a caller that was compiled before there was one. */
static inline microvm_image_helper_fn *mv_pull_helper(
    const microvm_image_options *options)
{
    return options->size >=
                   offsetof(microvm_image_options, helper) + sizeof options->helper
               ? options->helper
               : NULL;
}

/* An image whose blobs are all in the cache, which stays locked until it is freed. */
struct mv_pulled {
    struct mv_cache cache;
    struct mv_ref ref;
    struct mv_digest digest; /* of the manifest */
    struct mv_manifest manifest;
    struct mv_config_of_image config;
};
#define MV_PULLED_NONE         \
    {                          \
        .cache = MV_CACHE_NONE \
    }

int mv_pull(const char *reference, const struct mv_pull_options *options,
            struct mv_pulled *pulled, microvm_error *err);
/* Accepts MV_PULLED_NONE. */
void mv_pulled_free(struct mv_pulled *pulled);

#endif
