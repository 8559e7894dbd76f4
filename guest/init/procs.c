/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Processes of a session. Each may make another while we look, so we look until there
 * was nobody left to kill; what left the session (setsid) has left it.
 */
#define _GNU_SOURCE
#include "procs.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LOOKS = 16, FDS_MAX = 4096 };

/* Of /proc/PID/stat: the session of a process that lives; -1: it does not. The name
 * before it, in parentheses, may have any bytes, parentheses too. */
static pid_t session_of(const char *pid)
{
    char path[64], text[512];
    int session = -1;
    char state;
    (void)snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *end = strrchr(text, ')');
    if (!end || sscanf(end + 1, " %c %*d %*d %d", &state, &session) != 2 ||
        state == 'Z' || state == 'X')
        return -1;
    return session;
}

/* One look; how many it killed. */
static unsigned kill_once(pid_t leader)
{
    unsigned killed = 0;
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    while (proc && (entry = readdir(proc))) {
        if (*entry->d_name < '1' || *entry->d_name > '9' ||
            session_of(entry->d_name) != leader)
            continue;
        (void)kill((pid_t)atoi(entry->d_name), SIGKILL);
        killed++;
    }
    if (proc)
        (void)closedir(proc);
    return killed;
}

void procs_kill_session(pid_t pid)
{
    (void)kill(-pid, SIGKILL);
    for (unsigned i = 0; i < LOOKS && kill_once(pid); i++)
        ;
}

pid_t procs_foreground(int terminal, pid_t pid)
{
    pid_t group = tcgetpgrp(terminal);
    return group > 0 ? -group : -pid;
}

void procs_close_from(int first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, first, ~0u, 0) == 0)
        return;
#endif
    for (int i = first; i < FDS_MAX; i++)
        (void)close(i);
}
