/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * vCPU threads. All of them pass one gate before each run of the guest:
 *
 *     open vCPU -> [gate: park while HV_PARK] -> vcpu_run -> gate -> ... HV_QUIT ->
 * close
 *
 * Whoever closes the gate sets `want` first and kicks afterwards. A kick is never lost
 * and makes the current or the next vcpu_run return, so every thread arrives at the
 * gate. The last one to arrive posts the `idle` call to the loop. The loop itself never
 * waits for a vCPU: a vCPU may be waiting for the loop (a write to a device's status
 * register) and must get its answer in order to arrive.
 */
#include "machine/hv/hv_machine.h"

#include "os/error.h"
#include "os/thread.h"

#include <stdio.h>
#include <stdlib.h>

/* With the gate's lock held. */
static void gate_check_idle(struct hv_machine *m)
{
    struct hv_gate *gate = &m->gate;
    if (gate->parked + gate->gone == gate->threads)
        mv_loop_post(&m->base.loop, &gate->idle);
}

/* Waits while the gate is closed; false when it is time to end. */
static bool gate_pass(struct hv_machine *m)
{
    struct hv_gate *gate = &m->gate;
    uv_mutex_lock(&gate->lock);
    if (gate->want == HV_PARK) {
        gate->parked++;
        gate_check_idle(m);
        while (gate->want == HV_PARK)
            uv_cond_wait(&gate->cond, &gate->lock);
        gate->parked--;
    }
    bool run = gate->want == HV_RUN;
    uv_mutex_unlock(&gate->lock);
    return run;
}

/* With the gate's lock held, so that no vCPU is closed meanwhile. */
static void gate_kick(struct hv_machine *m)
{
    for (unsigned i = 0; i < m->base.config.cpus; i++) {
        if (m->cpu[i].vcpu)
            m->hv->vcpu_kick(m->cpu[i].vcpu);
    }
}

void hv_vcpus_park(struct hv_machine *m)
{
    uv_mutex_lock(&m->gate.lock);
    if (m->gate.want == HV_RUN) {
        m->gate.want = HV_PARK;
        gate_kick(m);
        gate_check_idle(m); /* some may not even have left since the last time */
    }
    uv_mutex_unlock(&m->gate.lock);
}

void hv_vcpus_run(struct hv_machine *m)
{
    uv_mutex_lock(&m->gate.lock);
    if (m->gate.want == HV_PARK) {
        m->gate.want = HV_RUN;
        uv_cond_broadcast(&m->gate.cond);
    }
    uv_mutex_unlock(&m->gate.lock);
}

void hv_vcpus_quit(struct hv_machine *m, int reason, const char *message)
{
    struct hv_gate *gate = &m->gate;
    uv_mutex_lock(&gate->lock);
    if (gate->want != HV_QUIT) {
        gate->want = HV_QUIT;
        gate->reason = reason;
        (void)mv_fail(&gate->why,
                      reason == MICROVM_EXIT_FAILED ? MICROVM_E_HYPERVISOR : 0, "%s",
                      message);
        gate_kick(m);
        uv_cond_broadcast(&gate->cond);
        gate_check_idle(m);
    }
    uv_mutex_unlock(&gate->lock);
}

/* One run of the guest, and what its end means. */
static void vcpu_run_once(struct hv_cpu *cpu)
{
    struct hv_machine *m = cpu->m;
    microvm_error why = {.code = 0};
    char text[sizeof why.message];
    switch (m->hv->vcpu_run(cpu->vcpu, &why)) {
    case MV_HV_KICKED:
    case MV_HV_HALT:
        break;
    case MV_HV_SHUTDOWN:
        hv_vcpus_quit(m, hv_boot_reset_reason(m, true),
                      "the guest reset itself by a triple fault");
        break;
    case MV_HV_RESET:
        hv_vcpus_quit(m, hv_boot_reset_reason(m, false), "the guest reset itself");
        break;
    case MV_HV_FAILED:
        (void)snprintf(text, sizeof text, "vCPU %u: %.200s", cpu->index, why.message);
        hv_vcpus_quit(m, MICROVM_EXIT_FAILED, text);
        break;
    }
}

static void counts_copy(struct mv_hv_counts *to, const struct mv_hv_counts *from)
{
    to->entries = from->entries;
    to->pio = from->pio;
    to->mmio = from->mmio;
    to->kicks = from->kicks;
}

