/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A command in a guest, on POSIX systems: one poll loop over its streams, ours, and
 * signals. Without a terminal of its own the command gets the signals that we get.
 */
#define _GNU_SOURCE
#include "exec.h"

#include "cli.h"
#include "signals.h"
#include "term.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 64 * 1024 };

struct piece {
    char data[PIECE];
    size_t at, end;
};

struct pump {
    microvm_process *process;
    const struct exec *exec;
    bool input; /* more may come */
    bool failed;
    int to; /* whose output waits in `out`: 1 or 2 */
    struct piece in, out;
};

static void pump_fail(struct pump *pump, const microvm_error *err)
{
    if (pump->exec->cut)
        *pump->exec->cut = *err;
    else
        say_error(err);
    pump->failed = true;
}

static bool passing(void)
{
    return errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK;
}

/* Linux's numbers, for those that differ elsewhere there is none that we catch. */
static void pump_signals(struct pump *pump)
{
    int number;
    uint16_t columns, rows;
    while ((number = signals_next()) != 0) {
        if (number == SIGTSTP)
            term_suspend();
        else if (number == SIGWINCH && pump->exec->raw && term_size(&columns, &rows))
            (void)microvm_process_resize(pump->process, columns, rows, NULL);
        else if (number != SIGWINCH)
            (void)microvm_process_signal(pump->process, number, NULL);
    }
}

static void pump_end_input(struct pump *pump)
{
    pump->input = false;
    (void)microvm_process_end_input(pump->process, NULL);
}

static void pump_read_input(struct pump *pump)
{
    ssize_t n = read(0, pump->in.data, PIECE);
    if (n < 0 && passing())
        return;
    pump->in.at = 0;
    pump->in.end = n > 0 ? (size_t)n : 0;
    if (n <= 0)
        pump_end_input(pump);
}

static void pump_send_input(struct pump *pump)
{
    microvm_error err;
    int64_t n = microvm_process_write(pump->process, pump->in.data + pump->in.at,
                                      pump->in.end - pump->in.at, 0, &err);
    if (n > 0)
        pump->in.at += (size_t)n;
    else if (n < 0 && n != MICROVM_E_TIMEOUT) /* it has ended: its last words follow */
        pump->in.at = pump->in.end, pump->input = false;
}

/* False: nothing is there yet, or the end has come. */
static bool pump_receive(struct pump *pump)
{
    microvm_error err;
    int64_t n =
        microvm_process_read(pump->process, pump->out.data, PIECE, &pump->to, 0, &err);
    pump->out.at = 0;
    pump->out.end = n > 0 ? (size_t)n : 0;
    if (n < 0 && n != MICROVM_E_TIMEOUT)
        pump_fail(pump, &err);
    return n > 0;
}

static void pump_write_output(struct pump *pump)
{
    ssize_t n =
        write(pump->to, pump->out.data + pump->out.at, pump->out.end - pump->out.at);
    if (n < 0 && !passing()) {
        say("%s: %s", pump->to == 1 ? "standard output" : "standard error",
            strerror(errno));
        pump->failed = true;
    }
    pump->out.at += n > 0 ? (size_t)n : 0;
}

/* One turn; false at the end. What the process object holds already is no news to
 * poll, so it is asked before. */
static bool pump_turn(struct pump *pump)
{
    bool output = pump->out.at < pump->out.end || pump_receive(pump);
    if (pump->failed || (!output && microvm_process_status(pump->process) >= 0))
        return false;
    bool input = pump->in.at < pump->in.end;
    if (input && microvm_process_room(pump->process) > 0)
        pump_send_input(pump);
    bool pending = microvm_process_pending(pump->process);
    short events = (short)((output ? 0 : POLLIN) | (pending ? POLLOUT : 0));
    struct pollfd fds[4] = {
        {signals_fd(), POLLIN, 0},
        {events ? (int)microvm_process_handle(pump->process) : -1, events, 0},
        {output ? pump->to : -1, POLLOUT, 0},
        {pump->input && pump->in.at == pump->in.end ? 0 : -1, POLLIN, 0},
    };
    if (poll(fds, 4, -1) < 0)
        return true;
    if (fds[0].revents)
        pump_signals(pump);
    if (fds[2].revents)
        pump_write_output(pump);
    if (fds[3].revents)
        pump_read_input(pump);
    return !pump->failed;
}

int exec_run(const struct exec *exec, int connection)
{
    static struct pump pump;
    microvm_error err;
    pump = (struct pump){.exec = exec, .input = exec->input};
    int rc =
        microvm_exec_on(connection, &exec->command, exec->wait_ms, &pump.process, &err);
    if (rc && exec->cut && !err.os_code) {
        *exec->cut = err;
        return STATUS_OURS;
    }
    if (rc)
        return exec_refused(&err);
    int status = STATUS_OURS;
    if (!signals_catch()) {
        pump.failed = true;
    } else if (exec->raw && !term_make_raw()) {
        say("the terminal cannot be made raw: %s", strerror(errno));
        pump.failed = true;
    }
    while (!pump.failed && pump_turn(&pump))
        ;
    term_restore();
    if (!pump.failed)
        status = microvm_process_status(pump.process);
    microvm_process_free(pump.process);
    return status;
}
