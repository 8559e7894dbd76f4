/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The machine's vsock device and its host's end: made together, ended together.
 */
#include "backing/outbound.h"
#include "machine/hv/hv_machine.h"

static void ports_arrived(void *ctx, uint32_t port)
{
    struct hv_machine *m = ctx;
    mv_machine_arrived(&m->base, port);
}

static int ports_open_socks(struct hv_machine *m, microvm_error *err)
{
    const struct mv_config_list *list = &m->base.config.socks;
    uint16_t port;
    int rc = 0;
    for (unsigned i = 0; i < list->count && !rc; i++)
        rc = mv_vsock_socks_open(&m->ports, list->text[i], &port, err);
    return rc;
}

int hv_ports_open(struct hv_machine *m, const struct mv_vdev_host *host,
                  struct mv_vdev **out, microvm_error *err)
{
    const struct mv_vsock_config *config = &m->base.config.vsock;
    int rc = mv_vsock_ports_open(&m->ports, &m->base.loop, config->uds, err);
    if (rc)
        return rc;
    struct mv_vsock_host ports = mv_vsock_ports_host(&m->ports);
    m->ports.arrived = ports_arrived;
    m->ports.ctx = m;
    rc = mv_vsock_listen(&m->ports, MICROVM_SOCKET_STREAM, MICROVM_AGENT_PORT, err);
    if (!rc)
        rc = ports_open_socks(m, err);
    if (!rc && m->base.config.outbound.count)
        rc = mv_outbound_open(&m->ports, &m->base.config.outbound, err);
    if (!rc)
        rc = mv_vsock_open(host, config->cid, &ports, &m->ports.device, out, err);
    if (rc)
        mv_vsock_ports_close(&m->ports);
    m->base.reports = rc == 0;
    return rc;
}

void hv_ports_end(struct hv_machine *m)
{
    if (!m->vsock)
        return;
    mv_vsock_ports_end(&m->ports);
    mv_vsock_end(m->vsock);
}

void hv_ports_close(struct hv_machine *m)
{
    if (!m->vsock)
        return;
    m->vsock = NULL;
    mv_vsock_ports_close(&m->ports);
}

static int ports_there(struct microvm *vm, microvm_error *err)
{
    if (!hv_machine(vm)->vsock)
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "vsock: this machine has none; set vsock to cid=3, for example");
    return 0;
}

int hv_ports_connect(struct microvm *vm, struct mv_vsock_dial *dial, microvm_error *err)
{
    int rc = ports_there(vm, err);
    if (rc)
        return rc;
    if (vm->state == MICROVM_STOPPED || vm->state == MICROVM_FAILED)
        return mv_fail(err, MICROVM_E_NOT_RUNNING, "vsock: the machine has ended");
    mv_vsock_dial(&hv_machine(vm)->ports, dial);
    return 0;
}

bool hv_ports_was_cut(struct microvm *vm, intptr_t socket)
{
    struct hv_machine *m = hv_machine(vm);
    return m->vsock && mv_vsock_link_was_cut(&m->ports, socket);
}

int hv_ports_socks(struct microvm *vm, const char *text, uint16_t *port,
                   microvm_error *err)
{
    int rc = ports_there(vm, err);
    if (rc)
        return rc;
    if (!port)
        return mv_vsock_socks_close(&hv_machine(vm)->ports, text, err);
    if (vm->state == MICROVM_STOPPED || vm->state == MICROVM_FAILED)
        return mv_fail(err, MICROVM_E_NOT_RUNNING, "socks: the machine has ended");
    return mv_vsock_socks_open(&hv_machine(vm)->ports, text, port, err);
}

int hv_ports_listen(struct microvm *vm, microvm_socket_type type, uint32_t port,
                    microvm_error *err)
{
    int rc = ports_there(vm, err);
    return rc ? rc : mv_vsock_listen(&hv_machine(vm)->ports, type, port, err);
}

int hv_ports_unlisten(struct microvm *vm, uint32_t port, microvm_error *err)
{
    int rc = ports_there(vm, err);
    return rc ? rc : mv_vsock_unlisten(&hv_machine(vm)->ports, port, err);
}

int hv_ports_accept(struct microvm *vm, uint32_t port, intptr_t *out,
                    microvm_error *err)
{
    int rc = ports_there(vm, err);
    return rc ? rc : mv_vsock_accept(&hv_machine(vm)->ports, port, out, err);
}
