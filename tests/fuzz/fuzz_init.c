/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The guest's agent with a client that sends anything: its sessions, verbs and "exec",
 * as they are compiled into microvm-init, over a real socket. Doubles stand for what
 * would reach this computer: processes that are started and killed, copies, the clock,
 * the power. Whatever is said to it, the agent answers in frames, a reply first, and
 * when the client and its commands have gone nothing of them is left.
 */
#define _GNU_SOURCE
#include "fuzz.h"

#define clock_settime fuzz_clock_settime
#include "guest/init/verbs.c"

#include "guest/init/launch.h"
#include "guest/init/procs.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_PID = 0x30000000 /* above all that Linux gives */, TURNS = 64 };

static int next_pid;
static unsigned launches_fail;

/* ---- doubles --------------------------------------------------------------------- */

int fuzz_clock_settime(clockid_t clock, const struct timespec *time)
{
    MV_ASSERT(clock == CLOCK_REALTIME && time->tv_sec >= 0);
    MV_ASSERT(time->tv_nsec >= 0 && time->tv_nsec < 1000000000);
    return 0;
}

bool power_begin(bool reboot)
{
    return reboot;
}

void main_command_begin(struct session *session, const struct agent_frame *request)
{
    (void)request;
    session_refuse(session, 125, "main");
}

void sync_begin(struct session *session, const struct agent_frame *request)
{
    (void)request;
    session_answer(session, NULL);
}

void put_begin(struct session *session, const struct agent_frame *request)
{
    (void)request;
    session_refuse(session, 1, "put");
}

void get_begin(struct session *session, const struct agent_frame *request)
{
    (void)request;
    session_end(session);
}

bool launch_user(struct launch *launch, const char *user, char *home, size_t size)
{
    (void)snprintf(home, size, "/%s", user);
    launch->as_user = false;
    return strcmp(user, "nobody") == 0;
}

pid_t launch_run(const struct launch *launch, struct launch_failure *failure)
{
    MV_ASSERT(launch->argv[0] && *launch->argv[0] && launch->env);
    for (char *const *env = launch->env; *env; env++)
        MV_ASSERT(strlen(*env) < AGENT_REQUEST_MAX);
    for (int i = 0; i < 3; i++)
        MV_ASSERT(fcntl(launch->fd[i], F_GETFD) >= 0);
    if (launches_fail) {
        *failure = (struct launch_failure){launch->argv[0], ENOENT};
        return -1;
    }
    (void)!write(launch->fd[1], "out", 3);
    return next_pid++;
}

void procs_kill_session(pid_t pid)
{
    MV_ASSERT(pid >= FIRST_PID && pid < next_pid);
}

pid_t procs_foreground(int terminal, pid_t pid)
{
    (void)terminal;
    return -pid;
}

/* ---- the client ------------------------------------------------------------------ */

/* What the agent has said, as far as it fits: whole frames, and a reply first. */
static size_t hear(int fd, uint8_t *heard, size_t length, size_t size)
{
    ssize_t n = recv(fd, heard + length, size - length, MSG_DONTWAIT);
    return length + (n > 0 ? (size_t)n : 0);
}

static void check_heard(const uint8_t *heard, size_t length)
{
    struct agent_frame frame;
    int32_t n;
    bool first = true;
    while ((n = agent_frame_read(&frame, heard, length)) > 0) {
        MV_ASSERT((frame.type == AGENT_REPLY) == first);
        MV_ASSERT(frame.type != AGENT_REQUEST && frame.type != AGENT_INPUT);
        if (frame.type == AGENT_REPLY || frame.type == AGENT_EXIT)
            MV_ASSERT(agent_strings_valid(frame.data, frame.length));
        first = false;
        heard += n;
        length -= (size_t)n;
    }
    MV_ASSERT(n == 0);
}

static void turn(void)
{
    (void)sessions_expire();
    loop_turn(0);
}

/* The processes end, with a status of the input's. */
static void reap_all(int from, int status)
{
    for (int pid = from; pid < next_pid; pid++)
        exec_reaped(pid, status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t heard[1 << 19];
    static bool opened;
    struct fuzz in = {data, size};
    int pair[2], first = next_pid = next_pid ? next_pid : FIRST_PID;
    if (size > 150000)
        return 0; /* what a socket takes at once */
    if (!opened)
        opened = loop_open() && signal(SIGPIPE, SIG_IGN) != SIG_ERR;
    MV_ASSERT(opened);
    unsigned how = fuzz8(&in);
    launches_fail = how & 1;
    size_t begin = how & 2 ? fuzz8(&in) : fuzz_left(&in), length = 0;
    int rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair);
    MV_ASSERT(rc == 0);
    begin = MV_MIN(begin, in.length);
    (void)!write(pair[0], in.data, begin);
    session_open(pair[1]);
    turn();
    (void)!write(pair[0], in.data + begin, in.length - begin);
    for (unsigned i = 0; i < TURNS; i++) {
        turn();
        length = hear(pair[0], heard, length, sizeof heard);
        if (i == TURNS / 2 && how & 4)
            reap_all(first, how >> 3 & 1 ? SIGKILL : (int)(how & 0xf0) << 4);
    }
    check_heard(heard, length);
    (void)close(pair[0]);
    turn();
    turn();
    reap_all(first, 0);
    turn();
    if (next_pid > FIRST_PID + (1 << 28))
        next_pid = FIRST_PID;
    return 0;
}
