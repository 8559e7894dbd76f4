/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Signals through a pipe that their handler writes to. What was ignored when we were
 * started stays ignored: nohup stays nohup.
 */
#define _GNU_SOURCE
#include "signals.h"

#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int signal_pipe[2] = {-1, -1};
static volatile sig_atomic_t signal_cuts = -1;
static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};

static void on_signal(int number)
{
    int saved = errno;
    char byte = (char)number;
    (void)!write(signal_pipe[1], &byte, 1);
    if (signal_cuts >= 0 && number != SIGWINCH && number != SIGTSTP)
        (void)shutdown(signal_cuts, SHUT_RDWR);
    errno = saved;
}

static bool open_pipe(void)
{
    if (pipe(signal_pipe) != 0)
        return false;
    for (int i = 0; i < 2; i++) {
        (void)fcntl(signal_pipe[i], F_SETFD, FD_CLOEXEC);
        (void)fcntl(signal_pipe[i], F_SETFL, O_NONBLOCK);
    }
    return true;
}

bool signals_catch(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (!open_pipe()) {
        say("pipe: %s", strerror(errno));
        return false;
    }
    for (unsigned i = 0; i < sizeof caught / sizeof caught[0]; i++) {
        struct sigaction before;
        if (sigaction(caught[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            (void)sigaction(caught[i], &action, NULL);
    }
    (void)sigaction(SIGPIPE, &ignore, NULL);
    return true;
}

int signals_fd(void)
{
    return signal_pipe[0];
}

int signals_next(void)
{
    char byte;
    return read(signal_pipe[0], &byte, 1) == 1 ? byte : 0;
}

void signals_cut(int fd)
{
    signal_cuts = fd;
}

void signals_release(void)
{
    struct sigaction now, usual = {.sa_handler = SIG_DFL};
    for (unsigned i = 0; i < sizeof caught / sizeof caught[0]; i++)
        if (sigaction(caught[i], NULL, &now) == 0 && now.sa_handler == on_signal)
            (void)sigaction(caught[i], &usual, NULL);
}
