/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Our own words: to standard error, one line each, marked as ours. Standard output is
 * the guest's, or the answer of a command that was asked something.
 */
#include "cli.h"
#include "term.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 640 };

void say(const char *format, ...)
{
    const char *end = term_is_raw() ? "\r\n" : "\n";
    char line[LINE_BYTES + 3];
    va_list args;
    size_t mark = (size_t)snprintf(line, LINE_BYTES, "%s: ", program.name);
    va_start(args, format);
    (void)vsnprintf(line + mark, LINE_BYTES - mark, format, args);
    va_end(args);
    memcpy(line + strlen(line), end, strlen(end) + 1);
    (void)fputs(line, stderr);
}

int finish(int status)
{
    if (!fflush(stdout) && !ferror(stdout))
        return status;
    say("standard output: writing failed");
    return STATUS_OURS;
}

void put_json_string(const char *text)
{
    (void)putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            (void)printf("\\%c", c);
        else if (c < 0x20)
            (void)printf("\\u%04x", c);
        else
            (void)putchar(c);
    }
    (void)putchar('"');
}

bool colours(void)
{
    const char *no_color = getenv("NO_COLOR");
    const char *kind = getenv("TERM");
    return !(no_color && *no_color) && kind && strcmp(kind, "dumb") &&
           term_is_terminal(1);
}
