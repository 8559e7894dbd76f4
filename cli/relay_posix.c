/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The relay on POSIX systems: one poll loop over the console, standard input and
 * output, the machine's events and a pipe that signal handlers write to. Everything
 * that could make us wait is asked for by poll, so that a signal is always heard.
 *
 * Standard output may be shared with other programs, so it is not made non-blocking: a
 * write of what poll found room for may still wait, and is then interrupted by signals.
 */
#define _GNU_SOURCE
#include "relay.h"

#include "cli.h"
#include "control.h"
#include "signals.h"
#include "term.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    IN_BYTES = 4096,
    OUT_BYTES = 64 * 1024,
    /* Of the console's output, for `microvm logs`: where it is seen anyway, and where
     * it is seen nowhere else. */
    HISTORY_SHOWN_BYTES = 64 * 1024,
    HISTORY_HIDDEN_BYTES = 1024 * 1024,
    LAST_LINES = 6
};

struct pump {
    struct relay *relay;
    struct verb_machine machine;
    struct control *control; /* NULL: nobody can ask for it */
    struct escape escape;
    char in[IN_BYTES + 1], out[OUT_BYTES];
    size_t in_at, in_end, out_at, out_end; /* what waits in the buffers */
    bool input, console, running, failed;
    bool asked;           /* the power button was pressed */
    uint64_t deadline_ms; /* for the guest to follow it; 0: none */
};

static uint64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- signals -------------------------------------------------------------------- */

static void pump_stop(struct pump *pump)
{
    bool wait = relay_stop(pump->relay, &pump->asked);
    pump->deadline_ms = wait ? now_ms() + SHUTDOWN_GRACE_MS : 0;
}

/* Asked for by `microvm stop`: the deadline is the asker's. */
static void pump_stop_within(struct pump *pump, uint64_t timeout_ms, bool guest_asked)
{
    bool before = pump->asked, quiet = pump->relay->quiet;
    if (timeout_ms == 0) {
        (void)microvm_kill(pump->relay->vm, NULL);
        return;
    }
    pump->relay->quiet = true;
    if (guest_asked) { /* where there is a button, too; without one it goes anyway */
        (void)microvm_begin(pump->relay->vm, MICROVM_OP_SHUTDOWN, NULL);
        pump->asked = before = true;
    }
    if (before || relay_stop(pump->relay, &pump->asked))
        pump->deadline_ms = now_ms() + timeout_ms;
    pump->relay->quiet = quiet;
}

static void pump_resize(struct pump *pump)
{
    uint16_t columns, rows;
    if (pump->console && term_size(&columns, &rows))
        (void)microvm_console_resize(pump->relay->vm, columns, rows, NULL);
}

static void pump_interrupt(struct pump *pump)
{
    if (pump->running) {
        pump_stop(pump);
    } else { /* whoever reads our output has stopped doing so */
        pump->console = false;
        pump->out_at = pump->out_end;
    }
}

static void pump_signals(struct pump *pump)
{
    int number;
    while ((number = signals_next()) != 0) {
        if (number == SIGWINCH)
            pump_resize(pump);
        else if (number == SIGTSTP)
            term_suspend();
        else
            pump_interrupt(pump);
    }
}

/* ---- bytes ---------------------------------------------------------------------- */

static void pump_fail(struct pump *pump, const char *what)
{
    say("%s: %s; the machine is stopped", what, strerror(errno));
    pump->failed = true;
    pump->out_at = pump->out_end = 0;
    pump->console = false; /* nowhere to write it to */
    (void)microvm_kill(pump->relay->vm, NULL);
}

static bool passing(int error)
{
    return error == EINTR || error == EAGAIN || error == EWOULDBLOCK;
}

static void pump_read_console(struct pump *pump)
{
    ssize_t n = read((int)pump->relay->console, pump->out, OUT_BYTES);
    if (n > 0) {
        if (pump->control)
            control_output(pump->control, pump->out, (size_t)n);
        pump->out_at = 0;
        pump->out_end = pump->relay->output ? (size_t)n : 0;
    } else if (n == 0 || !passing(errno)) {
        pump->console = false;
    }
}

