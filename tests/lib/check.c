/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Checks for error values and verdicts that print what was there instead.
 */
#include "check.h"

#include <string.h>

void check_ok(int rc, const microvm_error *err, const char *file, int line)
{
    if (rc == 0)
        return;
    print_error("%s:%d: %d: %s\n", file, line, rc, err->message);
    _fail(file, line);
}

void check_error(int rc, const microvm_error *err, int code, const char *words,
                 const char *file, int line)
{
    if (rc == code && err->code == code && strstr(err->message, words))
        return;
    print_error("%s:%d: wanted %d \"...%s...\", got %d (%d) \"%s\"\n", file, line, code,
                words, rc, err->code, err->message);
    _fail(file, line);
}

void check_verdict(bool taken, const char *text, const char *why, const char *wanted)
{
    if (!wanted) {
        assert_string_equal(why, "");
        assert_true(taken);
        return;
    }
    assert_false(taken);
    if (!strstr(why, wanted))
        fail_msg("'%s' is refused by '%s', which has no '%s'", text, why, wanted);
}
