/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The console: a socket from the machine, and blocking reads and writes on it for those
 * who have no loop of their own.
 */
#include "machine/machine.h"

#include "os/socket.h"

struct open {
    microvm *vm;
    intptr_t *out;
    microvm_error *err;
    int rc;
};

static void console_open(void *arg)
{
    struct open *o = arg;
    o->rc = o->vm->ops->console_open
                ? o->vm->ops->console_open(o->vm, o->out, o->err)
                : mv_fail(o->err, MICROVM_E_UNSUPPORTED,
                          "console: machines of kind %s have none", o->vm->ops->kind);
}

int microvm_console_open(microvm *vm, intptr_t *out, microvm_error *err)
{
    struct open open = {vm, out, err, 0};
    if (!vm || !out)
        return mv_fail(err, MICROVM_E_INVALID, "console: the machine is NULL");
    mv_loop_run(&vm->loop, console_open, &open);
    return open.rc;
}

int64_t microvm_console_read(intptr_t console, void *data, size_t length,
                             int64_t timeout_ms, microvm_error *err)
{
    for (;;) {
        int64_t n = mv_socket_read(console, data, length);
        if (n >= 0)
            return n;
        if (n == MV_SOCKET_GONE)
            return mv_fail(err, MICROVM_E_IO, "console: the connection is gone");
        if (!mv_socket_wait(console, 0, timeout_ms))
            return mv_fail(err, MICROVM_E_TIMEOUT, "console: no output in %lld ms",
                           (long long)timeout_ms);
    }
}

int64_t microvm_console_write(intptr_t console, const void *data, size_t length,
                              int64_t timeout_ms, microvm_error *err)
{
    for (;;) {
        int64_t n = mv_socket_write(console, data, length);
        if (n >= 0)
            return n;
        if (n == MV_SOCKET_GONE)
            return mv_fail(err, MICROVM_E_IO, "console: the machine is gone");
        if (!mv_socket_wait(console, 1, timeout_ms))
            return mv_fail(err, MICROVM_E_TIMEOUT,
                           "console: the guest took nothing in %lld ms",
                           (long long)timeout_ms);
    }
}

void microvm_console_close(intptr_t console)
{
    mv_socket_close(console);
}

struct resize {
    microvm *vm;
    uint16_t columns, rows;
    microvm_error *err;
    int rc;
};

static void console_resize(void *arg)
{
    struct resize *r = arg;
    if (r->vm->ops->console_resize)
        r->rc = r->vm->ops->console_resize(r->vm, r->columns, r->rows, r->err);
}

int microvm_console_resize(microvm *vm, uint16_t columns, uint16_t rows,
                           microvm_error *err)
{
    struct resize resize = {vm, columns, rows, err, 0};
    if (!vm)
        return mv_fail(err, MICROVM_E_INVALID, "console: the machine is NULL");
    mv_loop_run(&vm->loop, console_resize, &resize);
    return resize.rc;
}
