/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * os/error.h for the code that the agent shares with the library, which has libuv's
 * words there; here they are the C library's.
 */
#include "os/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int fail(microvm_error *err, int code, int os_code, const char *format,
                va_list args)
{
    if (!err)
        return code;
    (void)mv_vfail(err, code, os_code, format, args);
    size_t used = strlen(err->message);
    (void)snprintf(err->message + used, sizeof err->message - used, ": %s",
                   strerror(os_code));
    return code;
}

int mv_fail_os(microvm_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int rc = fail(err, MICROVM_E_IO, errno, format, args);
    va_end(args);
    return rc;
}

int mv_fail_os_code(microvm_error *err, int code, int os_code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int rc = fail(err, code, os_code, format, args);
    va_end(args);
    return rc;
}
