/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The log: the one callback of the public API. Lines are for people who look for the
 * cause of trouble; nothing here is ever needed to use the library. What a guest can
 * cause again and again is logged through a limit.
 */
#ifndef MV_CORE_LOG_H
#define MV_CORE_LOG_H

#include "util/err.h"

#include <stdatomic.h>

struct mv_log {
    microvm_log_fn *fn; /* NULL: nobody listens */
    void *user;
    int level; /* lines above it are not made */
};

void mv_log(const struct mv_log *log, int level, const char *format, ...)
    MV_PRINTF(3, 4);

/* Counts down from `left`: the last line says that more of its kind are suppressed.
 * One per device or chip, in its own struct; any thread. */
struct mv_log_limit {
    atomic_int left;
};
enum { MV_LOG_LIMIT = 8 };

void mv_log_limited(const struct mv_log *log, struct mv_log_limit *limit, int level,
                    const char *format, ...) MV_PRINTF(4, 5);

#endif
