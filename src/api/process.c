/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Commands in the guest: the client's half of what follows the request "exec" of the
 * agent protocol (proto/agent.md). There is no thread behind it: whoever calls moves
 * the bytes.
 */
#include "api/agent.h"

#include "os/socket.h"
#include "util/bytes.h"

#include <stdlib.h>
#include <string.h>

/* For a few bytes to go out: the agent reads always, so this is a guest that hangs. */
enum { SOON_MS = 1000 };

struct microvm_process {
    struct mv_agent agent;
    int status;        /* -1: it runs */
    bool input_ended;  /* the guest has been told */
    size_t window;     /* bytes of input that the agent has room for */
    size_t data_at;    /* of the frame at the beginning of `in`, given out so far */
    size_t out_length; /* of a frame that the socket has not taken whole, in `out` */
    size_t out_at;
    uint8_t out[MV_AGENT_FRAME_MAX];
};

/* ---- the beginning --------------------------------------------------------------- */

static void put_all(struct agent_writer *w, const char *key, const char *const *list)
{
    for (; list && *list; list++)
        agent_put(w, key, *list);
}

static void put_words(struct agent_writer *w, const microvm_command *command)
{
    agent_put_number(w, "version", AGENT_VERSION);
    put_all(w, "arg", command->argv);
    put_all(w, "env", command->env);
    if (command->cwd)
        agent_put(w, "cwd", command->cwd);
    if (command->user)
        agent_put(w, "user", command->user);
    if (command->flags & MICROVM_COMMAND_INPUT)
        agent_put_number(w, "input", 1);
    if (command->flags & MICROVM_COMMAND_TTY)
        agent_put_number(w, "tty", 1);
    if (command->columns)
        agent_put_number(w, "columns", command->columns);
    if (command->rows)
        agent_put_number(w, "rows", command->rows);
    agent_put_number(w, "timeout_ms", command->timeout_ms);
}

static void put_command(struct agent_writer *w, const void *what)
{
    agent_put(w, "do", "exec");
    put_words(w, what);
}

static void put_main(struct agent_writer *w, const void *what)
{
    agent_put(w, "do", "main");
    put_words(w, what);
}

static int command_check(const microvm_command *command, microvm_error *err)
{
    if (!command || command->size < sizeof *command)
        return mv_fail(err, MICROVM_E_INVALID,
                       "exec: the command is NULL, or its size field is not set; use "
                       "MICROVM_COMMAND_INIT");
    if (!command->argv || !command->argv[0] || !*command->argv[0])
        return mv_fail(err, MICROVM_E_INVALID, "exec: there is no command");
    if (command->timeout_ms < 0)
        return mv_fail(err, MICROVM_E_INVALID, "exec: timeout_ms is negative");
    return 0;
}

int microvm_exec_on(intptr_t connection, const microvm_command *command,
                    int64_t timeout_ms, microvm_process **out, microvm_error *err)
{
    struct agent_frame reply;
    int rc = out ? command_check(command, err)
                 : mv_fail(err, MICROVM_E_INVALID, "exec: out is NULL");
    struct microvm_process *p = rc ? NULL : malloc(sizeof *p);
    if (!p) {
        mv_socket_close(connection);
        return rc ? rc : mv_fail(err, MICROVM_E_NO_MEMORY, "exec: no memory");
    }
    p->agent.socket = connection;
    p->agent.length = 0;
    p->status = -1;
    p->input_ended = !(command->flags & (MICROVM_COMMAND_INPUT | MICROVM_COMMAND_TTY));
    p->window = AGENT_WINDOW;
    p->data_at = p->out_length = p->out_at = 0;
    rc = mv_agent_request(&p->agent, put_command, command, timeout_ms, &reply, err);
    if (rc) {
        microvm_process_free(p);
        return rc;
    }
    mv_agent_drop(&p->agent, &reply);
    *out = p;
    return 0;
}

int microvm_exec(microvm *vm, const microvm_command *command, int64_t timeout_ms,
                 microvm_process **out, microvm_error *err)
{
    uint64_t began = mv_socket_now_ms();
    intptr_t connection;
    int rc = command_check(command, err);
    if (!rc)
        rc = microvm_connect(vm, MICROVM_AGENT_PORT, timeout_ms, &connection, err);
    if (rc)
        return rc;
    return microvm_exec_on(connection, command, mv_socket_left_ms(timeout_ms, began),
                           out, err);
}

