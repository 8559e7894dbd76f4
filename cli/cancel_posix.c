/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The signals that end a program, by their pipe; Ctrl-Z still stops it.
 */
#define _GNU_SOURCE
#include "cancel.h"

#include "signals.h"

#include <poll.h>
#include <signal.h>

bool cancel_catch(void)
{
    return signals_catch() && signal(SIGTSTP, SIG_DFL) != SIG_ERR;
}

int cancel_asked(void)
{
    int number;
    while ((number = signals_next()) == SIGWINCH)
        ;
    return number;
}

void cancel_pause(unsigned ms)
{
    struct pollfd signals = {.fd = signals_fd(), .events = POLLIN};
    (void)poll(&signals, 1, (int)ms);
}
