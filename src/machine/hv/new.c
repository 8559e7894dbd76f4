/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A machine of the hv kind from its making to its end. Making is a list of steps, and
 * undoing them is the same list backwards: that list is the table below.
 */
#include "machine/hv/hv_machine.h"

#include "backing/disk.h"
#include "os/mem.h"
#include "util/assert.h"
#include "util/bytes.h"

#include <stdlib.h>

/* On the highest rung that the setting allows and the hypervisor has. */
static int vm_open_on(struct hv_machine *m, const struct mv_hv_ops *hv,
                      microvm_error *err)
{
    struct mv_hv_config config = {
        .cpus = m->base.config.cpus, .up = &hv_board_up, .up_ctx = m};
    bool split = m->base.config.interrupts == MV_INTERRUPTS_SPLIT;
    m->hv = hv;
    m->rung = config.rung = split ? MV_RUNG_LOCAL : MV_RUNG_FULL;
    int rc = hv->vm_open(&config, &m->vm, err);
    if (rc == MICROVM_E_UNSUPPORTED &&
        m->base.config.interrupts == MV_INTERRUPTS_AUTO) {
        m->rung = config.rung = MV_RUNG_LOCAL;
        rc = hv->vm_open(&config, &m->vm, err);
    }
    return rc;
}

/* By the first backend that works here, unless a test has named one. Nothing is probed
 * before: that would be work for nothing wherever all is well. */
static int vm_open(struct hv_machine *m, microvm_error *err)
{
    if (m->hv)
        return vm_open_on(m, m->hv, err);
    int rc =
        mv_fail(err, MICROVM_E_NO_HYPERVISOR, "no hypervisor backend in this build");
    for (unsigned i = 0; mv_hv_backends[i] && rc == MICROVM_E_NO_HYPERVISOR; i++)
        rc = vm_open_on(m, mv_hv_backends[i], err);
    return rc;
}

static void vm_close(struct hv_machine *m)
{
    m->hv->vm_close(m->vm);
}

static int ram_open(struct hv_machine *m, microvm_error *err)
{
    const struct mv_config *config = &m->base.config;
    unsigned flags = config->memory_shared ? MV_MEM_SHARED : MV_MEM_LARGE_PAGES;
    int rc = mv_ram_open(&m->ram, config->memory_bytes, MV_X86_HOLE, MV_X86_HOLE_END,
                         flags, err);
    for (unsigned i = 0; i < m->ram.count && !rc; i++) {
        const struct mv_ram_region *r = &m->ram.region[i];
        rc = m->hv->mem_map(m->vm, r->gpa, r->host, r->size, err);
    }
    if (!rc)
        rc = m->hv->vm_setup(m->vm, err);
    if (rc)
        mv_ram_close(&m->ram);
    return rc;
}

/* The hypervisor's VM is closed after this, and must not see memory that is gone. */
static void ram_close(struct hv_machine *m)
{
    for (unsigned i = 0; i < m->ram.count; i++) {
        const struct mv_ram_region *r = &m->ram.region[i];
        (void)m->hv->mem_unmap(m->vm, r->gpa, r->size, NULL);
    }
    mv_ram_close(&m->ram);
}

static const struct step {
    int (*open)(struct hv_machine *m, microvm_error *err);
    void (*close)(struct hv_machine *m);
} steps[] = {
    {hv_boot_open, hv_boot_close},   {vm_open, vm_close},
    {ram_open, ram_close},           {hv_board_open, hv_board_close},
    {hv_slots_open, hv_slots_close}, {hv_vcpus_open, hv_vcpus_close},
};

static void undo_steps(struct microvm *vm)
{
    struct hv_machine *m = hv_machine(vm);
    while (m->opened > 0)
        steps[--m->opened].close(m);
}

static int do_steps(struct hv_machine *m, microvm_error *err)
{
    int rc = 0;
    while (m->opened < MV_ARRAY_LEN(steps) && !rc) {
        rc = steps[m->opened].open(m, err);
        m->opened += rc == 0;
    }
    return rc;
}

/* ---- operations, on the loop ---------------------------------------------- */

static const microvm_error success = {.code = 0};

static void machine_finished(struct hv_machine *m)
{
    hv_slots_sleep(m);
    hv_ports_end(m);
    hv_nics_end(m);
    m->pending = 0;
    mv_machine_ended(&m->base, m->gate.reason, &m->gate.why);
    mv_tty_end(&m->tty);
}

static void machine_paused(struct hv_machine *m)
{
    microvm_error err = {.code = 0};
    hv_slots_sleep(m);
    mv_machine_done(&m->base, MICROVM_OP_PAUSE, MICROVM_PAUSED, &err);
}

