/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Detaching on POSIX systems. The new process keeps standard error until its machine
 * runs, so that a failure is said where the user looks; a pipe carries the name.
 */
#define _GNU_SOURCE
#include "detach.h"

#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int name_pipe = -1;

static void become_nobodys(int fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0)
        (void)dup2(null, fd);
    if (null > 2)
        (void)close(null);
}

static int wait_status(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return STATUS_OURS;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The old process: the name, or how it ended instead. */
static int wait_for_name(int pipe, pid_t child)
{
    char name[128];
    size_t length = 0;
    ssize_t n = 1;
    while (n > 0 && length < sizeof name - 1) {
        n = read(pipe, name + length, sizeof name - 1 - length);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            length += (size_t)n;
    }
    name[length] = '\0';
    if (length == 0)
        return wait_status(child);
    (void)puts(name);
    return finish(0);
}

bool detach(int *status)
{
    int ends[2];
    *status = STATUS_OURS;
    if (pipe(ends) != 0) {
        say("--detach: %s", strerror(errno));
        return false;
    }
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    pid_t child = fork();
    if (child != 0) {
        (void)close(ends[1]);
        if (child > 0)
            *status = wait_for_name(ends[0], child);
        else
            say("--detach: %s", strerror(errno));
        (void)close(ends[0]);
        return false;
    }
    (void)close(ends[0]);
    name_pipe = ends[1];
    (void)setsid();
    become_nobodys(1);
    return true;
}

void detach_running(const char *name)
{
    become_nobodys(0); /* --config - was read from it */
    become_nobodys(2);
    if (name_pipe < 0)
        return;
    (void)!write(name_pipe, name, strlen(name));
    (void)close(name_pipe);
    name_pipe = -1;
}
