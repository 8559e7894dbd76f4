/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Making log lines: formatted on the stack, cut to fit.
 */
#include "core/log.h"

#include <stdio.h>

enum { LINE_BYTES = 256 };

MV_PRINTF(4, 0)
static void log_line(const struct mv_log *log, int level, const char *tail,
                     const char *format, va_list args)
{
    char line[LINE_BYTES + 48];
    int n = vsnprintf(line, LINE_BYTES, format, args);
    if (n < 0)
        return;
    size_t used = n < LINE_BYTES ? (size_t)n : LINE_BYTES - 1;
    (void)snprintf(line + used, sizeof line - used, "%s", tail);
    log->fn(log->user, level, line);
}

void mv_log(const struct mv_log *log, int level, const char *format, ...)
{
    if (!log->fn || level > log->level)
        return;
    va_list args;
    va_start(args, format);
    log_line(log, level, "", format, args);
    va_end(args);
}

void mv_log_limited(const struct mv_log *log, struct mv_log_limit *limit, int level,
                    const char *format, ...)
{
    if (!log->fn || level > log->level || atomic_load(&limit->left) <= 0)
        return;
    int left = atomic_fetch_sub(&limit->left, 1);
    if (left <= 0)
        return;
    va_list args;
    va_start(args, format);
    log_line(log, level, left == 1 ? " (no more lines of this kind)" : "", format,
             args);
    va_end(args);
}
