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
    static int asked;
    while (!asked && (asked = signals_next()) == SIGWINCH)
        asked = 0;
    return asked;
}

void cancel_cut(int fd)
{
    signals_cut(fd);
}

void cancel_release(void)
{
    signals_release();
}

void cancel_pause(unsigned ms)
{
    struct pollfd signals = {.fd = signals_fd(), .events = POLLIN};
    (void)poll(&signals, 1, (int)ms);
}

enum cancel_why cancel_input(int other)
{
    struct pollfd all[] = {{.fd = 0, .events = POLLIN},
                           {.fd = other, .events = POLLIN},
                           {.fd = signals_fd(), .events = POLLIN}};
    for (;;) {
        int ready = poll(all, 3, -1);
        if (cancel_asked())
            return CANCEL_SIGNAL;
        if (ready > 0 && all[0].revents)
            return CANCEL_INPUT;
        if (ready > 0 && all[1].revents)
            return CANCEL_OTHER;
    }
}
