/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * `microvm run -d`: the machine lives on in a process of its own. The one that was
 * started waits until the machine runs, and is given its name; or passes on how it
 * failed. detach_posix.c; detach_win.c refuses.
 */
#ifndef CLI_DETACH_H
#define CLI_DETACH_H

#include <stdbool.h>
#include <stddef.h>

/* Splits the process in two, while it is still small. In the new one, which runs the
 * machine, true. The old one does not come back before the machine runs or has failed:
 * false then, with the machine's name in `name`, or "" and the exit status in *status.
 */
bool detach(char *name, size_t size, int *status);
/* The same for a machine that lives no longer than the old process. */
bool detach_for(char *name, size_t size, int *status);
/* In the old one: the exit status of the machine's process, when that has ended by
 * itself by now or within so many milliseconds; -1: it has not. */
int detach_ended(int wait_ms);
/* In the new one: the pipe that tells of the old one's end; -1: it ends by itself. */
int detach_life(void);
/* In the new one: the machine runs under this name; from now on nobody listens to what
 * it says. */
void detach_running(const char *name);

#endif
