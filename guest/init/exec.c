/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The request "exec". Output goes out while the client takes it, and otherwise the
 * process waits; input comes in as far as the window goes, so that a signal behind it
 * always gets through. When the process has ended, what its pipes hold still goes out;
 * what its children say later does not. When the client goes first, the process and all
 * of its session are killed.
 */
#define _GNU_SOURCE
#include "exec.h"

#include "command.h"
#include "procs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TIME_OVER = 124 };

struct exec {
    struct session *session; /* NULL: the client has gone, the process not yet */
    struct exec *next;
    struct later free;
    pid_t pid;
    bool tty, running, expired;
    int status;
    int terminal; /* the process's end, held open: the last close would hang it up */
    struct watch input, output, errors; /* ours; a terminal is `output` alone */
    size_t length, at,
        taken; /* input that waits; of it gone on; gone on and not said */
    bool input_ends;
    uint8_t pending[AGENT_WINDOW];
};

static struct exec *execs; /* all with a process */

static void exec_listen(struct exec *exec);

/* ---- input ----------------------------------------------------------------------- */

static struct watch *exec_input(struct exec *exec)
{
    return exec->tty ? &exec->output : &exec->input;
}

/* Room is said when half of the window has gone on, or all that there was. */
static void exec_say_taken(struct exec *exec)
{
    uint8_t number[4];
    if (!exec->taken || !exec->session || !session_idle(exec->session) ||
        (exec->length && exec->taken < AGENT_WINDOW / 2))
        return;
    for (unsigned i = 0; i < 4; i++)
        number[i] = (uint8_t)(exec->taken >> 8 * i);
    exec->taken = 0;
    session_send(exec->session, AGENT_TAKEN, number, sizeof number);
}

/* The terminal's end of input is a character; a pipe's is its being closed. */
static void exec_end_input(struct exec *exec)
{
    static const char end_of_file = 4;
    if (exec->tty)
        (void)!write(exec->output.fd, &end_of_file, 1);
    else
        watch_close(&exec->input);
}

static void exec_feed(struct exec *exec)
{
    struct watch *to = exec_input(exec);
    while (exec->at < exec->length && to->fd >= 0) {
        ssize_t n = write(to->fd, exec->pending + exec->at, exec->length - exec->at);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) { /* nobody reads it any more: let it go */
            n = (ssize_t)(exec->length - exec->at);
            watch_close(&exec->input);
        }
        exec->at += (size_t)n;
        exec->taken += (size_t)n;
    }
    if (to->fd < 0) {
        exec->taken += exec->length - exec->at;
        exec->at = exec->length;
    }
    if (exec->at == exec->length) {
        exec->at = exec->length = 0;
        if (exec->input_ends && to->fd >= 0)
            exec_end_input(exec);
        exec->input_ends = false;
    }
    if (exec->tty)
        exec_listen(exec);
    else
        watch_change(&exec->input, exec->length ? EPOLLOUT : 0);
    exec_say_taken(exec);
}

static void exec_input_heard(struct watch *watch, uint32_t events)
{
    (void)events;
    exec_feed((struct exec *)((char *)watch - offsetof(struct exec, input)));
}

/* More than the window is no client of ours. */
static bool exec_take_input(struct exec *exec, const struct agent_frame *frame)
{
    if (exec->at > 0) {
        exec->length -= exec->at;
        memmove(exec->pending, exec->pending + exec->at, exec->length);
        exec->at = 0;
    }
    if (frame->length > sizeof exec->pending - exec->length)
        return false;
    memcpy(exec->pending + exec->length, frame->data, frame->length);
    exec->length += frame->length;
    exec->input_ends = exec->input_ends || frame->length == 0;
    exec_feed(exec);
    return true;
}

/* ---- output ---------------------------------------------------------------------- */

static void exec_say_end(struct exec *exec)
{
    uint8_t strings[64];
    struct agent_writer w = {.data = strings, .size = sizeof strings};
    if (exec->expired)
        agent_put_number(&w, "code", TIME_OVER);
    else if (WIFSIGNALED(exec->status))
        agent_put_number(&w, "code", 128 + WTERMSIG(exec->status));
    else
        agent_put_number(&w, "code", WEXITSTATUS(exec->status));
    if (WIFSIGNALED(exec->status))
        agent_put_number(&w, "signal", WTERMSIG(exec->status));
    session_send(exec->session, AGENT_EXIT, strings, w.length);
    session_end(exec->session);
}

