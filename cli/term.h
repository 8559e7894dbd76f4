/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The user's terminal: raw while a guest has it, and given back whatever happens.
 * term_posix.c, term_win.c.
 */
#ifndef CLI_TERM_H
#define CLI_TERM_H

#include <stdbool.h>
#include <stdint.h>

/* fd: 0, 1 or 2. */
bool term_is_terminal(int fd);

/* Standard input's terminal from now on without echo, line editing and signals from
 * keys. Starts no thread. On POSIX a small child process puts the terminal back when
 * this process is killed; call it while the process is still small. */
bool term_make_raw(void);
/* As it was found. Safe to call at any time, also when nothing was changed. */
void term_restore(void);
bool term_is_raw(void);

/* Sleeps as SIGTSTP wants it, with the terminal as it was found meanwhile. */
void term_suspend(void);

/* Milliseconds of a clock that only goes on: for what is redrawn. */
uint64_t term_clock_ms(void);

/* False when it cannot be known. */
bool term_size(uint16_t *columns, uint16_t *rows);

#endif
