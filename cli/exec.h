/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A command in a guest, joined to this program's standard streams. exec_posix.c;
 * Windows has no named machines yet.
 */
#ifndef CLI_EXEC_H
#define CLI_EXEC_H

#include <microvm/microvm.h>

#include <stdbool.h>

struct exec {
    const char *name; /* the machine's */
    microvm_command command;
    bool input;      /* standard input goes to the command */
    bool raw;        /* this terminal is the command's */
    int64_t wait_ms; /* for the agent to be there */
};

/* Runs it over a connection to the agent, which it takes over, and returns the exit
 * status. What went wrong has been said. */
int exec_run(const struct exec *exec, int connection);

#endif
