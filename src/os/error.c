/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * OS errors in words. libuv knows the words for every system we run on; it also maps
 * Windows' numbers to errno-like names, so the text needs no code per system.
 */
#include "os/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#ifdef _WIN32
#include <windows.h>
static int last_error(void)
{
    return (int)GetLastError();
}
#else
static int last_error(void)
{
    return errno;
}
#endif

MV_PRINTF(5, 0)
static int vfail(microvm_error *err, int code, int os_code, int uv_code,
                 const char *format, va_list args)
{
    if (!err)
        return code;
    (void)mv_vfail(err, code, os_code, format, args);
    char words[96];
    size_t used = strlen(err->message);
    (void)snprintf(err->message + used, sizeof err->message - used, ": %s",
                   uv_strerror_r(uv_code, words, sizeof words));
    return code;
}

int mv_fail_os(microvm_error *err, const char *format, ...)
{
    int os_code = last_error();
    va_list args;
    va_start(args, format);
    (void)vfail(err, MICROVM_E_IO, os_code, uv_translate_sys_error(os_code), format,
                args);
    va_end(args);
    return MICROVM_E_IO;
}

int mv_fail_os_code(microvm_error *err, int code, int os_code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vfail(err, code, os_code, uv_translate_sys_error(os_code), format, args);
    va_end(args);
    return code;
}

int mv_fail_uv(microvm_error *err, int uv_code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vfail(err, MICROVM_E_IO, -uv_code, uv_code, format, args);
    va_end(args);
    return MICROVM_E_IO;
}
