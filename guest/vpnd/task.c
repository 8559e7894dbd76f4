/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The processes of task.h. Output and errors are one stream. */
#define _GNU_SOURCE
#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* More than there is room for is read, too: it would wait otherwise. 1: there may be
 * more, 0: there is nothing now, -1: nor will there be. */
static int output_take(struct task *task)
{
    char piece[4096];
    ssize_t n = read(task->output.fd, piece, sizeof piece);
    bool later = n < 0 && (errno == EAGAIN || errno == EINTR);
    size_t room = task->room - 1 - task->length, size = n > 0 ? (size_t)n : 0;
    size = size < room ? size : room;
    memcpy(task->text + task->length, piece, size);
    explicit_bzero(piece, sizeof piece);
    task->length += size;
    task->text[task->length] = '\0';
    return n > 0 ? 1 : later ? 0 : -1;
}

static void output_heard(struct watch *watch, uint32_t events)
{
    struct task *task = (void *)((char *)watch - offsetof(struct task, output));
    (void)events;
    if (output_take(task) < 0)
        watch_close(watch);
}

static void task_clear(struct task *task)
{
    watch_close(&task->output);
    watch_close(&task->process);
    task->pid = 0;
}

static void process_ended(struct watch *watch, uint32_t events)
{
    struct task *task = (void *)((char *)watch - offsetof(struct task, process));
    siginfo_t info = {.si_pid = 0};
    (void)events;
    if (waitid(P_PID, (id_t)task->pid, &info, WEXITED | WNOHANG) || info.si_pid == 0)
        return;
    while (task->output.fd >= 0 && output_take(task) > 0)
        continue;
    task_clear(task);
    task->ended(info.si_code == CLD_EXITED ? info.si_status : -1);
}

static void child(int in, int out, const char *const words[], int (*function)(void))
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)dup2(in >= 0 ? in : open("/dev/null", O_RDONLY), STDIN_FILENO);
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(out, STDERR_FILENO);
    if (function) { /* who waits for a connection's end waits for all who have it */
        (void)syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, 0);
        _exit(function());
    }
    char *argv[8] = {NULL};
    for (unsigned i = 0; words[i] && i < 7; i++)
        argv[i] = strdup(words[i]);
    (void)execv(words[0], argv);
    dprintf(STDOUT_FILENO, "%s: %s\n", words[0], strerror(errno));
    _exit(127);
}

bool task_begin(struct task *task, int in, const char *const words[],
                int (*function)(void))
{
    int out[2];
    task_end(task);
    task->length = 0;
    task->text[0] = '\0';
    if (pipe2(out, O_CLOEXEC))
        return false;
    task->pid = fork();
    if (task->pid == 0)
        child(in, out[1], words, function);
    int saved = errno;
    (void)close(out[1]);
    (void)fcntl(out[0], F_SETFL, O_NONBLOCK);
    int fd = task->pid > 0 ? (int)syscall(SYS_pidfd_open, task->pid, 0) : -1;
    if (fd < 0) {
        saved = task->pid > 0 ? errno : saved;
        (void)close(out[0]);
        task_end(task);
        errno = saved;
        return false;
    }
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    return watch_add(&task->output, out[0], EPOLLIN, output_heard) &&
           watch_add(&task->process, fd, EPOLLIN, process_ended);
}

void task_end(struct task *task)
{
    if (task->pid > 0) {
        (void)kill(task->pid, SIGKILL);
        (void)waitpid(task->pid, NULL, 0);
    }
    task_clear(task);
}
