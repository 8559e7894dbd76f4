/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The cache of pulled images: a folder that several programs may use at once.
 *
 *     blobs/sha256/HEX        manifests, configs, layers, by their digest
 *     blobs/sha256/HEX.part   one that is being downloaded, or was broken off
 *     refs/HEX                what a reference and architecture stand for, as JSON; HEX
 *                             is the digest of both
 *     disks/HEX.ext4          an image as a disk, HEX being its manifest's digest, and
 *     disks/HEX.ext4.json     how it is started: disk.c
 *     lock                    shared while the cache is used, exclusive to remove
 *
 * Files appear under their names complete, by renaming, so a reader needs no lock but
 * the shared one, which keeps blobs from being removed under it.
 */
#ifndef MV_IMAGE_CACHE_H
#define MV_IMAGE_CACHE_H

#include "digest.h"
#include "files.h"
#include "ref.h"

struct mv_cache {
    char folder[MV_FILES_PATH_MAX];
    int lock; /* descriptor */
};
#define MV_CACHE_NONE \
    {                 \
        .lock = -1    \
    }

/* Makes the folder where it is missing. Waits for those who remove, or (`alone`) for
 * all others. */
int mv_cache_open(struct mv_cache *cache, const char *folder, bool alone,
                  microvm_error *err);
void mv_cache_close(struct mv_cache *cache);

/* Where a blob is. */
void mv_cache_blob_path(const struct mv_cache *cache, const struct mv_digest *digest,
                        char path[MV_FILES_PATH_MAX]);
bool mv_cache_has(const struct mv_cache *cache, const struct mv_digest *digest);
/* A small blob as text; its digest is checked. free() it. */
int mv_cache_load(const struct mv_cache *cache, const struct mv_digest *digest,
                  size_t most, char **text, size_t *length, microvm_error *err);
/* Bytes that are at hand become a blob. */
int mv_cache_store(const struct mv_cache *cache, const void *data, size_t length,
                   struct mv_digest *digest, microvm_error *err);

/* A download. begin: `have` bytes are there from an earlier try. finish: the file is
 * the blob. drop: what is there stays for the next try, unless it is worthless. */
struct mv_part {
    int fd;
    uint64_t have;
    char path[MV_FILES_PATH_MAX], final[MV_FILES_PATH_MAX];
};
int mv_cache_part_begin(const struct mv_cache *cache, const struct mv_digest *digest,
                        struct mv_part *part, microvm_error *err);
int mv_cache_part_finish(struct mv_part *part, microvm_error *err);
void mv_cache_part_drop(struct mv_part *part, bool worthless);

/* What a reference stood for when it was pulled last; false: it was not, or the cache
 * has lost the manifest. */
int mv_cache_ref_store(const struct mv_cache *cache, const struct mv_ref *ref,
                       const char *arch, const struct mv_digest *manifest,
                       microvm_error *err);
bool mv_cache_ref_find(const struct mv_cache *cache, const struct mv_ref *ref,
                       const char *arch, struct mv_digest *manifest);

/* Calls `each` with what stands in every file of refs/, sorted by reference; a file
 * that is none of ours is left out. */
struct mv_cache_ref {
    char text[MV_REF_TEXT], arch[16];
    struct mv_digest manifest;
    char path[MV_FILES_PATH_MAX]; /* the file */
};
int mv_cache_refs(const struct mv_cache *cache,
                  int (*each)(void *opaque, const struct mv_cache_ref *ref),
                  void *opaque, microvm_error *err);

#endif