static void pump_write_output(struct pump *pump)
{
    ssize_t n = write(1, pump->out + pump->out_at, pump->out_end - pump->out_at);
    if (n > 0)
        pump->out_at += (size_t)n;
    else if (n < 0 && !passing(errno))
        pump_fail(pump, "standard output");
}

static void pump_read_input(struct pump *pump)
{
    char typed[IN_BYTES];
    bool leave = false;
    ssize_t n = read(0, typed, sizeof typed);
    if (n < 0 && passing(errno))
        return;
    if (n <= 0) { /* the guest cannot be told: a console has no end */
        pump->input = false;
        return;
    }
    pump->in_at = 0;
    pump->in_end = escape_filter(&pump->escape, typed, (unsigned)n, pump->in, &leave);
    if (leave)
        (void)microvm_kill(pump->relay->vm, NULL);
}

static void pump_read_attached(struct pump *pump)
{
    size_t n = control_input(pump->control, pump->in, IN_BYTES);
    if (n > 0) {
        pump->in_at = 0;
        pump->in_end = n;
    }
}

static void pump_write_console(struct pump *pump)
{
    ssize_t n = write((int)pump->relay->console, pump->in + pump->in_at,
                      pump->in_end - pump->in_at);
    if (n > 0)
        pump->in_at += (size_t)n;
    else if (n < 0 && !passing(errno))
        pump->in_at = pump->in_end; /* the machine has ended: nobody reads */
}

/* ---- who asks from outside ------------------------------------------------------- */

/* After the guest has begun: its name is nothing it waits for. */
static void pump_open_control(struct pump *pump)
{
    struct relay *relay = pump->relay;
    if (relay->claim->lock < 0 && !claim_name(relay->claim, NULL))
        return;
    pump->machine = (struct verb_machine){.vm = relay->vm,
                                          .config = relay->config,
                                          .name = relay->claim->name,
                                          .since = (int64_t)time(NULL),
                                          .pid = (long)getpid(),
                                          .ports = settings_ports(relay->config)};
    pump->control =
        control_open(relay->claim, &pump->machine,
                     relay->output ? HISTORY_SHOWN_BYTES : HISTORY_HIDDEN_BYTES);
}

static void pump_connected(void *ctx, const microvm_event *event)
{
    struct pump *pump = ctx;
    if (pump->control)
        control_connected(pump->control, event);
}

static void pump_control(struct pump *pump, const struct pollfd *fds, int count)
{
    uint64_t timeout_ms;
    bool guest_asked;
    control_turn(pump->control, fds, count);
    if (pump->console && pump->in_at == pump->in_end)
        pump_read_attached(pump);
    if (control_stop_asked(pump->control, &timeout_ms, &guest_asked))
        pump_stop_within(pump, timeout_ms, guest_asked);
    if (control_wait_asked(pump->control, &timeout_ms))
        pump->deadline_ms = now_ms() + timeout_ms;
}

static void pump_tell_running(struct pump *pump)
{
    struct relay *relay = pump->relay;
    if (relay->running && microvm_get_state(relay->vm) == MICROVM_RUNNING) {
        relay->running(relay->claim->name);
        relay->running = NULL;
    }
}

/* ---- the loop ------------------------------------------------------------------- */

enum { FD_SIGNALS, FD_EVENTS, FD_CONSOLE, FD_INPUT, FD_OUTPUT, FD_LIFE, FDS };

