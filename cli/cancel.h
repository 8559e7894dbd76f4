/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Ctrl-C and its like as a question, for what has to tidy up before it ends.
 * cancel_posix.c, cancel_win.c.
 */
#ifndef CLI_CANCEL_H
#define CLI_CANCEL_H

#include <stdbool.h>

/* From now on; false after a message. */
bool cancel_catch(void);
/* The signal that has asked this program to end; 0: none has. */
int cancel_asked(void);
/* While one blocks on this socket: a signal ends it. To be followed by cancel_asked,
 * for one that came before. -1: no more. */
void cancel_cut(int fd);
/* The next one ends this program at once: it is tidying up already. */
void cancel_release(void);

/* Sleeps so long, or until a signal comes. */
void cancel_pause(unsigned ms);

/* Until standard input can be read, a signal asks this program to end, or the other
 * descriptor (-1: none) can be read. */
enum cancel_why { CANCEL_INPUT, CANCEL_SIGNAL, CANCEL_OTHER };
enum cancel_why cancel_input(int other);

#endif
