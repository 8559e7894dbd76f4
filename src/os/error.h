/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Failing with what the operating system said. The message becomes "<yours>: <its>".
 */
#ifndef MV_OS_ERROR_H
#define MV_OS_ERROR_H

#include "util/err.h"

/* The calling thread's last OS error (errno, GetLastError), as MICROVM_E_IO. */
int mv_fail_os(microvm_error *err, const char *format, ...) MV_PRINTF(2, 3);

/* The same with another code, and with the OS error given (errno numbering on POSIX).
 */
int mv_fail_os_code(microvm_error *err, int code, int os_code, const char *format, ...)
    MV_PRINTF(4, 5);

/* A libuv result (negative), as MICROVM_E_IO. */
int mv_fail_uv(microvm_error *err, int uv_code, const char *format, ...)
    MV_PRINTF(3, 4);

#endif
