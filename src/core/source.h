/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Bytes by offset from somewhere: a file in life, an array in tests and fuzzers. What
 * the kernel loaders read from, so that they stay pure.
 */
#ifndef MV_CORE_SOURCE_H
#define MV_CORE_SOURCE_H

#include "util/err.h"

struct mv_source {
    const char *name; /* for messages: the path */
    uint64_t size_bytes;
    /* Reads exactly `length` bytes at `offset` (the range lies inside size_bytes), or
     * fails: the file may have become shorter since its size was taken. */
    int (*read)(void *ctx, uint64_t offset, void *to, uint64_t length,
                microvm_error *err);
    void *ctx;
};

/* An open file as a source; file and name are borrowed. */
struct mv_file;
void mv_file_source(const struct mv_file *file, const char *name,
                    struct mv_source *out);

#endif
