/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contents of a tree's files: one scratch file, written from its beginning to its
 * end, in which a node has a range. What is zero in long runs stays a hole.
 */
#ifndef MV_IMAGE_STORE_H
#define MV_IMAGE_STORE_H

#include "util/err.h"

#include <stddef.h>
#include <stdint.h>

struct mv_store {
    int fd;
    uint64_t used;      /* bytes, holes included */
    uint64_t bytes_max; /* of all files ever added: what a bomb runs into */
};
#define MV_STORE_NONE \
    {                 \
        .fd = -1      \
    }

int mv_store_open(struct mv_store *store, const char *folder, uint64_t bytes_max,
                  microvm_error *err);
void mv_store_close(struct mv_store *store);
/* Forgets everything. */
int mv_store_reset(struct mv_store *store, microvm_error *err);

/* A range of `size_bytes` that reads as zero until it is written. */
int mv_store_add(struct mv_store *store, uint64_t size_bytes, uint64_t *offset,
                 microvm_error *err);
int mv_store_write(struct mv_store *store, uint64_t offset, const void *data,
                   size_t length, microvm_error *err);
int mv_store_read(const struct mv_store *store, uint64_t offset, void *data,
                  size_t length, microvm_error *err);

#endif
