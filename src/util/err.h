/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How internal functions fail: in one line. The error value is the public one, so
 * nothing is translated on its way out. err may be NULL everywhere.
 *
 *     return mv_fail(err, MICROVM_E_INVALID, "cpus: %u is more than %u", n, max);
 */
#ifndef MV_UTIL_ERR_H
#define MV_UTIL_ERR_H

#include "microvm/microvm.h"

#include <stdarg.h>

#if defined(__MINGW32__)
#define MV_PRINTF(f, a) __attribute__((format(gnu_printf, f, a)))
#else
#define MV_PRINTF(f, a) __attribute__((format(printf, f, a)))
#endif

/* Writes *err and returns code. */
int mv_fail(microvm_error *err, int code, const char *format, ...) MV_PRINTF(3, 4);
int mv_vfail(microvm_error *err, int code, int os_code, const char *format,
             va_list args) MV_PRINTF(4, 0);

/* Copies *from (an error kept earlier) to *err and returns its code. */
int mv_fail_again(microvm_error *err, const microvm_error *from);

#endif
