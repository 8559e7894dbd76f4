/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Byte order and checked arithmetic. Everything that a guest or a file can influence is
 * loaded and added through here. All formats we touch are little-endian, and so is
 * every host we support, but unaligned access is not allowed to matter: hence memcpy.
 */
#ifndef MV_UTIL_BYTES_H
#define MV_UTIL_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian hosts only");

#define MV_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MV_MIN(a, b)    ((a) < (b) ? (a) : (b))
#define MV_MAX(a, b)    ((a) > (b) ? (a) : (b))
#define MV_KIB(n)       ((uint64_t)(n) << 10)
#define MV_MIB(n)       ((uint64_t)(n) << 20)
#define MV_GIB(n)       ((uint64_t)(n) << 30)

/* The struct that `ptr`, a pointer to its member, lies in. */
#define MV_CONTAINER(ptr, type, member) \
    ((type *)(void *)((uint8_t *)(ptr)-offsetof(type, member)))

/* Zeros over a secret, which the compiler must not leave away. */
static inline void mv_wipe(void *secret, size_t size)
{
    volatile uint8_t *byte = (volatile uint8_t *)secret;
    while (size--)
        *byte++ = 0;
}

static inline uint16_t mv_load16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t mv_load32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t mv_load64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void mv_store16(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void mv_store32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void mv_store64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}

/* True, and *sum = a + b, unless the sum does not fit. */
static inline bool mv_add(uint64_t a, uint64_t b, uint64_t *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}

/* True when [start, start + len) lies inside [base, base + size). */
static inline bool mv_inside(uint64_t start, uint64_t len, uint64_t base, uint64_t size)
{
    return start >= base && len <= size && start - base <= size - len;
}

/* True when [a, a + a_len) and [b, b + b_len) have a byte in common. The ends must have
 * been checked to fit in 64 bits. */
static inline bool mv_overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

/* Rounding to a power of two. The caller knows that up does not overflow. */
static inline uint64_t mv_align_down(uint64_t v, uint64_t align)
{
    return v & ~(align - 1);
}

static inline uint64_t mv_align_up(uint64_t v, uint64_t align)
{
    return mv_align_down(v + align - 1, align);
}

/* All bits of an access of `size` bytes (1, 2, 4 or 8). */
static inline uint64_t mv_size_mask(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (1ull << (size * 8)) - 1;
}

#endif
