/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A piece of memory: pointer and length. Same layout as POSIX's struct iovec, so that
 * arrays of it go to the kernel as they are (checked where that is done).
 */
#ifndef MV_UTIL_SPAN_H
#define MV_UTIL_SPAN_H

#include <stddef.h>

struct mv_span {
    void *base;
    size_t length;
};

#endif