int microvm_main_on(intptr_t connection, const microvm_command *command,
                    int64_t timeout_ms, microvm_error *err)
{
    int rc = command_check(command, err);
    if (!rc && (command->flags || command->timeout_ms))
        rc = mv_fail(err, MICROVM_E_INVALID,
                     "main: its streams are the console's, and it has no time limit");
    if (!rc)
        return mv_agent_question(connection, put_main, command, timeout_ms, NULL, err);
    mv_socket_close(connection);
    return rc;
}

int microvm_main(microvm *vm, const microvm_command *command, int64_t timeout_ms,
                 microvm_error *err)
{
    uint64_t began = mv_socket_now_ms();
    intptr_t connection;
    int rc = microvm_connect(vm, MICROVM_AGENT_PORT, timeout_ms, &connection, err);
    return rc ? rc
              : microvm_main_on(connection, command,
                                mv_socket_left_ms(timeout_ms, began), err);
}

/* ---- to the agent ---------------------------------------------------------------- */

/* Sends what waits: 0 when nothing is left. */
static int process_flush(struct microvm_process *p, int64_t timeout_ms,
                         microvm_error *err)
{
    uint64_t began = mv_socket_now_ms();
    while (p->out_at < p->out_length) {
        int64_t n = mv_socket_write(p->agent.socket, p->out + p->out_at,
                                    p->out_length - p->out_at);
        if (n >= 0)
            p->out_at += (size_t)n;
        else if (n == MV_SOCKET_GONE)
            return mv_agent_gone(err);
        else if (!mv_socket_wait(p->agent.socket, 1,
                                 mv_socket_left_ms(timeout_ms, began)))
            return mv_agent_slow("took nothing", err);
    }
    p->out_at = p->out_length = 0;
    return 0;
}

/* As far as the connection takes it at once. */
static int process_flush_some(struct microvm_process *p, microvm_error *err)
{
    int rc = p->out_length ? process_flush(p, 0, err) : 0;
    return rc == MICROVM_E_TIMEOUT ? 0 : rc;
}

/* A frame that waits for nothing but the frame before it. */
static int process_send(struct microvm_process *p, enum agent_type type,
                        const void *data, size_t length, int64_t timeout_ms,
                        microvm_error *err)
{
    int rc = process_flush(p, timeout_ms, err);
    if (rc)
        return rc;
    agent_header_write(p->out, type, (uint32_t)length);
    memcpy(p->out + AGENT_HEADER_BYTES, data, length);
    p->out_length = AGENT_HEADER_BYTES + length;
    rc = process_flush(p, timeout_ms, err);
    return rc == MICROVM_E_TIMEOUT ? 0 : rc; /* the rest goes with the next call */
}

/* ---- its streams ----------------------------------------------------------------- */

static void process_drop(struct microvm_process *p, const struct agent_frame *frame)
{
    mv_agent_drop(&p->agent, frame);
    p->data_at = 0;
}

/* What is no output: room for input, the exit. 0, or a negative code. */
static int process_note(struct microvm_process *p, const struct agent_frame *frame,
                        microvm_error *err)
{
    if (frame->type == AGENT_TAKEN) {
        uint32_t taken = mv_load32(frame->data);
        if (taken > AGENT_WINDOW - p->window)
            return mv_fail(err, MICROVM_E_IO,
                           "exec: the agent took more than there was");
        p->window += taken;
        return 0;
    }
    int rc = frame->type == AGENT_EXIT
                 ? mv_agent_strings(frame, err)
                 : mv_fail(err, MICROVM_E_IO, "exec: the agent sent what it may not");
    if (!rc)
        p->status =
            (int)agent_strings_number(frame->data, frame->length, "code", 125, 0, 255);
    if (!rc && p->status < 0)
        p->status = 125;
    return rc;
}

