/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Connections with the guest: arguments are checked softly here.
 */
#include "machine/machine.h"

static int wrong(microvm_error *err)
{
    return mv_fail(err, MICROVM_E_INVALID, "vsock: the machine is NULL");
}

int microvm_connect(microvm *vm, uint32_t port, int64_t timeout_ms, intptr_t *out,
                    microvm_error *err)
{
    return vm && out ? mv_machine_connect(vm, port, timeout_ms, out, err) : wrong(err);
}

int microvm_connect_begin(microvm *vm, uint32_t port, int64_t timeout_ms, intptr_t *out,
                          microvm_error *err)
{
    return vm && out ? mv_machine_connect_begin(vm, port, timeout_ms, out, err)
                     : wrong(err);
}

int microvm_listen(microvm *vm, uint32_t port, microvm_error *err)
{
    return vm ? mv_machine_listen(vm, port, true, err) : wrong(err);
}

int microvm_unlisten(microvm *vm, uint32_t port, microvm_error *err)
{
    return vm ? mv_machine_listen(vm, port, false, err) : wrong(err);
}

int microvm_accept(microvm *vm, uint32_t port, int64_t timeout_ms, intptr_t *out,
                   microvm_error *err)
{
    return vm && out ? mv_machine_accept(vm, port, timeout_ms, out, err) : wrong(err);
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
