/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How far something long is: one line on the terminal that is written over. On anything
 * but a terminal, and for what is quick, there is none.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what; /* "cp" */
    bool shown, off;
    double began_s, shown_s;
};

void progress_begin(struct progress *progress, const char *what, bool off);
/* total 0: not known. */
void progress_show(struct progress *progress, uint64_t bytes, uint64_t total,
                   uint64_t entries);
/* Takes the line away, before other words and at the end. */
void progress_clear(struct progress *progress);

#endif
