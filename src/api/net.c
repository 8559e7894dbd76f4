/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Network devices: adding them, finding them, frames and the cable.
 */
#include "core/config.h"
#include "machine/machine.h"
#include "util/bytes.h"

#include <stdio.h>
#include <string.h>

void microvm_config_add_net(microvm_config *config, const microvm_net *net)
{
    if (config && net)
        (void)mv_config_add_net(&config->values, net);
}

struct attach {
    microvm *vm;
    const microvm_net *net;
    const char *id;
    microvm_nic **out;
    microvm_error *err;
    int rc;
};

static void attach_net(void *arg)
{
    struct attach *a = arg;
    a->rc = a->vm->ops->attach_net
                ? a->vm->ops->attach_net(a->vm, a->net, a->out, a->err)
                : mv_fail(a->err, MICROVM_E_UNSUPPORTED,
                          "net: machines of kind %s cannot", a->vm->ops->kind);
}

int microvm_attach_net(microvm *vm, const microvm_net *net, microvm_nic **out,
                       microvm_error *err)
{
    struct attach attach = {.vm = vm, .net = net, .out = out, .err = err};
    if (!vm || !net)
        return mv_fail(err, MICROVM_E_INVALID, "net: the machine or device is NULL");
    mv_loop_run(&vm->loop, attach_net, &attach);
    return attach.rc;
}

static void find_nic(void *arg)
{
    struct attach *a = arg;
    a->rc = a->vm->ops->nic_find
                ? a->vm->ops->nic_find(a->vm, a->id, a->out, a->err)
                : mv_fail(a->err, MICROVM_E_UNSUPPORTED,
                          "net: machines of kind %s have no devices", a->vm->ops->kind);
}

int microvm_nic_find(microvm *vm, const char *id, microvm_nic **out, microvm_error *err)
{
    struct attach find = {.vm = vm, .id = id, .out = out, .err = err};
    if (!vm || !out)
        return mv_fail(err, MICROVM_E_INVALID, "net: the machine is NULL");
    mv_loop_run(&vm->loop, find_nic, &find);
    return find.rc;
}

static int no_nic(microvm_error *err)
{
    return mv_fail(err, MICROVM_E_INVALID, "net: the device or the frame is NULL");
}

int microvm_nic_send_packet(microvm_nic *nic, const void *frame, size_t length,
                            int64_t timeout_ms, microvm_error *err)
{
    if (!nic || !frame)
        return no_nic(err);
    return mv_nic_send(nic, frame, length, timeout_ms, err);
}

int64_t microvm_nic_recv_packet(microvm_nic *nic, void *frame, size_t capacity,
                                int64_t timeout_ms, microvm_error *err)
{
    if (!nic || !frame)
        return no_nic(err);
    return mv_nic_receive(nic, frame, capacity, timeout_ms, err);
}

intptr_t microvm_nic_handle(microvm_nic *nic)
{
    return nic ? mv_nic_handle(nic) : -1;
}

void microvm_nic_get_mac(microvm_nic *nic, uint8_t mac[6])
{
    if (nic && mac)
        memcpy(mac, nic->mac, sizeof nic->mac);
}

struct link {
    microvm_nic *nic;
    bool up;
    microvm_error *err;
    int rc;
};

static void set_link(void *arg)
{
    struct link *l = arg;
    l->rc = l->nic->vm->ops->nic_set_link(l->nic, l->up, l->err);
}

int microvm_nic_set_link(microvm_nic *nic, int up, microvm_error *err)
{
    struct link link = {nic, up != 0, err, 0};
    if (!nic)
        return no_nic(err);
    mv_loop_run(&nic->vm->loop, set_link, &link);
    return link.rc;
}

/* ---- looking -------------------------------------------------------------- */

struct look {
    microvm *vm;
    unsigned index;
    microvm_nic *nic; /* NULL: there is none */
    microvm_nic_info info;
};

static void look_at(void *arg)
{
    struct look *l = arg;
    const struct mv_machine_ops *ops = l->vm->ops;
    if (!ops->nic_at || !ops->nic_at(l->vm, l->index, &l->nic))
        return;
    l->info.link = ops->nic_has_link(l->nic);
    l->info.mtu = mv_nic_mtu(l->nic);
    memcpy(l->info.mac, l->nic->mac, sizeof l->info.mac);
    (void)snprintf(l->info.id, sizeof l->info.id, "%s", l->nic->id);
    (void)snprintf(l->info.backing, sizeof l->info.backing, "%s",
                   mv_nic_backing(l->nic));
}

int microvm_nic_get_info(microvm *vm, unsigned index, microvm_nic_info *out,
                         microvm_error *err)
{
    struct look look = {.vm = vm, .index = index};
    if (!vm || !out)
        return mv_fail(err, MICROVM_E_INVALID, "net: the machine or info is NULL");
    mv_loop_run(&vm->loop, look_at, &look);
    if (!look.nic)
        return mv_fail(err, MICROVM_E_INVALID, "net: this machine has no device %u",
                       index);
    uint32_t size = out->size;
    memcpy(out, &look.info, MV_MIN(size, sizeof look.info));
    out->size = size;
    return 0;
}

/* ---- the user network ----------------------------------------------------- */

int microvm_nic_restart(microvm_nic *nic, microvm_error *err)
{
    return nic ? mv_nic_restart(nic, err) : no_nic(err);
}

static void find_user(void *arg)
{
    struct attach *a = arg;
    a->rc = a->vm->ops->nic_user
                ? a->vm->ops->nic_user(a->vm, a->out, a->err)
                : mv_fail(a->err, MICROVM_E_UNSUPPORTED,
                          "publish: machines of kind %s cannot", a->vm->ops->kind);
}

static int forward(microvm *vm, const char *text, bool add, microvm_error *err)
{
    microvm_nic *nic = NULL;
    struct attach find = {.vm = vm, .out = &nic, .err = err};
    if (!vm || !text)
        return mv_fail(err, MICROVM_E_INVALID, "publish: the machine or text is NULL");
    mv_loop_run(&vm->loop, find_user, &find);
    return find.rc ? find.rc : mv_nic_forward(nic, text, add, err);
}

int microvm_publish(microvm *vm, const char *text, microvm_error *err)
{
    return forward(vm, text, true, err);
}

int microvm_unpublish(microvm *vm, const char *text, microvm_error *err)
{
    return forward(vm, text, false, err);
}
