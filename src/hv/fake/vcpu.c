/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The fake processor: fetches a step, does it, goes on. Before every step it looks for
 * a kick, so that a kick is served between two steps and never in the middle of one.
 */
#include "hv/fake/inner.h"

#include "util/assert.h"
#include "util/bytes.h"

#include <stdlib.h>

/* What a step came to. */
enum fake_next {
    FAKE_NEXT, /* done: the next one */
    FAKE_STAY, /* not done: this one again, when something has changed */
    FAKE_OVER  /* the run ends, with *exit */
};

int mv_fake_vcpu_open(struct mv_hv_vm *vm, unsigned index, struct mv_hv_vcpu **out,
                      microvm_error *err)
{
    MV_ASSERT(index < vm->config.cpus);
    struct mv_hv_vcpu *vcpu = calloc(1, sizeof *vcpu);
    if (!vcpu)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory for a vCPU");
    vcpu->vm = vm;
    vcpu->index = index;
    vcpu->cpu.rip = 0xfff0; /* as after reset: Intel SDM Vol. 3, table 10-1 */
    vcpu->cpu.rflags = 2;
    vcpu->cpu.apic_base = index == 0 ? 0xfee00900 : 0xfee00800;
    vcpu->cpu.runnable = index == 0 ? MV_CPU_RUNS : MV_CPU_WAITS_INIT;
    uv_mutex_lock(&vm->lock);
    vm->vcpu[index] = vcpu;
    mv_fake_change(vm);
    uv_mutex_unlock(&vm->lock);
    *out = vcpu;
    return 0;
}

void mv_fake_vcpu_close(struct mv_hv_vcpu *vcpu)
{
    if (!vcpu)
        return;
    uv_mutex_lock(&vcpu->vm->lock);
    vcpu->vm->vcpu[vcpu->index] = NULL;
    uv_mutex_unlock(&vcpu->vm->lock);
    free(vcpu);
}

/* Copies the parts of the state that the mask names. */
static void fake_copy(struct mv_x86_cpu *to, const struct mv_x86_cpu *from,
                      unsigned mask)
{
    struct mv_x86_cpu cpu = mask & MV_CPU_SYSTEM ? *from : *to;
    const struct mv_x86_cpu *general = mask & MV_CPU_GENERAL ? from : to;
    const struct mv_x86_cpu *lapic = mask & MV_CPU_LAPIC ? from : to;
    const struct mv_x86_cpu *runnable = mask & MV_CPU_RUNNABLE ? from : to;
    memcpy(cpu.gpr, general->gpr, sizeof cpu.gpr);
    cpu.rip = general->rip;
    cpu.rflags = general->rflags;
    memcpy(cpu.lapic, lapic->lapic, sizeof cpu.lapic);
    cpu.runnable = runnable->runnable;
    *to = cpu;
}

int mv_fake_vcpu_get(struct mv_hv_vcpu *vcpu, unsigned mask, struct mv_x86_cpu *cpu,
                     microvm_error *err)
{
    (void)err;
    uv_mutex_lock(&vcpu->vm->lock);
    fake_copy(cpu, &vcpu->cpu, mask);
    uv_mutex_unlock(&vcpu->vm->lock);
    return 0;
}

int mv_fake_vcpu_set(struct mv_hv_vcpu *vcpu, unsigned mask,
                     const struct mv_x86_cpu *cpu, microvm_error *err)
{
    (void)err;
    uv_mutex_lock(&vcpu->vm->lock);
    uint64_t apic_base = vcpu->cpu.apic_base;
    fake_copy(&vcpu->cpu, cpu, mask);
    if (!vcpu->cpu.apic_base) /* the caller has not set it */
        vcpu->cpu.apic_base = apic_base;
    uv_mutex_unlock(&vcpu->vm->lock);
    return 0;
}

/* Guest memory, or NULL. Slots do not change while vCPUs run. */
static uint8_t *fake_memory(struct mv_hv_vm *vm, uint64_t gpa, uint64_t length)
{
    for (unsigned i = 0; i < MV_FAKE_SLOTS_MAX; i++) {
        const struct fake_slot *slot = &vm->slot[i];
        if (slot->size && mv_inside(gpa, length, slot->gpa, slot->size))
            return slot->host + (gpa - slot->gpa);
    }
    return NULL;
}

static enum fake_next fake_fail(struct mv_hv_vcpu *vcpu, const char *what,
                                uint64_t value, enum mv_hv_exit *exit,
                                microvm_error *why)
{
    (void)mv_fail(why, MICROVM_E_HYPERVISOR, "%s 0x%llx, RIP %llx", what,
                  (unsigned long long)value, (unsigned long long)vcpu->cpu.rip);
    *exit = MV_HV_FAILED;
    return FAKE_OVER;
}

