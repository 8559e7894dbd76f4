/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The guest's main command. It comes from the kernel's command line, or later from a
 * client ("main"), and there is one at most in the life of a guest. How it ended is
 * reported to the host before the power goes off.
 *
 * The console is the terminal of our own session, not of one that the command leads:
 * the kernel hangs a terminal up when the leader of its session ends, and throws away
 * what has been written to it and is not on the line yet.
 */
#define _GNU_SOURCE
#include "main_command.h"

#include "command.h"
#include "power.h"
#include "report.h"
#include "system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ENV_MAX = 64, FAILED = 125 };

static bool begun;
static pid_t running = -1;

static bool console_take(void)
{
    return isatty(0) && (setsid() > 0 || getsid(0) == getpid()) &&
           ioctl(0, TIOCSCTTY, 0) == 0;
}

static void main_command_end(int code, int number)
{
    running = -1;
    report_end(code, number);
    (void)power_begin(false);
}

void main_command_start(char *argv[])
{
    static char *env[ENV_MAX];
    unsigned count = 0;
    for (char **at = environ; *at && count < ENV_MAX - 2; at++)
        env[count++] = *at;
    if (!getenv("PATH"))
        env[count++] = (char *)(uintptr_t) "PATH=" LAUNCH_PATH;
    struct launch launch = {
        .argv = argv, .env = env, .fd = {0, 1, 2}, .foreground = console_take()};
    struct launch_failure failure;
    begun = true;
    running = launch_run(&launch, &failure);
    if (running < 0) {
        system_say("%s: %s", failure.what, strerror(failure.error));
        main_command_end(command_code(&launch, &failure), 0);
    }
}

void main_command_begin(struct session *session, const struct agent_frame *request)
{
    struct launch launch = {.fd = {0, 1, 2}, .foreground = console_take()};
    struct launch_failure failure;
    uint8_t strings[64];
    struct agent_writer w = {.data = strings, .size = sizeof strings};
    if (getpid() != 1 || begun) {
        session_refuse(session, FAILED,
                       begun ? "main: the guest has its main command already"
                             : "main: this is not the first process");
        return;
    }
    if (!command_read(session, request, &launch))
        return;
    running = launch_run(&launch, &failure);
    if (running < 0) { /* another may follow */
        command_refuse(session, &launch, &failure);
        return;
    }
    begun = true;
    agent_put_number(&w, "version", session->version);
    agent_put_number(&w, "pid", running);
    session_send(session, AGENT_REPLY, strings, w.length);
    session_end(session);
}

void main_command_reaped(int pid, int status)
{
    if (pid != running)
        return;
    system_say_end(status);
    if (WIFSIGNALED(status))
        main_command_end(128 + WTERMSIG(status), WTERMSIG(status));
    else
        main_command_end(WEXITSTATUS(status), 0);
}
