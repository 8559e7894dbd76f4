/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What every fuzz target includes: its entry point, and a way to take numbers out of
 * the input. An input that is used up gives zeros, so targets are straight loops:
 *
 *     struct fuzz in = {data, length};
 *     while (fuzz_left(&in))
 *         switch (fuzz8(&in) % 4) { ...
 *
 * Targets check invariants with MV_ASSERT, which traps.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "util/assert.h"
#include "util/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

struct fuzz {
    const uint8_t *data;
    size_t length;
};

static inline size_t fuzz_left(const struct fuzz *in)
{
    return in->length;
}

static inline void fuzz_bytes(struct fuzz *in, void *to, size_t length)
{
    size_t n = MV_MIN(length, in->length);
    memset(to, 0, length);
    memcpy(to, in->data, n);
    in->data += n;
    in->length -= n;
}

static inline uint8_t fuzz8(struct fuzz *in)
{
    uint8_t v;
    fuzz_bytes(in, &v, sizeof v);
    return v;
}

static inline uint16_t fuzz16(struct fuzz *in)
{
    uint16_t v;
    fuzz_bytes(in, &v, sizeof v);
    return v;
}

static inline uint32_t fuzz32(struct fuzz *in)
{
    uint32_t v;
    fuzz_bytes(in, &v, sizeof v);
    return v;
}

static inline uint64_t fuzz64(struct fuzz *in)
{
    uint64_t v;
    fuzz_bytes(in, &v, sizeof v);
    return v;
}

#endif
