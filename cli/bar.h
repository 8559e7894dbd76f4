/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How far something long has come, on standard error: a bar that redraws itself on a
 * terminal, with rate and estimate; else a line for each step, and now and then one
 * more.
 */
#ifndef CLI_BAR_H
#define CLI_BAR_H

#include <stdbool.h>
#include <stdint.h>

enum { BAR_STEP_TEXT = 40, BAR_SIZE_TEXT = 24 };

struct bar {
    const char *unit;  /* "files"; NULL: bytes. The caller's, after bar_begin */
    unsigned later_ms; /* nothing is shown of a step that takes less; as unit */
    bool quiet, terminal, drawn;
    char step[BAR_STEP_TEXT]; /* being shown */
    uint64_t step_ms;         /* when it began */
    uint64_t begun;           /* what was done of it then */
    uint64_t shown_ms;        /* when it was shown last */
};

void bar_begin(struct bar *bar, bool quiet);
/* total 0: not known. Draws at most some times a second. */
void bar_show(struct bar *bar, const char *step, uint64_t done, uint64_t total);
/* Takes the bar away. */
void bar_end(struct bar *bar);

/* "12.3 MiB" */
void bar_size(char text[BAR_SIZE_TEXT], uint64_t bytes);

#endif