/* All vCPUs are parked or gone. */
static void gate_idle(void *arg)
{
    struct hv_machine *m = arg;
    uv_mutex_lock(&m->gate.lock);
    bool gone = m->gate.want == HV_QUIT && m->gate.gone == m->gate.threads;
    bool parked = m->gate.want == HV_PARK && m->gate.parked == m->gate.threads;
    uv_mutex_unlock(&m->gate.lock);
    if (gone && m->base.state != MICROVM_STOPPED && m->base.state != MICROVM_FAILED) {
        machine_finished(m);
    } else if (parked && m->pending == MICROVM_OP_PAUSE) {
        m->pending = 0;
        machine_paused(m);
    } else if (parked && m->pending == MICROVM_OP_START) {
        struct mv_boot_entry *entry = &m->entry;
        microvm_error err = {.code = 0};
        m->pending = 0;
        if (hv_boot_vcpu(m, entry, &err)) {
            hv_vcpus_quit(m, MICROVM_EXIT_FAILED, err.message);
            return;
        }
        mv_machine_done(&m->base, MICROVM_OP_START, MICROVM_RUNNING, &success);
        hv_vcpus_run(m);
    }
}

/* The vCPUs are opened by their threads while the loop loads the kernel. */
static int machine_start(struct microvm *vm, microvm_error *err)
{
    struct hv_machine *m = hv_machine(vm);
    m->pending = MICROVM_OP_START;
    int rc = hv_vcpus_start(m, err);
    if (!rc)
        rc = hv_boot_load(m, &m->entry, err);
    if (rc) {
        hv_vcpus_abandon(m);
        hv_nics_end(m);
        mv_tty_end(&m->tty); /* who reads the console must not wait for ever */
        hv_ports_end(m);     /* nor who wants a connection */
    }
    return rc;
}

static int machine_pause(struct microvm *vm, microvm_error *err)
{
    struct hv_machine *m = hv_machine(vm);
    (void)err;
    m->pending = MICROVM_OP_PAUSE;
    hv_vcpus_park(m);
    return 0;
}

static int machine_resume(struct microvm *vm, microvm_error *err)
{
    struct hv_machine *m = hv_machine(vm);
    (void)err;
    if (m->hv->clock_resumed)
        m->hv->clock_resumed(m->vm);
    hv_slots_wake(m);
    mv_machine_done(vm, MICROVM_OP_RESUME, MICROVM_RUNNING, &success);
    hv_vcpus_run(m);
    return 0;
}

static int machine_shutdown(struct microvm *vm, microvm_error *err)
{
    struct hv_machine *m = hv_machine(vm);
    if (!m->acpi)
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "shutdown: the guest has no ACPI power button (acpi=off, or its "
                       "kernel has no ACPI); power it off from inside, or kill it");
    mv_power_press_button(&m->power);
    return 0;
}

static void machine_end(struct microvm *vm, int reason)
{
    hv_vcpus_quit(hv_machine(vm), reason,
                  reason == MICROVM_EXIT_TIME_LIMIT ? "the time limit is over"
                                                    : "killed");
}

static int machine_attach_disk(struct microvm *vm, const microvm_disk *disk,
                               microvm_error *err)
{
    struct hv_machine *m = hv_machine(vm);
    struct mv_config *config = &vm->config;
    if (vm->state != MICROVM_CREATED)
        return mv_fail(err, MICROVM_E_STATE,
                       "disk '%s': can be attached before the machine starts only",
                       disk->path ? disk->path : "");
    int rc = mv_config_add_disk(config, disk);
    if (rc) {
        rc = mv_fail_again(err, &config->first_error);
        config->first_error.code = 0; /* the next try is a new one */
        return rc;
    }
    rc = mv_config_check_disks(config, err);
    if (!rc)
        rc = hv_slots_add_disk(m, &config->disk[config->disks - 1], err);
    if (rc)
        mv_config_drop_disk(config);
    return rc;
}

static int machine_attach_vsock(struct microvm *vm, const microvm_vsock *vsock,
                                microvm_error *err)
{
    struct mv_config *config = &vm->config;
    if (vm->state != MICROVM_CREATED || config->vsock.on)
        return mv_fail(err, MICROVM_E_STATE, "vsock: %s",
                       config->vsock.on
                           ? "the machine has one already"
                           : "can be attached before the machine starts only");
    int rc = mv_config_set_vsock(config, vsock);
    if (rc) {
        rc = mv_fail_again(err, &config->first_error);
        config->first_error.code = 0; /* the next try is a new one */
        return rc;
    }
    rc = hv_slots_add_vsock(hv_machine(vm), err);
    if (rc)
        mv_config_set(config, "vsock", NULL);
    return rc;
}

static int machine_attach_net(struct microvm *vm, const struct microvm_net *net,
                              microvm_nic **out, microvm_error *err)
{
    struct hv_machine *m = hv_machine(vm);
    struct mv_config *config = &vm->config;
    if (vm->state != MICROVM_CREATED)
        return mv_fail(err, MICROVM_E_STATE,
                       "net: can be attached before the machine starts only");
    if (net->backing && !strcmp(net->backing, "none"))
        return mv_fail(err, MICROVM_E_INVALID, "net: 'none' attaches nothing");
    int rc = mv_config_add_net(config, net);
    if (rc) {
        rc = mv_fail_again(err, &config->first_error);
        config->first_error.code = 0; /* the next try is a new one */
        return rc;
    }
    rc = hv_nics_add(m, &config->net[config->nets - 1], out, err);
    if (rc)
        mv_config_drop_net(config);
    return rc;
}

