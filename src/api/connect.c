/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Connections with the guest: arguments are checked softly here.
 */
#include "machine/machine.h"

static int wrong(microvm_error *err)
{
    return mv_fail(err, MICROVM_E_INVALID, "vsock: the machine is NULL");
}

static int known(microvm_socket_type type, microvm_error *err)
{
    if (type == MICROVM_SOCKET_STREAM || type == MICROVM_SOCKET_SEQPACKET)
        return 0;
    return mv_fail(err, MICROVM_E_INVALID,
                   "vsock: %d is no microvm_socket_type; 1 is a stream, 2 SEQPACKET",
                   (int)type);
}

int microvm_connect_type(microvm *vm, microvm_socket_type type, uint32_t port,
                         int64_t timeout_ms, intptr_t *out, microvm_error *err)
{
    int rc = vm && out ? known(type, err) : wrong(err);
    return rc ? rc : mv_machine_connect(vm, type, port, timeout_ms, out, err);
}

int microvm_connect(microvm *vm, uint32_t port, int64_t timeout_ms, intptr_t *out,
                    microvm_error *err)
{
    return microvm_connect_type(vm, MICROVM_SOCKET_STREAM, port, timeout_ms, out, err);
}

int microvm_connect_begin_type(microvm *vm, microvm_socket_type type, uint32_t port,
                               int64_t timeout_ms, intptr_t *out, microvm_error *err)
{
    int rc = vm && out ? known(type, err) : wrong(err);
    return rc ? rc : mv_machine_connect_begin(vm, type, port, timeout_ms, out, err);
}

int microvm_connect_begin(microvm *vm, uint32_t port, int64_t timeout_ms, intptr_t *out,
                          microvm_error *err)
{
    return microvm_connect_begin_type(vm, MICROVM_SOCKET_STREAM, port, timeout_ms, out,
                                      err);
}

int microvm_listen_type(microvm *vm, microvm_socket_type type, uint32_t port,
                        microvm_error *err)
{
    int rc = vm ? known(type, err) : wrong(err);
    return rc ? rc : mv_machine_listen(vm, type, port, err);
}

int microvm_listen(microvm *vm, uint32_t port, microvm_error *err)
{
    return microvm_listen_type(vm, MICROVM_SOCKET_STREAM, port, err);
}

int microvm_unlisten(microvm *vm, uint32_t port, microvm_error *err)
{
    return vm ? mv_machine_unlisten(vm, port, err) : wrong(err);
}

int microvm_accept(microvm *vm, uint32_t port, int64_t timeout_ms, intptr_t *out,
                   microvm_error *err)
{
    return vm && out ? mv_machine_accept(vm, port, timeout_ms, out, err) : wrong(err);
}

struct was_cut {
    microvm *vm;
    intptr_t connection;
    int answer;
};

static void was_cut_call(void *arg)
{
    struct was_cut *w = arg;
    w->answer = w->vm->ops->was_cut && w->vm->ops->was_cut(w->vm, w->connection);
}

int microvm_connection_was_cut(microvm *vm, intptr_t connection)
{
    struct was_cut w = {vm, connection, 0};
    if (vm)
        mv_loop_run(&vm->loop, was_cut_call, &w);
    return w.answer;
}

struct socks {
    microvm *vm;
    const char *text;
    uint16_t *port;
    microvm_error *err;
    int rc;
};

static void socks_call(void *arg)
{
    struct socks *s = arg;
    s->rc = s->vm->ops->socks
                ? s->vm->ops->socks(s->vm, s->text, s->port, s->err)
                : mv_fail(s->err, MICROVM_E_UNSUPPORTED,
                          "socks: machines of kind %s cannot", s->vm->ops->kind);
}

static int socks(microvm *vm, const char *text, uint16_t *port, microvm_error *err)
{
    struct socks call = {vm, text, port, err, 0};
    if (!vm || !text)
        return mv_fail(err, MICROVM_E_INVALID, "socks: the machine or text is NULL");
    mv_loop_run(&vm->loop, socks_call, &call);
    return call.rc;
}

int microvm_socks_open(microvm *vm, const char *server, uint16_t *port,
                       microvm_error *err)
{
    uint16_t bound;
    int rc = socks(vm, server, &bound, err);
    if (!rc && port)
        *port = bound;
    return rc;
}

int microvm_socks_close(microvm *vm, const char *server, microvm_error *err)
{
    return socks(vm, server, NULL, err);
}

struct attach {
    microvm *vm;
    const microvm_vsock *vsock;
    microvm_error *err;
    int rc;
};

static void attach_vsock(void *arg)
{
    struct attach *a = arg;
    a->rc = a->vm->ops->attach_vsock
                ? a->vm->ops->attach_vsock(a->vm, a->vsock, a->err)
                : mv_fail(a->err, MICROVM_E_UNSUPPORTED,
                          "vsock: machines of kind %s cannot", a->vm->ops->kind);
}

int microvm_attach_vsock(microvm *vm, const microvm_vsock *vsock, microvm_error *err)
{
    struct attach attach = {vm, vsock, err, 0};
    if (!vm || !vsock)
        return wrong(err);
    mv_loop_run(&vm->loop, attach_vsock, &attach);
    return attach.rc;
}
