/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Counts allocations: the linker's --wrap sends each call here first. How a call is
 * made is the allocator's business, so nothing but the count is added.
 */
#include "allocations.h"

#include <stdatomic.h>
#include <stdlib.h>

static atomic_ulong count; /* of the test program */

unsigned long allocations(void)
{
    return atomic_load(&count);
}

/* The names are the linker's: NAME becomes __wrap_NAME, __real_NAME is the old one. */
#define COUNTED(type, name, parameters, arguments) \
    type __real_##name parameters;                 \
    type __wrap_##name parameters;                 \
    type __wrap_##name parameters                  \
    {                                              \
        (void)atomic_fetch_add(&count, 1);         \
        return __real_##name arguments;            \
    }

#ifdef MV_TEST_ALLOCATIONS
COUNTED(void *, malloc, (size_t bytes), (bytes))
COUNTED(void *, calloc, (size_t n, size_t bytes), (n, bytes))
COUNTED(void *, realloc, (void *old, size_t bytes), (old, bytes))
COUNTED(char *, strdup, (const char *text), (text))
#ifndef _WIN32
COUNTED(void *, aligned_alloc, (size_t align, size_t bytes), (align, bytes))
COUNTED(int, posix_memalign, (void **to, size_t align, size_t bytes),
        (to, align, bytes))
#endif
#endif
