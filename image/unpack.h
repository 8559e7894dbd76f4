/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Bytes of a file or of memory, decompressed (gzip, zstd, xz, bzip2, lz4 or nothing, as
 * the bytes themselves say), counted and hashed as they pass. Decompressing is a stage
 * of its own in front of the archive reader, so that the limits hold for every byte,
 * also for those that the reader would skip.
 */
#ifndef MV_IMAGE_UNPACK_H
#define MV_IMAGE_UNPACK_H

#include "digest.h"
#include "util/err.h"

#include <stddef.h>
#include <stdint.h>

/* Where bytes come from: a descriptor, read from its start and not closed, or memory.
 */
struct mv_blob {
    int fd; /* -1: memory */
    const void *data;
    size_t length;
};

struct mv_unpack;

/* At most `bytes_max` will be given. `what` is borrowed; it begins messages. */
int mv_unpack_open(const struct mv_blob *blob, const char *what, uint64_t bytes_max,
                   struct mv_unpack **unpack, microvm_error *err);
void mv_unpack_close(struct mv_unpack *unpack);
/* The next bytes, valid until the next call; *length 0 at the end. */
int mv_unpack_next(struct mv_unpack *unpack, const void **data, size_t *length,
                   microvm_error *err);
/* Bytes of the compressed form so far. */
uint64_t mv_unpack_taken(const struct mv_unpack *unpack);
/* Reads what is left and gives the digest of everything. */
int mv_unpack_digest(struct mv_unpack *unpack, struct mv_digest *digest,
                     microvm_error *err);

#endif
