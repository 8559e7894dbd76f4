/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How often the library, linked into a test, asked for memory. Where the linker cannot
 * put a counter before the allocator (meson.build), nothing is known, and a test that
 * asks is skipped.
 */
#ifndef TESTS_LIB_ALLOCATIONS_H
#define TESTS_LIB_ALLOCATIONS_H

#include "check.h"

#include <stdio.h>

/* Calls of malloc, calloc, realloc, aligned_alloc, posix_memalign and strdup up to now,
 * of every thread; those inside other libraries are not among them. */
unsigned long allocations(void);

#ifdef MV_TEST_ALLOCATIONS
#define ALLOCATIONS_OR_SKIP() (void)0
#else
#define ALLOCATIONS_OR_SKIP()                                             \
    do {                                                                  \
        print_message("not run: this linker cannot count allocations\n"); \
        skip();                                                           \
    } while (0)
#endif

#endif
