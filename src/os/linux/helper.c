/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helper processes on Linux. clone() without an exit signal makes a child of which the
 * application hears nothing; it shares our memory until it becomes another program, and
 * we stand still that long (CLONE_VFORK), so nothing is copied however large the
 * application is. Until then it touches only its own stack, and no signal handler of
 * the application's may run in it: all signals are blocked, and stay so until the
 * program unblocks them itself.
 */
#define _GNU_SOURCE
#include "os/helper.h"

#include "os/error.h"
#include "util/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STACK_BYTES = 64 * 1024, FIRST_SOCKET = 3 };

/* What the child works with. */
struct start {
    char *const *argv; /* the first is the path */
    char *const *environment;
    int socket[MV_HELPER_SOCKETS_MAX]; /* its 3, 4, ... */
    unsigned sockets;
    int input;    /* its standard input, */
    int output;   /* output and errors; -1: they lead nowhere */
    bool signals; /* are as at the start of a program; else all blocked */
    int error;
};

/* ---- where it is ----------------------------------------------------------------- */

static bool helper_is(const char *path)
{
    return access(path, X_OK) == 0;
}

bool mv_helper_find(const char *name, char path[MV_HELPER_PATH])
{
    static const char *const places[] = {"", "../libexec/", "../netd/"};
    char self[MV_HELPER_PATH];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        slash[1] = '\0';
    for (unsigned i = 0; slash && i < MV_ARRAY_LEN(places); i++) {
        int length = snprintf(path, MV_HELPER_PATH, "%s%s%s", self, places[i], name);
        if (length < MV_HELPER_PATH && helper_is(path))
            return true;
    }
    (void)snprintf(path, MV_HELPER_PATH, "%s/%s", MV_LIBEXECDIR, name);
    return helper_is(path);
}

/* ---- starting -------------------------------------------------------------------- */

/* Each socket first out of the way of all of them, then to its place. */
static int child_place_sockets(struct start *start)
{
    for (unsigned i = 0; i < start->sockets; i++) {
        start->socket[i] = fcntl(start->socket[i], F_DUPFD_CLOEXEC,
                                 FIRST_SOCKET + MV_HELPER_SOCKETS_MAX);
        if (start->socket[i] < 0)
            return -1;
    }
    for (unsigned i = 0; i < start->sockets; i++) {
        if (dup2(start->socket[i], FIRST_SOCKET + (int)i) < 0)
            return -1;
    }
    return 0;
}

static int child_place_streams(struct start *start)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int in = start->input < 0 ? null : start->input;
    int out = start->output < 0 ? null : start->output;
    return null < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 ? -1 : 0;
}

/* Descriptors of the application that it did not mark as ours not to have. */
static void child_close_others(unsigned sockets)
{
    unsigned first = FIRST_SOCKET + sockets;
    if (syscall(SYS_close_range, first, ~0u, 0) == 0)
        return;
    long most = sysconf(_SC_OPEN_MAX); /* before Linux 5.9 */
    for (long fd = first; fd < (most > 0 && most < 65536 ? most : 65536); fd++)
        (void)close((int)fd);
}

static void child_free_signals(void)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int child_main(void *arg)
{
    struct start *start = arg;
    if (child_place_streams(start) == 0 && child_place_sockets(start) == 0) {
        child_close_others(start->sockets);
        if (start->signals)
            child_free_signals();
        (void)execve(start->argv[0], start->argv, start->environment);
    }
    start->error = errno;
    syscall(SYS_exit, 127); /* not the application's exit handlers */
    return 0;
}

static int helper_clone(struct start *start)
{
    void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    sigset_t all, before;
    if (stack == MAP_FAILED)
        return -1;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int pid = clone(child_main, (uint8_t *)stack + STACK_BYTES, CLONE_VM | CLONE_VFORK,
                    start);
    int saved = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)munmap(stack, STACK_BYTES);
    errno = saved;
    return pid;
}

int mv_helper_start(struct mv_helper *helper, const char *path, const intptr_t *socket,
                    unsigned sockets, microvm_error *err)
{
    static char *const nothing[] = {NULL};
    char copy[MV_HELPER_PATH], number[MV_HELPER_SOCKETS_MAX][8];
    char *argv[MV_HELPER_SOCKETS_MAX + 2] = {copy};
    struct start start = {.argv = argv,
                          .environment = nothing,
                          .sockets = sockets,
                          .input = -1,
                          .output = -1};
    (void)snprintf(copy, sizeof copy, "%s", path);
    for (unsigned i = 0; i < sockets; i++) {
        start.socket[i] = (int)socket[i];
        (void)snprintf(number[i], sizeof number[i], "%u", FIRST_SOCKET + i);
        argv[1 + i] = number[i];
    }
    int pid = helper_clone(&start);
    if (pid < 0)
        return mv_fail_os(err, "starting '%s'", path);
    helper->process = pid;
    if (start.error == 0)
        return 0;
    mv_helper_stop(helper);
    errno = start.error;
    return mv_fail_os(err, "starting '%s'", path);
}

/* ---- ending ---------------------------------------------------------------------- */

bool mv_helper_ended(struct mv_helper *helper)
{
    if (helper->process > 0 &&
        waitpid((pid_t)helper->process, NULL, WNOHANG | __WALL) != 0)
        helper->process = -1;
    return helper->process < 0;
}

void mv_helper_stop(struct mv_helper *helper)
{
    if (mv_helper_ended(helper))
        return;
    (void)kill((pid_t)helper->process, SIGKILL);
    while (waitpid((pid_t)helper->process, NULL, __WALL) < 0 && errno == EINTR)
        ;
    helper->process = -1;
}

/* ---- programs of others, run to their end ---------------------------------------- */

enum { LOOK_MS = 20 };

static int program_wait(pid_t pid, int (*go_on)(void *ctx, microvm_error *err),
                        void *ctx, int *status, microvm_error *err)
{
    const struct timespec pause = {0, LOOK_MS * 1000000};
    int how, rc = 0;
    while (waitpid(pid, &how, WNOHANG | __WALL) == 0 && !rc) {
        (void)nanosleep(&pause, NULL);
        rc = go_on(ctx, err);
    }
    if (rc) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, &how, __WALL);
        return rc;
    }
    *status = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
    return 0;
}

int mv_program_run(char *const *argv, int fd, int input, int output,
                   int (*go_on)(void *ctx, microvm_error *err), void *ctx, int *status,
                   microvm_error *err)
{
    char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    char *const environment[] = {path, NULL};
    struct start start = {.argv = argv,
                          .environment = environment,
                          .sockets = 1,
                          .socket = {fd},
                          .input = input,
                          .output = output,
                          .signals = true};
    int pid = helper_clone(&start);
    if (pid < 0)
        return mv_fail_os(err, "starting '%s'", argv[0]);
    int rc = program_wait(pid, go_on, ctx, status, err);
    if (!start.error)
        return rc;
    errno = start.error;
    return mv_fail_os(err, "starting '%s'", argv[0]);
}
