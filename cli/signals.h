/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Signals as something to poll for, on POSIX systems: those that end a program, that
 * stop it, and that tell of the terminal's size. SIGPIPE is an error of write(2).
 */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include <stdbool.h>

/* From now on; once. False after a message. */
bool signals_catch(void);
/* Readable while one waits. */
int signals_fd(void);
/* The next one's number; 0: none waits. */
int signals_next(void);
/* What ends a program ends this socket, both ways, too: who blocks on it comes back.
 * -1: none. */
void signals_cut(int fd);
/* From now on they do what they do in every program. */
void signals_release(void);

#endif
