/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm-init: the first process of a guest and its agent, in one static program.
 *
 * As process 1 it loads modules (modules.c), enters the image (root.c), makes the
 * system ready (system.c, net.c), starts the command that the kernel handed it, if any,
 * reaps whatever ends, and powers off when that command has ended or when it is told
 * to. As the agent it serves clients on a port of the socket device. Started by hand it
 * is the agent alone: `microvm-init
 * --listen PATH` on a UNIX socket, which is how it is tested without a machine.
 */
#define _GNU_SOURCE
#include "copy.h"
#include "exec.h"
#include "main_command.h"
#include "modules.h"
#include "net.h"
#include "power.h"
#include "report.h"
#include "root.h"
#include "services.h"
#include "sync.h"
#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

/* ---- children and signals -------------------------------------------------------- */

static void reap(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        exec_reaped(pid, status);
        copy_reaped(pid);
        sync_reaped(pid);
        main_command_reaped(pid, status);
        services_reaped(pid, status);
    }
    power_reaped(pid == 0);
}

static void signal_heard(struct watch *watch, uint32_t events)
{
    struct signalfd_siginfo info;
    (void)events;
    while (read(watch->fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            continue;
        if (getpid() != 1)
            exit(0);
        (void)power_begin(info.ssi_signo == SIGINT); /* the kernel's Ctrl-Alt-Del */
    }
    reap();
}

static bool signals_open(void)
{
    static struct watch watch;
    sigset_t set;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return fd >= 0 && watch_add(&watch, fd, EPOLLIN, signal_heard);
}

/* ---- clients --------------------------------------------------------------------- */

static void listener_heard(struct watch *watch, uint32_t events)
{
    (void)events;
    int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        session_open(fd);
}

static bool listen_at(const void *address, socklen_t length)
{
    static struct watch watch;
    int family = ((const struct sockaddr *)address)->sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    if (bind(fd, address, length) < 0 || listen(fd, 128) < 0 ||
        !watch_add(&watch, fd, EPOLLIN, listener_heard)) {
        (void)close(fd);
        return false;
    }
    return true;
}

static bool listen_port(void)
{
    const struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = AGENT_PORT};
    return listen_at(&address, sizeof address);
}

static bool listen_path(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    (void)strcpy(address.sun_path, path);
    return listen_at(&address, sizeof address);
}

/* -1: never */
static int64_t sooner(int64_t a_ms, int64_t b_ms)
{
    return a_ms < 0 || (b_ms >= 0 && b_ms < a_ms) ? b_ms : a_ms;
}

static void run(void)
{
    for (;;) {
        int64_t left = sooner(sessions_expire(), services_step());
        loop_turn(sooner(left, power_step()));
    }
}

int main(int argc, char **argv)
{
    bool first = getpid() == 1;
    const char *path = argc == 3 && !strcmp(argv[1], "--listen") ? argv[2] : NULL;
    if (!first && !path) {
        (void)fprintf(stderr,
                      "usage: microvm-init --listen PATH   (or as process 1)\n");
        return 2;
    }
    if (first)
        modules_load();
    if (first && !root_open()) {
        (void)tcdrain(2); /* a panic does not wait for the console */
        return 1;         /* the kernel panics, and the host is told */
    }
    if (first) {
        system_open();
        net_open();
    }
    if (!loop_open() || !signals_open()) {
        system_say("%s", strerror(errno));
        return 1;
    }
    if (first ? !listen_port() : !listen_path(path)) {
        system_say("the agent cannot listen: %s", strerror(errno));
        if (!first)
            return 1;
    }
    if (first) {
        power_hear_button();
        report_open();
    } else {
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    }
    if (first)
        services_open();
    if (first && argc > 1)
        main_command_start(argv + 1);
    run();
}
