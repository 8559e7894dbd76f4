/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Running a program that does the work, and hearing what it says, line by line.
 * child_posix.c; nothing on Windows runs a shell script.
 */
#ifndef CLI_BUILD_CHILD_H
#define CLI_BUILD_CHILD_H

#include <stddef.h>

/* One line of its standard output, without the end. */
typedef void child_line_fn(void *opaque, const char *line);

/* Until it has ended. What ends us (Ctrl-C) ends it, and all that it has started,
 * first. Its exit status, 128 and the number of the signal, or STATUS_OURS after a
 * message. */
int child_run(const char *const argv[], child_line_fn *line, void *opaque);

/* Gives a line to a program that PATH has, and takes what it prints, ended by a zero;
 * more is cut off. Its exit status, or -1 when it could not be run. It is in our
 * terminal's foreground and may ask something there. *ended_us: the signal that ends us
 * meanwhile, and it, or 0. Signals have been caught. */
int child_ask(const char *const argv[], const char *line, char *answer, size_t size,
              int *ended_us);

#endif