static bool fake_size_ok(unsigned size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

static void fake_access(struct mv_hv_vcpu *vcpu, const struct mv_fake_step *step)
{
    const struct mv_hv_up *up = vcpu->vm->config.up;
    void *ctx = vcpu->vm->config.up_ctx;
    uint64_t mask = mv_size_mask(step->size);
    uint64_t *rax = &vcpu->cpu.gpr[MV_RAX];
    bool port = step->op == MV_FAKE_PIO_WRITE || step->op == MV_FAKE_PIO_READ;
    mv_hv_count(&vcpu->counts.entries);
    mv_hv_count(port ? &vcpu->counts.pio : &vcpu->counts.mmio);
    if (step->op == MV_FAKE_PIO_WRITE)
        up->pio_write(ctx, (uint16_t)step->address, step->size, step->value & mask);
    else if (step->op == MV_FAKE_PIO_READ)
        *rax = up->pio_read(ctx, (uint16_t)step->address, step->size) & mask;
    else if (step->op == MV_FAKE_MMIO_WRITE)
        up->mmio_write(ctx, step->address, step->size, step->value & mask);
    else
        *rax = up->mmio_read(ctx, step->address, step->size) & mask;
}

/* Rings the bell that is bound to this write; false if there is none. */
static bool fake_ring(struct mv_hv_vm *vm, const struct mv_fake_step *step)
{
    bool rung = false;
    if (step->op != MV_FAKE_MMIO_WRITE)
        return false;
    uv_mutex_lock(&vm->lock);
    for (unsigned i = 0; i < vm->bells && !rung; i++) {
        const struct fake_bell *b = &vm->bell[i];
        rung = b->gpa == step->address &&
               (b->size == 0 || (b->size == step->size &&
                                 b->value == (step->value & mv_size_mask(step->size))));
        if (rung)
            mv_bell_ring(b->bell);
    }
    vm->record.bells += rung;
    uv_mutex_unlock(&vm->lock);
    return rung;
}

/* Keeps a write back, if it is one that is gathered and there is room. */
static bool fake_gather(struct mv_hv_vm *vm, const struct mv_fake_step *step)
{
    uv_mutex_lock(&vm->gather_lock);
    bool kept = step->op == MV_FAKE_PIO_WRITE && step->size == 1 &&
                (int)step->address == vm->gathered && vm->waits < MV_FAKE_GATHER_MAX;
    if (kept)
        vm->waiting[vm->waits++] = (uint8_t)step->value;
    uv_mutex_unlock(&vm->gather_lock);
    return kept;
}

static enum fake_next fake_memory_step(struct mv_hv_vcpu *vcpu,
                                       const struct mv_fake_step *step,
                                       enum mv_hv_exit *exit, microvm_error *why)
{
    uint8_t *at = fake_memory(vcpu->vm, step->address, step->size);
    if (!at || step->size > 8)
        return fake_fail(vcpu, "no memory at", step->address, exit, why);
    if (step->op == MV_FAKE_STORE) {
        memcpy(at, &step->value, step->size);
    } else {
        vcpu->cpu.gpr[MV_RAX] = 0;
        memcpy(&vcpu->cpu.gpr[MV_RAX], at, step->size);
    }
    return FAKE_NEXT;
}

/* Takes one of what has been counted. */
static enum fake_next fake_take(struct mv_hv_vm *vm, unsigned *counted)
{
    uv_mutex_lock(&vm->lock);
    bool any = *counted > 0;
    *counted -= any;
    uv_mutex_unlock(&vm->lock);
    return any ? FAKE_NEXT : FAKE_STAY;
}

static enum fake_next fake_start(struct mv_hv_vcpu *vcpu,
                                 const struct mv_fake_step *step, enum mv_hv_exit *exit,
                                 microvm_error *why)
{
    struct mv_hv_vm *vm = vcpu->vm;
    if (step->value >= vm->config.cpus || step->value == vcpu->index)
        return fake_fail(vcpu, "cannot start vCPU", step->value, exit, why);
    enum fake_next next = FAKE_STAY; /* its thread may not have opened it yet */
    uv_mutex_lock(&vm->lock);
    struct mv_hv_vcpu *other = vm->vcpu[step->value];
    if (other) {
        next = FAKE_NEXT;
        if (other->cpu.runnable == MV_CPU_WAITS_INIT) { /* else SIPI does nothing */
            other->cpu.rip = step->address;
            other->cpu.runnable = MV_CPU_RUNS;
            mv_fake_change(vm);
        }
    }
    uv_mutex_unlock(&vm->lock);
    return next;
}

static enum fake_next fake_step(struct mv_hv_vcpu *vcpu,
                                const struct mv_fake_step *step, enum mv_hv_exit *exit,
                                microvm_error *why)
{
    struct mv_hv_vm *vm = vcpu->vm;
    uint64_t rax = vcpu->cpu.gpr[MV_RAX];
    switch (step->op) {
    case MV_FAKE_PIO_WRITE:
    case MV_FAKE_PIO_READ:
    case MV_FAKE_MMIO_WRITE:
    case MV_FAKE_MMIO_READ:
        if (!fake_size_ok(step->size))
            return fake_fail(vcpu, "no access has size", step->size, exit, why);
        if (!fake_ring(vm, step) && !fake_gather(vm, step)) {
            mv_fake_pio_flush(vm);
            fake_access(vcpu, step);
        }
        return FAKE_NEXT;
    case MV_FAKE_STORE:
    case MV_FAKE_LOAD:
        return fake_memory_step(vcpu, step, exit, why);
    case MV_FAKE_CHECK:
        return rax == step->value ? FAKE_NEXT
                                  : fake_fail(vcpu, "check found", rax, exit, why);
    case MV_FAKE_JUMP:
        vcpu->cpu.rip = step->address - sizeof *step;
        return FAKE_NEXT;
    case MV_FAKE_SPIN:
    case MV_FAKE_WAIT_KICK:
        return FAKE_STAY;
    case MV_FAKE_WAIT_LINE:
        if (step->address >= MV_FAKE_LINES)
            return fake_fail(vcpu, "no line", step->address, exit, why);
        return fake_take(vm, &vm->edges[step->address]);
    case MV_FAKE_WAIT_MSI:
        return fake_take(vm, &vm->msis[step->value & 0xff]);
    case MV_FAKE_EOI:
        vm->config.up->eoi(vm->config.up_ctx, (uint8_t)step->value);
        return FAKE_NEXT;
    case MV_FAKE_START:
        return fake_start(vcpu, step, exit, why);
    case MV_FAKE_SHUTDOWN:
        *exit = MV_HV_SHUTDOWN;
        return FAKE_OVER;
    case MV_FAKE_RESET:
        *exit = MV_HV_RESET;
        return FAKE_OVER;
    case MV_FAKE_FAIL:
        return fake_fail(vcpu, "scripted failure", step->value, exit, why);
    default:
        return fake_fail(vcpu, "no such step:", step->op, exit, why);
    }
}

/* Before a step: takes a kick, if there is one, and says so. Waits for something to
 * happen before a step that was not done is tried again, and while the vCPU has not
 * been started. What happens from here on is seen as a change of vm->changes. */
static bool fake_kicked(struct mv_hv_vcpu *vcpu, bool stay, bool *runs)
{
    struct mv_hv_vm *vm = vcpu->vm;
    uv_mutex_lock(&vm->lock);
    while (!vcpu->kicked &&
           ((stay && vcpu->seen == vm->changes) || vcpu->cpu.runnable != MV_CPU_RUNS))
        uv_cond_wait(&vm->changed, &vm->lock);
    bool kicked = vcpu->kicked;
    vcpu->kicked = false;
    vcpu->seen = vm->changes;
    *runs = vcpu->cpu.runnable == MV_CPU_RUNS;
    uv_mutex_unlock(&vm->lock);
    return kicked;
}

static enum mv_hv_exit fake_run(struct mv_hv_vcpu *vcpu, microvm_error *why)
{
    enum mv_hv_exit exit = MV_HV_FAILED;
    enum fake_next next = FAKE_NEXT;
    while (next != FAKE_OVER) {
        struct mv_fake_step step = {0};
        bool runs;
        bool kicked = fake_kicked(vcpu, next == FAKE_STAY, &runs);
        const uint8_t *at = fake_memory(vcpu->vm, vcpu->cpu.rip, sizeof step);
        if (at)
            memcpy(&step, at, sizeof step);
        if (kicked) {
            mv_hv_count(&vcpu->counts.entries);
            mv_hv_count(&vcpu->counts.kicks);
            if (runs && step.op == MV_FAKE_WAIT_KICK)
                vcpu->cpu.rip += sizeof step;
            return MV_HV_KICKED;
        }
        next = fake_step(vcpu, &step, &exit, why);
        if (next == FAKE_NEXT)
            vcpu->cpu.rip += sizeof step;
    }
    mv_hv_count(&vcpu->counts.entries);
    return exit;
}

enum mv_hv_exit mv_fake_vcpu_run(struct mv_hv_vcpu *vcpu, microvm_error *why)
{
    enum mv_hv_exit exit = fake_run(vcpu, why);
    mv_fake_pio_flush(vcpu->vm);
    return exit;
}

void mv_fake_vcpu_kick(struct mv_hv_vcpu *vcpu)
{
    uv_mutex_lock(&vcpu->vm->lock);
    vcpu->kicked = true;
    mv_fake_change(vcpu->vm);
    uv_mutex_unlock(&vcpu->vm->lock);
}

const struct mv_hv_counts *mv_fake_vcpu_counts(const struct mv_hv_vcpu *vcpu)
{
    return &vcpu->counts;
}
