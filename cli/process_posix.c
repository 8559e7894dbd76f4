/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Pipes and ends of child processes.
 */
#define _GNU_SOURCE
#include "process_posix.h"

#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

bool process_pipe(int ends[2])
{
    if (pipe(ends) != 0) {
        say("pipe: %s", strerror(errno));
        return false;
    }
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return true;
}

int process_status(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return STATUS_OURS;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
