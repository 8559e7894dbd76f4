/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * SHA-256, by libcrypto: what images, layers and manifests are named by.
 */
#ifndef MV_IMAGE_DIGEST_H
#define MV_IMAGE_DIGEST_H

#include "progress.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MV_DIGEST_BYTES = 32,
    MV_DIGEST_TEXT = 7 + 2 * MV_DIGEST_BYTES + 1 /* "sha256:", 64 digits, zero */
};

struct mv_digest {
    uint8_t byte[MV_DIGEST_BYTES];
};

struct mv_hash;

int mv_hash_new(struct mv_hash **hash, microvm_error *err);
void mv_hash_free(struct mv_hash *hash);
void mv_hash_add(struct mv_hash *hash, const void *data, size_t length);
/* Of all that was added; nothing can be added afterwards. */
void mv_hash_end(struct mv_hash *hash, struct mv_digest *digest);

int mv_digest_of(const void *data, size_t length, struct mv_digest *digest,
                 microvm_error *err);
/* Of an open file's first bytes, "image" in messages. */
int mv_digest_file(int fd, uint64_t bytes, const struct mv_progress *progress,
                   struct mv_digest *digest, microvm_error *err);
/* "sha256:..." */
void mv_digest_text(const struct mv_digest *digest, char text[MV_DIGEST_TEXT]);
/* False: not that, in lower case, with nothing after it. */
bool mv_digest_parse(const char *text, struct mv_digest *digest);
bool mv_digest_same(const struct mv_digest *a, const struct mv_digest *b);

#endif
