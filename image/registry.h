/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A registry, by the OCI distribution specification 1.1: manifests and blobs of one
 * repository.
 */
#ifndef MV_IMAGE_REGISTRY_H
#define MV_IMAGE_REGISTRY_H

#include "cache.h"
#include "manifest.h"
#include "progress.h"
#include "ref.h"

struct mv_registry;

/* user: "name:password" or "". helper: credentials may be where we do not look; only
 * the message of a refusal changes. `ref` is borrowed. */
int mv_registry_open(const struct mv_ref *ref, const char *user, bool helper,
                     const struct mv_progress *progress, struct mv_registry **registry,
                     microvm_error *err);
void mv_registry_close(struct mv_registry *registry);

/* A manifest or index by tag or digest, as it came; free() it. */
int mv_registry_manifest(struct mv_registry *registry, const char *name, char **text,
                         size_t *length, microvm_error *err);
/* A blob into the cache. It is checked while it comes; what is there of an earlier try
 * is used; a connection that breaks is made again a few times. */
int mv_registry_blob(struct mv_registry *registry, const struct mv_cache *cache,
                     const struct mv_descriptor *blob, microvm_error *err);

#endif