/* Moves one piece from a stream to the client. The end of a stream closes it. */
static void exec_move(struct exec *exec, struct watch *from, enum agent_type type)
{
    int64_t n = session_send_from(exec->session, type, from->fd);
    if (n > 0 || (n < 0 && errno == EAGAIN && exec->running))
        return;
    /* EAGAIN with an ended process: its children have the stream, and may keep it. */
    watch_close(from);
}

static bool exec_may_send(const struct exec *exec)
{
    return exec->session && session_idle(exec->session);
}

/* The process has ended: what its streams still hold, and the end. */
static void exec_drain(struct exec *exec)
{
    while (exec->errors.fd >= 0 && exec_may_send(exec))
        exec_move(exec, &exec->errors, AGENT_ERRORS);
    while (exec->output.fd >= 0 && exec_may_send(exec))
        exec_move(exec, &exec->output, AGENT_OUTPUT);
    if (exec->output.fd < 0 && exec->errors.fd < 0 && exec_may_send(exec))
        exec_say_end(exec);
}

/* Streams are heard only while there is room for what they say. */
static void exec_listen(struct exec *exec)
{
    uint32_t events = exec_may_send(exec) ? EPOLLIN : 0;
    watch_change(&exec->errors, events);
    watch_change(&exec->output,
                 events | (exec->tty && exec->length > exec->at ? EPOLLOUT : 0));
}

static void exec_output_heard(struct watch *watch, uint32_t events)
{
    struct exec *exec = (struct exec *)((char *)watch - offsetof(struct exec, output));
    if (exec->tty && events & EPOLLOUT)
        exec_feed(exec);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && exec_may_send(exec))
        exec_move(exec, watch, AGENT_OUTPUT);
    exec_listen(exec);
}

static void exec_errors_heard(struct watch *watch, uint32_t events)
{
    struct exec *exec = (struct exec *)((char *)watch - offsetof(struct exec, errors));
    (void)events;
    if (exec_may_send(exec))
        exec_move(exec, watch, AGENT_ERRORS);
    exec_listen(exec);
}

/* ---- of the session -------------------------------------------------------------- */

static bool exec_frame(struct session *session, const struct agent_frame *frame)
{
    struct exec *exec = session->request;
    if (frame->type == AGENT_INPUT)
        return exec_take_input(exec, frame);
    if (frame->type == AGENT_SIGNAL) {
        if (exec->running && frame->data[0] >= 1 && frame->data[0] < NSIG)
            (void)kill(exec->tty ? procs_foreground(exec->output.fd, exec->pid)
                                 : -exec->pid,
                       frame->data[0]);
        return true;
    }
    if (frame->type != AGENT_RESIZE)
        return false;
    struct winsize size = {
        .ws_col = (unsigned short)(frame->data[0] | frame->data[1] << 8),
        .ws_row = (unsigned short)(frame->data[2] | frame->data[3] << 8),
    };
    if (exec->tty && exec->output.fd >= 0)
        (void)ioctl(exec->output.fd, TIOCSWINSZ, &size);
    return true;
}

static void exec_idle(struct session *session)
{
    struct exec *exec = session->request;
    exec_say_taken(exec);
    if (exec->running)
        exec_listen(exec);
    else
        exec_drain(exec);
}

static void exec_free(struct later *later)
{
    free((char *)later - offsetof(struct exec, free));
}

static void exec_close_streams(struct exec *exec)
{
    watch_close(&exec->input);
    watch_close(&exec->output);
    watch_close(&exec->errors);
    if (exec->terminal >= 0)
        (void)close(exec->terminal);
    exec->terminal = -1;
}

static void exec_closed(struct session *session)
{
    struct exec *exec = session->request;
    exec->session = NULL;
    exec_close_streams(exec);
    if (exec->running)
        procs_kill_session(exec->pid);
    else
        loop_later(&exec->free, exec_free);
}

static void exec_expired(struct session *session)
{
    struct exec *exec = session->request;
    exec->expired = true;
    if (exec->running)
        procs_kill_session(exec->pid);
}

static const struct session_ops exec_ops = {
    .frame = exec_frame,
    .idle = exec_idle,
    .closed = exec_closed,
    .expired = exec_expired,
};

void exec_reaped(int pid, int status)
{
    struct exec **at = &execs;
    while (*at && (*at)->pid != pid)
        at = &(*at)->next;
    struct exec *exec = *at;
    if (!exec)
        return;
    *at = exec->next;
    exec->running = false;
    exec->status = status;
    watch_close(&exec->input);
    exec->at = exec->length = 0;
    if (exec->session)
        exec_drain(exec);
    else
        loop_later(&exec->free, exec_free);
}

