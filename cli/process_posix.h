/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What everybody needs who has a child process: a pipe that nobody else inherits, and
 * how the child ended.
 */
#ifndef CLI_PROCESS_H
#define CLI_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

/* Both ends are closed by exec. False after a message. */
bool process_pipe(int ends[2]);
/* Waits: its exit status, 128 and the number of the signal, or STATUS_OURS where it is
 * no child of ours. */
int process_status(pid_t child);

#endif
