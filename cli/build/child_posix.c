/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Children on POSIX systems. The child leads a process group of its own: a Ctrl-C of
 * the terminal comes to us alone, and we end the whole group with SIGTERM, on which
 * make removes what is half written. Were we killed, the next line that the child
 * writes would end it.
 */
#define _GNU_SOURCE
#include "child.h"

#include "cli.h"
#include "process_posix.h"
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 1024 };

struct child {
    pid_t pid;
    int output;
    int signal; /* what has ended us; 0: nothing */
    bool asked; /* of our own process group */
    char line[LINE_BYTES];
    size_t length;
};

/* In the child, between fork and exec. */
static void become(const char *const argv[], int output)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};
    int null = open("/dev/null", O_RDONLY);
    (void)setpgid(0, 0);
    (void)sigaction(SIGPIPE, &usual, NULL);
    if (null >= 0 && dup2(null, 0) >= 0 && dup2(output, 1) >= 0)
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
    say("%s: %s", argv[0], strerror(errno));
    _exit(STATUS_OURS);
}

static bool child_start(struct child *child, const char *const argv[])
{
    int ends[2];
    if (!process_pipe(ends))
        return false;
    child->pid = fork();
    if (child->pid == 0)
        become(argv, ends[1]);
    (void)close(ends[1]);
    child->output = ends[0];
    if (child->pid > 0) {
        (void)setpgid(child->pid, child->pid); /* whoever of the two is first */
        return true;
    }
    say("fork: %s", strerror(errno));
    (void)close(ends[0]);
    return false;
}

/* Whole lines to the caller; of a longer one the beginning. */
static void child_take(struct child *child, const char *bytes, size_t count,
                       child_line_fn *line, void *opaque)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != '\n') {
            if (child->length < LINE_BYTES - 1)
                child->line[child->length++] = bytes[i];
            continue;
        }
        child->line[child->length] = '\0';
        line(opaque, child->line);
        child->length = 0;
    }
}

/* False at the end of its output. */
static bool child_read(struct child *child, child_line_fn *line, void *opaque)
{
    char bytes[LINE_BYTES];
    ssize_t n = read(child->output, bytes, sizeof bytes);
    if (n > 0)
        child_take(child, bytes, (size_t)n, line, opaque);
    return n > 0 || (n < 0 && errno == EINTR);
}

static void child_signal(struct child *child)
{
    int number = signals_next();
    if (number != SIGINT && number != SIGTERM && number != SIGHUP && number != SIGQUIT)
        return;
    child->signal = number;
    (void)kill(child->asked ? child->pid : -child->pid, SIGTERM);
}

static int child_wait(const struct child *child)
{
    int status = process_status(child->pid);
    return child->signal ? 128 + child->signal : status;
}

int child_run(const char *const argv[], child_line_fn *line, void *opaque)
{
    struct child child = {.output = -1};
    if (!signals_catch() || !child_start(&child, argv))
        return STATUS_OURS;
    for (;;) {
        struct pollfd fds[] = {{child.output, POLLIN, 0}, {signals_fd(), POLLIN, 0}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        if (fds[1].revents)
            child_signal(&child);
        if (fds[0].revents && !child_read(&child, line, opaque))
            break;
    }
    (void)close(child.output);
    return child_wait(&child);
}

/* ---- asking ---------------------------------------------------------------------- */

/* In the child: 127 is what shells say of what they could not run. */
static void become_asked(const char *const argv[], int input, int output)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};
    (void)sigaction(SIGPIPE, &usual, NULL);
    if (dup2(input, 0) >= 0 && dup2(output, 1) >= 0)
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

static void ask_write(int fd, const char *line)
{
    char text[LINE_BYTES];
    int length = snprintf(text, sizeof text, "%s\n", line);
    ssize_t n = write(fd, text, (size_t)length); /* a pipe takes that at once */
    (void)n; /* who does not read it answers nothing that is of use */
    (void)close(fd);
}

/* False at its end, or when it says more than anybody asked for: it hears that by the
 * pipe's end. */
static bool ask_read(int fd, char *answer, size_t size, size_t *length)
{
    if (*length + 1 >= size)
        return false;
    ssize_t n = read(fd, answer + *length, size - 1 - *length);
    *length += n > 0 ? (size_t)n : 0;
    return n > 0 || (n < 0 && errno == EINTR);
}

static void ask_wait(struct child *child, char *answer, size_t size)
{
    size_t length = 0;
    for (;;) {
        struct pollfd fds[] = {{child->output, POLLIN, 0}, {signals_fd(), POLLIN, 0}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        if (fds[1].revents)
            child_signal(child);
        if (child->signal ||
            (fds[0].revents && !ask_read(child->output, answer, size, &length)))
            break;
    }
    answer[length] = '\0';
    (void)close(child->output);
}

int child_ask(const char *const argv[], const char *line, char *answer, size_t size,
              int *ended_us)
{
    int in[2], out[2];
    *ended_us = 0;
    if (strlen(line) + 2 > LINE_BYTES || !process_pipe(in))
        return -1;
    if (!process_pipe(out)) {
        (void)close(in[0]);
        (void)close(in[1]);
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0)
        become_asked(argv, in[0], out[1]);
    (void)close(in[0]);
    (void)close(out[1]);
    struct child child = {.pid = pid, .output = out[0], .asked = true};
    ask_write(in[1], line);
    ask_wait(&child, answer, size);
    int status = pid > 0 ? child_wait(&child) : -1;
    *ended_us = child.signal;
    return status == 127 ? -1 : status;
}