/* ---- the beginning --------------------------------------------------------------- */

/* The streams' ends for the process, which are ours to close, and in *exec our own. */
static bool exec_open_pipes(struct exec *exec, bool input, int theirs[3])
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, errors[2] = {-1, -1};
    if (input ? pipe2(in, O_CLOEXEC) < 0
              : (in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
        return false;
    theirs[0] = in[0];
    if (in[1] >= 0 && !watch_add(&exec->input, in[1], 0, exec_input_heard))
        return false;
    if (pipe2(out, O_CLOEXEC) < 0)
        return false;
    theirs[1] = out[1];
    if (!watch_add(&exec->output, out[0], EPOLLIN, exec_output_heard))
        return false;
    if (pipe2(errors, O_CLOEXEC) < 0)
        return false;
    theirs[2] = errors[1];
    return watch_add(&exec->errors, errors[0], EPOLLIN, exec_errors_heard);
}

static bool exec_open_terminal(struct exec *exec, const struct agent_frame *request,
                               int theirs[3])
{
    int ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct winsize size = {
        .ws_col = (unsigned short)agent_strings_number(request->data, request->length,
                                                       "columns", 80, 1, UINT16_MAX),
        .ws_row = (unsigned short)agent_strings_number(request->data, request->length,
                                                       "rows", 24, 1, UINT16_MAX),
    };
    if (ours < 0 || !watch_add(&exec->output, ours, EPOLLIN, exec_output_heard))
        return false;
    exec->tty = true;
    if (unlockpt(ours) < 0 || ioctl(ours, TIOCSWINSZ, &size) < 0)
        return false;
    for (int i = 0; i < 3; i++) {
        theirs[i] = open(ptsname(ours), O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (theirs[i] < 0)
            return false;
    }
    exec->terminal = fcntl(theirs[0], F_DUPFD_CLOEXEC, 3);
    return exec->terminal >= 0;
}

static bool exec_open_streams(struct exec *exec, const struct agent_frame *request,
                              int theirs[3])
{
    bool input = agent_strings_number(request->data, request->length, "input", 0, 0, 1);
    bool tty = agent_strings_number(request->data, request->length, "tty", 0, 0, 1);
    bool ok = tty ? exec_open_terminal(exec, request, theirs)
                  : exec_open_pipes(exec, input, theirs);
    struct watch *ours[] = {&exec->input, &exec->output, &exec->errors};
    for (unsigned i = 0; i < 3; i++) {
        if (ours[i]->fd >= 0)
            (void)fcntl(ours[i]->fd, F_SETFL, O_NONBLOCK);
    }
    return ok;
}

/* Starts the process; from here on the session is its own. */
static void exec_start(struct session *session, struct exec *exec,
                       const struct launch *launch, const struct agent_frame *request)
{
    struct launch_failure failure;
    uint8_t strings[64];
    struct agent_writer w = {.data = strings, .size = sizeof strings};
    exec->pid = launch_run(launch, &failure);
    if (exec->pid < 0) {
        exec_close_streams(exec);
        loop_later(&exec->free, exec_free);
        command_refuse(session, launch, &failure);
        return;
    }
    exec->session = session;
    exec->running = true;
    exec->next = execs;
    execs = exec;
    session->ops = &exec_ops;
    session->request = exec;
    session_limit(session, request);
    agent_put_number(&w, "version", session->version);
    agent_put_number(&w, "pid", exec->pid);
    session_send(session, AGENT_REPLY, strings, w.length);
}

void exec_begin(struct session *session, const struct agent_frame *request)
{
    struct launch launch = {.fd = {-1, -1, -1}};
    if (!command_read(session, request, &launch))
        return;
    struct exec *exec = calloc(1, sizeof *exec);
    if (!exec) {
        session_refuse(session, COMMAND_NOT_RUNNABLE, "no memory");
        return;
    }
    exec->terminal = -1;
    exec->input = exec->output = exec->errors = (struct watch)WATCH_NONE;
    if (exec_open_streams(exec, request, launch.fd)) {
        launch.tty = exec->tty;
        if (exec->tty && launch.as_user)
            (void)fchown(launch.fd[0], launch.uid, (gid_t)-1);
        exec_start(session, exec, &launch, request);
    } else {
        session_refuse(session, COMMAND_NOT_RUNNABLE, "its streams: %s",
                       strerror(errno));
        exec_close_streams(exec);
        loop_later(&exec->free, exec_free);
    }
    for (int i = 0; i < 3; i++) {
        if (launch.fd[i] >= 0)
            (void)close(launch.fd[i]);
    }
}
