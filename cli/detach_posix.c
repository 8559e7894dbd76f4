/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Detaching on POSIX systems. The new process keeps standard error until its machine
 * runs, so that a failure is said where the user looks (for good, where the old process
 * stays); a pipe carries the name.
 */
#define _GNU_SOURCE
#include "detach.h"

#include "cli.h"
#include "process_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int name_pipe = -1, machine_pipe = -1;
static bool lives_for;             /* the old process */
static pid_t machine_process = -1; /* the new one, in the old one */

static void become_nobodys(int fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0)
        (void)dup2(null, fd);
    if (null > 2)
        (void)close(null);
}

/* The old process: the name, a line, or how it ended instead. */
static int wait_for_name(int pipe, pid_t child, char *name, size_t size)
{
    size_t length = 0;
    ssize_t n = 1;
    while (length < size - 1 && (n > 0 || errno == EINTR)) {
        n = read(pipe, name + length, 1);
        if (n == 0 || (n > 0 && name[length] == '\n'))
            break;
        length += n > 0 ? 1 : 0;
    }
    name[length] = '\0';
    return length ? 0 : process_status(child);
}

/* In the new process true, with the pipe to the old one, which is told the name. */
static bool split(char *name, size_t size, int *status, int *pipe_end)
{
    int ends[2];
    *name = '\0';
    *status = STATUS_OURS;
    if (!process_pipe(ends))
        return false;
    pid_t child = fork();
    *pipe_end = ends[child == 0];
    (void)close(ends[child != 0]);
    if (child == 0) {
        name_pipe = *pipe_end;
        (void)setsid();
        become_nobodys(1);
        return true;
    }
    machine_process = child;
    if (child > 0)
        *status = wait_for_name(*pipe_end, child, name, size);
    else
        say("fork: %s", strerror(errno));
    return false;
}

bool detach(char *name, size_t size, int *status)
{
    int end;
    return split(name, size, status, &end);
}

bool detach_for(char *name, size_t size, int *status)
{
    /* The old process's end is open as long as it lives, and so is the new one's. */
    lives_for = split(name, size, status, &machine_pipe);
    return lives_for;
}

int detach_ended(int wait_ms)
{
    struct pollfd gone = {.fd = machine_pipe, .events = POLLIN};
    if (machine_process < 0 || poll(&gone, 1, wait_ms) != 1)
        return -1;
    return process_status(machine_process);
}

int detach_life(void)
{
    return lives_for ? name_pipe : -1;
}

void detach_running(const char *name)
{
    become_nobodys(0); /* --config - was read from it */
    if (!lives_for)
        become_nobodys(2);
    if (name_pipe < 0)
        return;
    char line[128];
    (void)snprintf(line, sizeof line, "%s\n", name);
    (void)!write(name_pipe, line, strlen(line)); /* nobody there: its life has ended */
    if (lives_for)
        return;
    (void)close(name_pipe);
    name_pipe = -1;
}
