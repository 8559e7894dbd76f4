/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Landlock and seccomp. The resolver's configuration stays readable, because libslirp
 * reads it again when it changes; it is often a link, so the places that it usually
 * leads to are open as well, for reading.
 */
#define _GNU_SOURCE
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- privileges ------------------------------------------------------------------ */

static bool privileges_drop(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++) {
        if (cap != CAP_NET_BIND_SERVICE)
            (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* root's only */
    }
    if (syscall(SYS_capget, &header, data) != 0)
        return false;
    const __u32 keep = 1u << CAP_NET_BIND_SERVICE;
    data[0].effective &= keep;
    data[0].permitted &= keep;
    data[0].inheritable = 0;
    data[1] = (struct __user_cap_data_struct){0};
    return syscall(SYS_capset, &header, data) == 0 &&
           prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}

/* ---- files ----------------------------------------------------------------------- */

static void files_open(int ruleset, const char *path)
{
    struct landlock_path_beneath_attr rule = {
        .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE,
        .parent_fd = open(path, O_PATH | O_CLOEXEC),
    };
    if (rule.parent_fd < 0)
        return; /* it is not there */
    (void)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    (void)close(rule.parent_fd);
}

/* All rights that the first version of Landlock knows: Linux 5.13. */
static bool files_close(void)
{
    struct landlock_ruleset_attr all = {.handled_access_fs =
                                            (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
    if (ruleset < 0)
        return false;
    files_open(ruleset, "/etc");
    files_open(ruleset, "/run/systemd/resolve");
    files_open(ruleset, "/run/resolvconf");
    files_open(ruleset, "/run/NetworkManager");
    bool ok = syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    (void)close(ruleset);
    return ok;
}

/* ---- system calls ---------------------------------------------------------------- */

static const char *const calls[] = {
    "accept",         "accept4",      "bind",       "brk",
    "clock_gettime",  "close",        "connect",    "exit",
    "exit_group",     "fcntl",        "fstat",      "futex",
    "getpeername",    "getpid",       "getrandom",  "getsockname",
    "getsockopt",     "gettimeofday", "ioctl",      "listen",
    "lseek",          "madvise",      "mmap",       "mprotect",
    "mremap",         "munmap",       "newfstatat", "openat",
    "poll",           "ppoll",        "read",       "recv",
    "recvfrom",       "recvmmsg",     "recvmsg",    "restart_syscall",
    "rt_sigprocmask", "rt_sigreturn", "send",       "sendmmsg",
    "sendmsg",        "sendto",       "setsockopt", "shutdown",
    "stat",           "statx",        "time",       "write",
    "writev",
};

/* The internet's sockets. A UNIX socket would lead to whoever serves the user: the bus,
 * containers, keys; glibc needs one of datagrams, connected to nobody, to learn an
 * interface's number (a resolver of fe80::1%eth0). A domain or type is an int: with
 * other bits set it is not equal, and refused. */
static bool sockets_open(scmp_filter_ctx filter)
{
    int number = seccomp_syscall_resolve_name("socket");
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 1,
                            SCMP_A0(SCMP_CMP_EQ, AF_INET)) == 0 &&
           seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 1,
                            SCMP_A0(SCMP_CMP_EQ, AF_INET6)) == 0 &&
           seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 2,
                            SCMP_A0(SCMP_CMP_EQ, AF_UNIX),
                            SCMP_A1(SCMP_CMP_EQ, SOCK_DGRAM | SOCK_CLOEXEC)) == 0;
}

/* What is not in the list fails, as in a kernel without it. */
static bool calls_close(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    bool ok = filter != NULL;
    for (unsigned i = 0; ok && i < sizeof calls / sizeof calls[0]; i++) {
        int number = seccomp_syscall_resolve_name(calls[i]);
        if (number >= 0)
            ok = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0) == 0;
    }
    ok = ok && sockets_open(filter) && seccomp_load(filter) == 0;
    if (filter)
        seccomp_release(filter);
    return ok;
}

const char *sandbox_enter(int *landlock)
{
    if (!privileges_drop())
        return "privileges cannot be given up";
    *landlock = files_close();
    return calls_close() ? NULL : "system calls cannot be restricted (seccomp)";
}
