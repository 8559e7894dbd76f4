/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * cmocka with the headers it wants before itself, and checks for our error values.
 */
#ifndef TESTS_LIB_CHECK_H
#define TESTS_LIB_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/err.h"

/* Fails with the error's message unless rc is 0. */
#define assert_ok(rc, err) check_ok((rc), (err), __FILE__, __LINE__)
void check_ok(int rc, const microvm_error *err, const char *file, int line);

/* Fails unless rc and err->code are `code` and the message contains `words`. */
#define assert_error(rc, err, code, words) \
    check_error((rc), (err), (code), (words), __FILE__, __LINE__)
void check_error(int rc, const microvm_error *err, int code, const char *words,
                 const char *file, int line);

/* What a parser says of a text, which it refuses for a reason with `wanted` in it;
 * NULL: which it takes. */
void check_verdict(bool taken, const char *text, const char *why, const char *wanted);

#endif