static void pump_interest(const struct pump *pump, struct pollfd fds[FDS])
{
    bool output = pump->out_at < pump->out_end;
    bool pending = pump->in_at < pump->in_end;
    short console = 0;
    if (pump->console && !output)
        console |= POLLIN;
    if (pump->console && pending)
        console |= POLLOUT;
    fds[FD_SIGNALS] = (struct pollfd){signals_fd(), POLLIN, 0};
    fds[FD_EVENTS] = (struct pollfd){
        pump->running ? (int)microvm_event_handle(pump->relay->vm) : -1, POLLIN, 0};
    fds[FD_CONSOLE] =
        (struct pollfd){console ? (int)pump->relay->console : -1, console, 0};
    fds[FD_INPUT] = (struct pollfd){
        pump->running && pump->console && pump->input && !pending ? 0 : -1, POLLIN, 0};
    fds[FD_OUTPUT] = (struct pollfd){output ? 1 : -1, POLLOUT, 0};
    fds[FD_LIFE] = (struct pollfd){pump->running ? pump->relay->life : -1, 0, 0};
}

static int pump_wait_ms(const struct pump *pump)
{
    if (!pump->running || !pump->deadline_ms)
        return -1;
    uint64_t now = now_ms();
    return now < pump->deadline_ms ? (int)(pump->deadline_ms - now) : 0;
}

static void pump_turn(struct pump *pump)
{
    struct pollfd fds[FDS + CONTROL_FDS];
    bool idle = pump->in_at == pump->in_end;
    int asking = 0;
    pump_interest(pump, fds);
    if (pump->control)
        asking = control_interest(pump->control, fds + FDS, pump->console && idle);
    int ready = poll(fds, FDS + (nfds_t)asking, pump_wait_ms(pump));
    if (ready < 0)
        return; /* EINTR: the pipe has it on the next turn */
    if (ready == 0)
        pump_stop(pump); /* the time that the guest was given is over */
    if (fds[FD_SIGNALS].revents)
        pump_signals(pump);
    if (fds[FD_LIFE].revents)
        (void)microvm_kill(pump->relay->vm, NULL);
    if (fds[FD_OUTPUT].revents)
        pump_write_output(pump);
    if (fds[FD_CONSOLE].revents & (POLLOUT | POLLERR))
        pump_write_console(pump);
    if (fds[FD_CONSOLE].revents & (POLLIN | POLLHUP | POLLERR) &&
        pump->out_at == pump->out_end && pump->console)
        pump_read_console(pump);
    if (fds[FD_INPUT].revents)
        pump_read_input(pump);
    if (fds[FD_EVENTS].revents) {
        pump->running = relay_events(pump->relay);
        pump_tell_running(pump);
    }
    if (pump->control && pump->running)
        pump_control(pump, fds + FDS, asking);
}

/* A machine for a command shows its console to nobody. When it ended badly, the reason
 * is among its last words. */
static void pump_say_why(const struct pump *pump)
{
    microvm_exit end = MICROVM_EXIT_INIT;
    if (pump->relay->life < 0 || !pump->control ||
        microvm_wait(pump->relay->vm, 0, &end, NULL) ||
        (end.reason != MICROVM_EXIT_PANIC && end.reason != MICROVM_EXIT_CRASH))
        return;
    control_say_last(pump->control, LAST_LINES);
}

/* A guest's connections are descriptors here, and so are its user's: as many as the
 * system lets us have. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

bool relay_run(struct relay *relay)
{
    static struct pump pump;
    microvm_error err;
    raise_descriptors();
    pump.relay = relay;
    relay->connected = pump_connected;
    relay->ctx = &pump;
    pump.escape.on = term_is_raw();
    pump.input = relay->input;
    pump.console = relay->console >= 0;
    if (microvm_begin(relay->vm, MICROVM_OP_START, &err)) {
        say_error(&err);
        return false;
    }
    /* The guest is on its way: all else can be done meanwhile. */
    if (!signals_catch())
        return false;
    pump.running = true;
    pump_resize(&pump);
    pump_open_control(&pump);
    while (pump.running || pump.console || pump.out_at < pump.out_end)
        pump_turn(&pump);
    pump_say_why(&pump);
    claim_release(relay->claim); /* first: who waited for the end finds it free */
    control_close(pump.control);
    json_decref(pump.machine.ports);
    return !pump.failed;
}
