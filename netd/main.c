/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm-netd: the user network of one machine, in a process of its own. The library
 * starts it with two sockets: frames (packets) and control (control.h).
 * It ends when either is closed, so when its machine does.
 */
#define _GNU_SOURCE
#include "control.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static int fd_argument(const char *text)
{
    char *end;
    long fd = strtol(text, &end, 10);
    bool ok = *text && !*end && fd >= 0 && fd < 1 << 20 && fcntl((int)fd, F_GETFD) >= 0;
    return ok ? (int)fd : -1;
}

int main(int argc, char **argv)
{
    static struct netd netd;
    if (argc != 3 || (netd.stack.out.socket = fd_argument(argv[1])) < 0 ||
        (netd.control = fd_argument(argv[2])) < 0) {
        (void)fprintf(stderr,
                      "microvm-netd is started by libmicrovm, with two sockets:\n"
                      "usage: microvm-netd FRAMES_FD CONTROL_FD\n");
        return 2;
    }
    sigset_t none;
    (void)sigemptyset(&none); /* we were started with all of them blocked */
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    /* libslirp writes to sockets of the host's whose other end may be gone. */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)fcntl(netd.stack.out.socket, F_SETFL, O_NONBLOCK);
    while (!netd.opened && !netd.gone)
        control_read(&netd);
    while (!netd.gone) {
        bool closed = false;
        if (stack_turn(&netd.stack, netd.control, &closed))
            control_read(&netd);
        netd.gone = netd.gone || closed;
    }
    stack_close(&netd.stack);
    return 0;
}
