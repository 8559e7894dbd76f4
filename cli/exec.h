/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A command in a guest, joined to this program's standard streams. exec.c is what flags
 * say of it; exec_posix.c moves the bytes (Windows has no named machines yet).
 */
#ifndef CLI_EXEC_H
#define CLI_EXEC_H

#include "cli.h"

struct exec {
    microvm_command command;
    const char **env;   /* of the command; to be freed */
    bool input;         /* standard input goes to the command */
    bool raw;           /* this terminal is the command's */
    int64_t wait_ms;    /* for the agent to be there */
    microvm_error *cut; /* NULL: what ends it otherwise than by its end is said; else it
                           is left here, where the code is not 0 */
};

/* What the flags --interactive, --tty, --env, --workdir, --user and the words behind
 * them say. False after a message. */
bool exec_from_args(struct exec *exec, const struct args *args);
/* Its streams alone. */
bool exec_streams(struct exec *exec, bool interactive, bool tty);

/* A connection to the agent of a named machine; -1 after a message, or with one in
 * `err` when that is given. */
int exec_connect(const char *name, int64_t wait_ms, microvm_error *err);
/* Runs it there and returns the exit status. What went wrong has been said. */
int exec_in(const struct exec *exec, const char *name);
/* Says why the agent has refused a command; the exit status, which is its own. */
int exec_refused(const microvm_error *err);
/* The same over a connection to the agent, which it takes over. */
int exec_run(const struct exec *exec, int connection);

#endif