static void vcpu_leave(struct hv_cpu *cpu)
{
    struct hv_machine *m = cpu->m;
    struct mv_hv_vcpu *vcpu = cpu->vcpu;
    uv_mutex_lock(&m->gate.lock);
    if (vcpu)
        counts_copy(&cpu->last, m->hv->vcpu_counts(vcpu));
    cpu->vcpu = NULL; /* no kicks from here on */
    uv_mutex_unlock(&m->gate.lock);
    if (vcpu)
        m->hv->vcpu_close(vcpu);
    uv_mutex_lock(&m->gate.lock);
    m->gate.gone++;
    gate_check_idle(m);
    uv_mutex_unlock(&m->gate.lock);
}

static void vcpu_main(void *arg)
{
    struct hv_cpu *cpu = arg;
    struct hv_machine *m = cpu->m;
    struct mv_hv_vcpu *vcpu = NULL;
    microvm_error err = {.code = 0};
    char name[16];
    (void)snprintf(name, sizeof name, "microvm cpu%u", cpu->index);
    mv_thread_name(name);
    if (m->hv->vcpu_open(m->vm, cpu->index, &vcpu, &err))
        hv_vcpus_quit(m, MICROVM_EXIT_FAILED, err.message);
    uv_mutex_lock(&m->gate.lock);
    cpu->vcpu = vcpu;
    uv_mutex_unlock(&m->gate.lock);
    while (gate_pass(m)) {
        if (cpu->index == 0 && !m->entered_ns)
            m->entered_ns = uv_hrtime();
        vcpu_run_once(cpu);
    }
    vcpu_leave(cpu);
}

int hv_vcpus_start(struct hv_machine *m, microvm_error *err)
{
    for (unsigned i = 0; i < m->base.config.cpus; i++) {
        struct hv_cpu *cpu = &m->cpu[i];
        uv_mutex_lock(&m->gate.lock);
        m->gate.threads++;
        uv_mutex_unlock(&m->gate.lock);
        int rc = mv_thread_start(&cpu->thread, vcpu_main, cpu);
        if (rc) {
            uv_mutex_lock(&m->gate.lock);
            m->gate.threads--;
            uv_mutex_unlock(&m->gate.lock);
            return mv_fail_uv(err, rc, "starting the thread of vCPU %u", i);
        }
        cpu->started = true;
    }
    return 0;
}

/* The threads wait at the gate or are about to: none of them waits for the loop. */
void hv_vcpus_abandon(struct hv_machine *m)
{
    hv_vcpus_quit(m, MICROVM_EXIT_FAILED, "the start failed");
    for (unsigned i = 0; i < m->base.config.cpus; i++) {
        if (m->cpu[i].started)
            (void)uv_thread_join(&m->cpu[i].thread);
        m->cpu[i].started = false;
    }
}

int hv_vcpus_open(struct hv_machine *m, microvm_error *err)
{
    unsigned cpus = m->base.config.cpus;
    m->cpu = calloc(cpus, sizeof *m->cpu);
    if (!m->cpu)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "vCPUs: no memory");
    for (unsigned i = 0; i < cpus; i++) {
        m->cpu[i].m = m;
        m->cpu[i].index = i;
    }
    m->gate.want = HV_PARK;
    int rc = uv_mutex_init(&m->gate.lock);
    if (!rc && (rc = uv_cond_init(&m->gate.cond)))
        uv_mutex_destroy(&m->gate.lock);
    if (rc) {
        free(m->cpu);
        return mv_fail_uv(err, rc, "vCPUs");
    }
    return 0;
}

void hv_vcpus_close(struct hv_machine *m)
{
    for (unsigned i = 0; i < m->base.config.cpus; i++) {
        if (m->cpu[i].started)
            (void)uv_thread_join(&m->cpu[i].thread);
    }
    mv_loop_cancel(&m->base.loop, &m->gate.idle);
    uv_cond_destroy(&m->gate.cond);
    uv_mutex_destroy(&m->gate.lock);
    free(m->cpu);
}

void hv_vcpus_counts(struct hv_machine *m, microvm_stats *out)
{
    uv_mutex_lock(&m->gate.lock);
    for (unsigned i = 0; i < m->base.config.cpus; i++) {
        const struct hv_cpu *cpu = &m->cpu[i];
        const struct mv_hv_counts *c =
            cpu->vcpu ? m->hv->vcpu_counts(cpu->vcpu) : &cpu->last;
        out->entries += c->entries;
        out->pio_exits += c->pio;
        out->mmio_exits += c->mmio;
        out->kicks += c->kicks;
    }
    uv_mutex_unlock(&m->gate.lock);
}
