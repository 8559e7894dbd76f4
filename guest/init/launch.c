/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Starting a process by vfork: the child borrows our memory until it has become the
 * other program, so that nothing is copied, and it can tell in a variable what went
 * wrong. Until then it calls the kernel and writes to its own stack, nothing else.
 */
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* A number that is nothing else. */
static bool number_of(const char *text, unsigned *out)
{
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || n >= UINT32_MAX)
        return false;
    *out = (unsigned)n;
    return true;
}

bool launch_user(struct launch *launch, const char *user, char *home, size_t size)
{
    char name[256];
    const char *group = strchr(user, ':');
    size_t length = group ? (size_t)(group - user) : strlen(user);
    if (length == 0 || length >= sizeof name)
        return false;
    memcpy(name, user, length);
    name[length] = '\0';
    unsigned id = 0;
    bool number = number_of(name, &id);
    const struct passwd *entry = number ? getpwuid(id) : getpwnam(name);
    if (!entry && !number)
        return false;
    launch->as_user = true;
    launch->uid = entry ? entry->pw_uid : id;
    launch->gid = entry ? entry->pw_gid : 0;
    launch->groups = 0;
    (void)snprintf(home, size, "%s", entry ? entry->pw_dir : "/");
    if (group) {
        const struct group *found =
            number_of(group + 1, &id) ? NULL : getgrnam(group + 1);
        if (!found && !number_of(group + 1, &id))
            return false;
        launch->gid = found ? found->gr_gid : id;
    } else if (entry) {
        launch->groups = LAUNCH_GROUPS;
        if (getgrouplist(entry->pw_name, launch->gid, launch->group, &launch->groups) <
            0)
            launch->groups = LAUNCH_GROUPS; /* the first ones */
    }
    return true;
}

/* ---- in the child ---------------------------------------------------------------- */

/* Runs the program that stands in a folder of the PATH; comes back where there is none.
 */
static void child_try(const struct launch *launch, const char *folder, size_t length)
{
    char file[4096];
    size_t name = strlen(launch->argv[0]);
    if (length == 0) { /* an empty name in a PATH is the current folder */
        folder = ".";
        length = 1;
    }
    if (length + 1 + name + 1 > sizeof file)
        return;
    memcpy(file, folder, length);
    file[length] = '/';
    memcpy(file + length + 1, launch->argv[0], name + 1);
    (void)execve(file, launch->argv, launch->env);
}

static void child_exec(const struct launch *launch)
{
    const char *path = LAUNCH_PATH;
    int error = ENOENT;
    if (strchr(launch->argv[0], '/')) {
        (void)execve(launch->argv[0], launch->argv, launch->env);
        return;
    }
    for (char *const *env = launch->env; *env; env++) {
        if (!strncmp(*env, "PATH=", 5))
            path = *env + 5;
    }
    while (path) {
        size_t length = strcspn(path, ":");
        child_try(launch, path, length);
        if (errno != ENOENT && errno != ENOTDIR)
            error = errno; /* something is there, and cannot be run */
        path = path[length] ? path + length + 1 : NULL;
    }
    errno = error;
}

/* Who is not there yet may not say so without being stopped. */
static bool child_to_front(void)
{
    (void)signal(SIGTTOU, SIG_IGN);
    bool ok = setpgid(0, 0) == 0 && tcsetpgrp(0, getpid()) == 0;
    (void)signal(SIGTTOU, SIG_DFL);
    return ok;
}

static bool child_become(const struct launch *launch, const char *volatile *what)
{
    *what = "setsid";
    if (!launch->foreground && setsid() < 0)
        return false;
    *what = "its standard streams";
    for (int i = 0; i < 3; i++) {
        if (dup2(launch->fd[i], i) < 0)
            return false;
    }
    if (launch->tty && ioctl(0, TIOCSCTTY, 0) < 0)
        return false;
    if (launch->foreground && !child_to_front())
        return false;
    *what = "its user";
    if (launch->as_user && (setgroups((size_t)launch->groups, launch->group) < 0 ||
                            setgid(launch->gid) < 0 || setuid(launch->uid) < 0))
        return false;
    *what = "chdir";
    return chdir(launch->cwd ? launch->cwd : "/") == 0;
}

static void child_run(const struct launch *launch, const char *volatile *what)
{
    sigset_t none;
    (void)signal(SIGPIPE, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (!child_become(launch, what))
        return;
    *what = launch->argv[0];
    child_exec(launch);
}

pid_t launch_run(const struct launch *launch, struct launch_failure *failure)
{
    const char *volatile what = NULL;
    volatile int error = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        child_run(launch, &what);
        error = errno;
        _exit(127);
    }
    if (pid > 0 && !error)
        return pid;
    *failure =
        (struct launch_failure){pid < 0 ? "fork" : what, pid < 0 ? errno : error};
    return -1; /* the child is reaped as all others are */
}
