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
/* The signal that asks this program to end; 0: none does. */
int cancel_asked(void);

/* Sleeps so long, or until a signal comes. */
void cancel_pause(unsigned ms);

#endif
