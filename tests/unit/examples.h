/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The examples of a protocol in proto/: a line each, bytes in hexadecimal digits, the
 * message's NAME, and in words what it is read as. Both ends' tests take them from
 * there.
 */
#ifndef TESTS_UNIT_EXAMPLES_H
#define TESTS_UNIT_EXAMPLES_H

#include "check.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct example {
    uint8_t bytes[600];
    size_t length;
    char name[20], words[300];
};

/* "    05 01 00    METHODS none": true, and what is in it. */
static inline bool example_parse(const char *line, struct example *e)
{
    int used = 0;
    unsigned byte;
    *e = (struct example){.length = 0};
    if (strncmp(line, "    ", 4))
        return false;
    for (line += 4; sscanf(line, "%2x%n", &byte, &used) == 1 && used == 2; line += 3) {
        e->bytes[e->length++] = (uint8_t)byte;
        if (line[2] != ' ')
            return false;
    }
    line += strspn(line, " ");
    if (e->length == 0 || sscanf(line, "%19[A-Z]%n", e->name, &used) != 1)
        return false;
    line += used + (line[used] == ' ');
    (void)snprintf(e->words, sizeof e->words, "%.*s", (int)strcspn(line, "\n"), line);
    return true;
}

/* The next one of a file in proto/. */
static inline bool example_next(FILE *file, struct example *e)
{
    char line[600];
    while (fgets(line, sizeof line, file)) {
        if (example_parse(line, e))
            return true;
    }
    return false;
}

static inline FILE *examples_open(const char *name)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/proto/%s", MV_SOURCE_ROOT, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    return file;
}

/* The bytes that stand for these words. */
static inline struct example example_of(const char *file_name, const char *name,
                                        const char *words)
{
    struct example e;
    FILE *file = examples_open(file_name);
    while (example_next(file, &e) && (strcmp(e.name, name) || strcmp(e.words, words)))
        continue;
    (void)fclose(file);
    assert_string_equal(e.name, name);
    assert_string_equal(e.words, words);
    return e;
}

#endif
