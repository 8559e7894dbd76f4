/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helper processes: programs of ours that do in a process of their own what must not
 * happen in the application's. The application never notices: no SIGCHLD comes, no wait
 * of its own finds the helper, nothing of its descriptors is passed on.
 */
#ifndef MV_OS_HELPER_H
#define MV_OS_HELPER_H

#include "util/err.h"

#include <stdbool.h>

enum { MV_HELPER_SOCKETS_MAX = 4, MV_HELPER_PATH = 4096 };

struct mv_helper {
    intptr_t process; /* -1: none */
};
#define MV_HELPER_NONE \
    {                  \
        -1             \
    }

/* Where the program `name` is: beside the running program, in ../libexec of it or (in a
 * build tree) ../netd, or where it is installed. False: nowhere; the path is then where
 * it was looked for last. */
bool mv_helper_find(const char *name, char path[MV_HELPER_PATH]);

/* Starts `path` with the numbers of its sockets as arguments: 3, 4, ... They are
 * duplicates; the three standard streams lead nowhere (a program that reads the
 * application's to their end must not wait for a helper), all signals are blocked. */
int mv_helper_start(struct mv_helper *helper, const char *path, const intptr_t *socket,
                    unsigned sockets, microvm_error *err);

/* Has it ended by itself? */
bool mv_helper_ended(struct mv_helper *helper);
/* Ends it, if it still runs, and waits for that. Accepts one that was never started. */
void mv_helper_stop(struct mv_helper *helper);

/* ---- programs of others, run to their end ---------------------------------------- */

/* Runs argv[0], a path, with nothing in its environment but PATH. It has `fd` as 3,
 * `input` as standard input, `output` as standard output and errors. Asks `go_on` fifty
 * times a second, and ends the program when that is not 0, which it returns. Else 0,
 * and *status is the exit status, 128 and more by a signal. */
int mv_program_run(char *const *argv, int fd, int input, int output,
                   int (*go_on)(void *ctx, microvm_error *err), void *ctx, int *status,
                   microvm_error *err);

#endif
