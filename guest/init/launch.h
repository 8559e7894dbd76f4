/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Starting a process: who it is, where it is, what its standard streams are.
 */
#ifndef GUEST_LAUNCH_H
#define GUEST_LAUNCH_H

#include <stdbool.h>
#include <sys/types.h>

/* Where programs are looked for when nobody says otherwise. */
#define LAUNCH_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum { LAUNCH_GROUPS = 64 };

struct launch {
    char *const *argv; /* ends with NULL; argv[0] is looked for in the PATH of env */
    char *const *env;  /* ends with NULL */
    const char *cwd;   /* NULL: / */
    int fd[3];         /* its standard streams */
    bool tty;          /* fd[0] is a terminal, and becomes its controlling one */
    bool foreground; /* in our session, which has fd[0] as its terminal; else in one of
                        its own */
    bool as_user;    /* the next four count */
    uid_t uid;
    gid_t gid, group[LAUNCH_GROUPS];
    int groups;
};

/* Why a process did not come to be. */
struct launch_failure {
    const char *what; /* "chdir", or what it is that could not be run */
    int error;        /* errno */
};

/* Looks a user up: "name", "uid", or either with ":group". With a name come its groups
 * and, into `home`, its home directory. False: there is no such user or group. */
bool launch_user(struct launch *launch, const char *user, char *home, size_t size);
/* Starts it as the leader of a session or a process group. Its id, or -1 with *failure.
 */
pid_t launch_run(const struct launch *launch, struct launch_failure *failure);

#endif