int64_t microvm_process_read(microvm_process *process, void *data, size_t size,
                             int *stream, int64_t timeout_ms, microvm_error *err)
{
    struct microvm_process *p = process;
    struct agent_frame frame;
    uint64_t began = mv_socket_now_ms();
    if (!p || !data || !size)
        return mv_fail(err, MICROVM_E_INVALID,
                       "exec: the process or the buffer is NULL");
    while (p->status < 0) {
        (void)process_flush_some(p, NULL); /* what the guest said last comes first */
        int rc = mv_agent_receive(&p->agent, &frame,
                                  mv_socket_left_ms(timeout_ms, began), err);
        if (rc < 0)
            return rc;
        if (frame.type == AGENT_OUTPUT || frame.type == AGENT_ERRORS) {
            size_t n = MV_MIN(size, frame.length - p->data_at);
            memcpy(data, frame.data + p->data_at, n);
            if (stream)
                *stream = frame.type == AGENT_OUTPUT ? 1 : 2;
            p->data_at += n;
            if (p->data_at == frame.length)
                process_drop(p, &frame);
            if (n > 0)
                return (int64_t)n;
            continue;
        }
        rc = process_note(p, &frame, err);
        if (rc)
            return rc;
        process_drop(p, &frame);
    }
    return 0;
}

int microvm_process_pending(const microvm_process *process)
{
    return process && process->status < 0 && process->out_length > 0;
}

size_t microvm_process_room(const microvm_process *process)
{
    return process && !process->input_ended && process->status < 0 ? process->window
                                                                   : 0;
}

int64_t microvm_process_write(microvm_process *process, const void *data, size_t length,
                              int64_t timeout_ms, microvm_error *err)
{
    if (!process || (!data && length))
        return mv_fail(err, MICROVM_E_INVALID, "exec: the process or the data is NULL");
    if (process->input_ended)
        return mv_fail(err, MICROVM_E_STATE,
                       "exec: its input has ended, or has not begun");
    size_t n = MV_MIN(MV_MIN(length, process->window), (size_t)AGENT_DATA_MAX);
    if (n == 0)
        return length
                   ? mv_fail(err, MICROVM_E_TIMEOUT, "exec: the command read nothing")
                   : 0;
    int rc = process_send(process, AGENT_INPUT, data, n, timeout_ms, err);
    if (rc)
        return rc;
    process->window -= n;
    return (int64_t)n;
}

int microvm_process_end_input(microvm_process *process, microvm_error *err)
{
    if (!process)
        return mv_fail(err, MICROVM_E_INVALID, "exec: the process is NULL");
    if (process->input_ended)
        return 0;
    int rc = process_send(process, AGENT_INPUT, "", 0, SOON_MS, err);
    process->input_ended = rc == 0;
    return rc;
}

int microvm_process_signal(microvm_process *process, int number, microvm_error *err)
{
    const uint8_t byte = (uint8_t)number;
    if (!process || number < 1 || number > 64)
        return mv_fail(err, MICROVM_E_INVALID,
                       "exec: the process is NULL, or %d is no signal (1 to 64)",
                       number);
    return process_send(process, AGENT_SIGNAL, &byte, 1, SOON_MS, err);
}

int microvm_process_resize(microvm_process *process, uint16_t columns, uint16_t rows,
                           microvm_error *err)
{
    uint8_t bytes[4];
    if (!process || !columns || !rows)
        return mv_fail(err, MICROVM_E_INVALID,
                       "exec: the process is NULL, or the terminal has no size");
    mv_store16(bytes, columns);
    mv_store16(bytes + 2, rows);
    return process_send(process, AGENT_RESIZE, bytes, sizeof bytes, MICROVM_FOREVER,
                        err);
}

/* ---- its end --------------------------------------------------------------------- */

int microvm_process_status(const microvm_process *process)
{
    return process ? process->status : -1;
}

int microvm_process_wait(microvm_process *process, int64_t timeout_ms,
                         microvm_error *err)
{
    uint64_t began = mv_socket_now_ms();
    uint8_t nothing[4096];
    int64_t n;
    do
        n = microvm_process_read(process, nothing, sizeof nothing, NULL,
                                 mv_socket_left_ms(timeout_ms, began), err);
    while (n > 0);
    return n < 0 ? (int)n : process->status;
}

intptr_t microvm_process_handle(const microvm_process *process)
{
    return process ? process->agent.socket : MV_SOCKET_NONE;
}

void microvm_process_free(microvm_process *process)
{
    if (!process)
        return;
    mv_socket_close(process->agent.socket);
    free(process);
}