static int machine_nic_find(struct microvm *vm, const char *id, microvm_nic **out,
                            microvm_error *err)
{
    return hv_nics_find(hv_machine(vm), id, out, err);
}

static int machine_nic_user(struct microvm *vm, microvm_nic **out, microvm_error *err)
{
    return hv_nics_find_user(hv_machine(vm), out, err);
}

static bool machine_nic_at(struct microvm *vm, unsigned index, microvm_nic **out)
{
    return hv_nics_at(hv_machine(vm), index, out);
}

static bool machine_nic_has_link(microvm_nic *nic)
{
    return mv_net_device_has_link(nic->dev);
}

static int machine_nic_set_link(microvm_nic *nic, bool up, microvm_error *err)
{
    (void)err;
    mv_net_device_set_link(nic->dev, up);
    return 0;
}

static int machine_console_open(struct microvm *vm, intptr_t *out, microvm_error *err)
{
    if (vm->config.console == MV_CONSOLE_NONE)
        return mv_fail(err, MICROVM_E_UNSUPPORTED, "console: this machine has none");
    return mv_tty_attach(&hv_machine(vm)->tty, out, err);
}

static int machine_console_resize(struct microvm *vm, uint16_t columns, uint16_t rows,
                                  microvm_error *err)
{
    struct hv_machine *m = hv_machine(vm);
    (void)err;
    if (m->console)
        mv_console_resize(m->console, columns, rows);
    return 0;
}

static int machine_set_balloon(struct microvm *vm, uint32_t mib, microvm_error *err)
{
    struct hv_machine *m = hv_machine(vm);
    const uint32_t pages_per_mib = 256; /* of 4 KiB: virtio 1.2, 5.5.6 */
    if (!m->balloon)
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "balloon: this machine has none; set balloon=on");
    if (mib >= vm->config.memory_bytes >> 20)
        return mv_fail(err, MICROVM_E_INVALID,
                       "balloon: %u MiB is all of the machine's memory, or more", mib);
    mv_balloon_set_target(m->balloon, mib * pages_per_mib);
    return 0;
}

static int machine_set_limit(struct microvm *vm, const struct mv_limit_target *target,
                             const struct mv_limit_rates *rates, microvm_error *err)
{
    return hv_slots_set_limit(hv_machine(vm), target, rates, err);
}

static void machine_stats(struct microvm *vm, microvm_stats *out)
{
    struct hv_machine *m = hv_machine(vm);
    hv_vcpus_counts(m, out);
    out->vcpus = vm->config.cpus;
    out->transport = m->transport;
    out->entered_ns = m->entered_ns;
    for (unsigned i = 0; i < MV_DEBUGPORT_MARKS; i++)
        out->boot_mark_ns[i] = mv_debugport_mark_ns(&m->debugport, i);
    uv_mutex_lock(&m->tty.lock);
    out->console_out_bytes = m->tty.out_bytes;
    out->console_in_bytes = m->tty.in_bytes;
    uv_mutex_unlock(&m->tty.lock);
    hv_slots_stats(m, out);
}

static void machine_free(struct microvm *vm)
{
    free(vm);
}

static const struct mv_machine_ops hv_ops = {
    .kind = "hv",
    .start = machine_start,
    .pause = machine_pause,
    .resume = machine_resume,
    .shutdown = machine_shutdown,
    .end = machine_end,
    .attach_disk = machine_attach_disk,
    .attach_net = machine_attach_net,
    .nic_find = machine_nic_find,
    .nic_at = machine_nic_at,
    .nic_has_link = machine_nic_has_link,
    .nic_set_link = machine_nic_set_link,
    .nic_user = machine_nic_user,
    .console_open = machine_console_open,
    .console_resize = machine_console_resize,
    .set_balloon = machine_set_balloon,
    .set_limit = machine_set_limit,
    .attach_vsock = machine_attach_vsock,
    .connect = hv_ports_connect,
    .listen = hv_ports_listen,
    .unlisten = hv_ports_unlisten,
    .accept = hv_ports_accept,
    .socks = hv_ports_socks,
    .was_cut = hv_ports_was_cut,
    .stats = machine_stats,
    .close = undo_steps,
    .free = machine_free,
};

struct microvm *mv_hv_machine_new(const struct mv_config *config,
                                  const struct mv_hv_ops *hv, microvm_error *err)
{
    struct hv_machine *m = calloc(1, sizeof *m);
    if (!m) {
        (void)mv_fail(err, MICROVM_E_NO_MEMORY, "machine: no memory");
        return NULL;
    }
    m->hv = hv;
    m->gate.idle = (struct mv_call){.fn = gate_idle, .arg = m};
    if (mv_machine_open(&m->base, &hv_ops, config, err)) {
        free(m);
        return NULL;
    }
    if (do_steps(m, err) || mv_loop_start(&m->base.loop, "microvm", err)) {
        undo_steps(&m->base);
        mv_machine_close(&m->base);
        free(m);
        return NULL;
    }
    return &m->base;
}
