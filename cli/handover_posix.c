/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Becoming another program: this process is replaced, so signals, terminal and exit
 * status are the other one's without our help. Asking one: a child of ours, in our
 * terminal's foreground, so that Ctrl-C ends both.
 */
#define _GNU_SOURCE
#include "handover.h"

#include "cli.h"
#include "places.h"
#include "process_posix.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What it prints goes into the pipe; its words and its progress go where ours do. */
static void child_become(const char *name, char *const *arguments, int to)
{
    (void)dup2(to, 1);
    _exit(handover(name, arguments));
}

int handover_ask(const char *name, char *const *arguments, char *line, size_t size)
{
    int ends[2];
    if (!process_pipe(ends))
        return STATUS_OURS;
    pid_t child = fork();
    if (child == 0)
        child_become(name, arguments, ends[1]);
    (void)close(ends[1]);
    FILE *answer = fdopen(ends[0], "r");
    if (!answer || !fgets(line, (int)size, answer))
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    (void)(answer ? fclose(answer) : close(ends[0]));
    if (child > 0)
        return process_status(child);
    say("fork: %s", strerror(errno));
    return STATUS_OURS;
}

int handover(const char *name, char *const *arguments)
{
    char self[PLACE_BYTES], path[2 * PLACE_BYTES];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash) {
        slash[1] = '\0';
        (void)snprintf(path, sizeof path, "%s%s", self, name);
        (void)execv(path, arguments);
    }
    if (!slash || errno == ENOENT)
        (void)execvp(name, arguments);
    say("%s cannot be started: %s; it is installed beside %s", name, strerror(errno),
        program.name);
    return STATUS_OURS;
}
