/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Filling in the public error value. No allocation, so failing cannot fail. Messages
 * name files and repeat what guests say, so what a terminal or JSON would mind is
 * replaced.
 */
#include "util/err.h"

#include "util/str.h"

#include <stdio.h>

int mv_vfail(microvm_error *err, int code, int os_code, const char *format,
             va_list args)
{
    if (err) {
        err->code = code;
        err->os_code = os_code;
        (void)vsnprintf(err->message, sizeof err->message, format, args);
        mv_str_mend(err->message);
    }
    return code;
}

int mv_fail(microvm_error *err, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)mv_vfail(err, code, 0, format, args);
    va_end(args);
    return code;
}

int mv_fail_again(microvm_error *err, const microvm_error *from)
{
    if (err)
        *err = *from;
    return from->code;
}
