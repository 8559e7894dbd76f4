/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Registers, between KVM's structs and ours. Setting system registers begins with
 * getting them: what ours does not hold (a pending interrupt's bitmap) stays as it is.
 */
#include "hv/kvm/kvm.h"

#include <string.h>

/* Where our order (that of the instruction encoding) is in struct kvm_regs. */
static const size_t state_gpr[16] = {
    offsetof(struct kvm_regs, rax), offsetof(struct kvm_regs, rcx),
    offsetof(struct kvm_regs, rdx), offsetof(struct kvm_regs, rbx),
    offsetof(struct kvm_regs, rsp), offsetof(struct kvm_regs, rbp),
    offsetof(struct kvm_regs, rsi), offsetof(struct kvm_regs, rdi),
    offsetof(struct kvm_regs, r8),  offsetof(struct kvm_regs, r9),
    offsetof(struct kvm_regs, r10), offsetof(struct kvm_regs, r11),
    offsetof(struct kvm_regs, r12), offsetof(struct kvm_regs, r13),
    offsetof(struct kvm_regs, r14), offsetof(struct kvm_regs, r15)};

static struct mv_x86_segment state_segment(const struct kvm_segment *s)
{
    return (struct mv_x86_segment){
        .base = s->base,
        .limit = s->limit,
        .selector = s->selector,
        .type = s->type,
        .dpl = s->dpl,
        .present = s->present,
        .db = s->db,
        .l = s->l,
        .s = s->s,
        .g = s->g,
        .avl = s->avl,
        .unusable = s->unusable,
    };
}

static struct kvm_segment state_kvm_segment(const struct mv_x86_segment *s)
{
    return (struct kvm_segment){
        .base = s->base,
        .limit = s->limit,
        .selector = s->selector,
        .type = s->type,
        .dpl = s->dpl,
        .present = s->present,
        .db = s->db,
        .l = s->l,
        .s = s->s,
        .g = s->g,
        .avl = s->avl,
        .unusable = s->unusable,
    };
}

static void state_from_sregs(const struct kvm_sregs *s, struct mv_x86_cpu *cpu)
{
    cpu->cs = state_segment(&s->cs);
    cpu->ds = state_segment(&s->ds);
    cpu->es = state_segment(&s->es);
    cpu->fs = state_segment(&s->fs);
    cpu->gs = state_segment(&s->gs);
    cpu->ss = state_segment(&s->ss);
    cpu->tr = state_segment(&s->tr);
    cpu->ldt = state_segment(&s->ldt);
    cpu->gdt = (struct mv_x86_table){s->gdt.base, s->gdt.limit};
    cpu->idt = (struct mv_x86_table){s->idt.base, s->idt.limit};
    cpu->cr0 = s->cr0;
    cpu->cr2 = s->cr2;
    cpu->cr3 = s->cr3;
    cpu->cr4 = s->cr4;
    cpu->cr8 = s->cr8;
    cpu->efer = s->efer;
    cpu->apic_base = s->apic_base;
}

static void state_to_sregs(const struct mv_x86_cpu *cpu, struct kvm_sregs *s)
{
    s->cs = state_kvm_segment(&cpu->cs);
    s->ds = state_kvm_segment(&cpu->ds);
    s->es = state_kvm_segment(&cpu->es);
    s->fs = state_kvm_segment(&cpu->fs);
    s->gs = state_kvm_segment(&cpu->gs);
    s->ss = state_kvm_segment(&cpu->ss);
    s->tr = state_kvm_segment(&cpu->tr);
    s->ldt = state_kvm_segment(&cpu->ldt);
    s->gdt.base = cpu->gdt.base;
    s->gdt.limit = cpu->gdt.limit;
    s->idt.base = cpu->idt.base;
    s->idt.limit = cpu->idt.limit;
    s->cr0 = cpu->cr0;
    s->cr2 = cpu->cr2;
    s->cr3 = cpu->cr3;
    s->cr4 = cpu->cr4;
    s->cr8 = cpu->cr8;
    s->efer = cpu->efer;
    if (cpu->apic_base) /* 0 is no place for an APIC: the caller has not set it */
        s->apic_base = cpu->apic_base;
}

static int state_get_general(int fd, struct mv_x86_cpu *cpu, microvm_error *err)
{
    struct kvm_regs regs;
    if (mv_kvm_ioctl(fd, KVM_GET_REGS, &regs) < 0)
        return mv_kvm_fail(err, "KVM_GET_REGS");
    for (unsigned i = 0; i < 16; i++)
        memcpy(&cpu->gpr[i], (const uint8_t *)&regs + state_gpr[i], 8);
    cpu->rip = regs.rip;
    cpu->rflags = regs.rflags;
    return 0;
}

static int state_set_general(int fd, const struct mv_x86_cpu *cpu, microvm_error *err)
{
    struct kvm_regs regs = {.rip = cpu->rip, .rflags = cpu->rflags | 2};
    for (unsigned i = 0; i < 16; i++)
        memcpy((uint8_t *)&regs + state_gpr[i], &cpu->gpr[i], 8);
    if (mv_kvm_ioctl(fd, KVM_SET_REGS, &regs) < 0)
        return mv_kvm_fail(err, "KVM_SET_REGS");
    return 0;
}

static int state_get_system(int fd, struct mv_x86_cpu *cpu, microvm_error *err)
{
    struct kvm_sregs sregs;
    if (mv_kvm_ioctl(fd, KVM_GET_SREGS, &sregs) < 0)
        return mv_kvm_fail(err, "KVM_GET_SREGS");
    state_from_sregs(&sregs, cpu);
    return 0;
}

static int state_set_system(int fd, const struct mv_x86_cpu *cpu, microvm_error *err)
{
    struct kvm_sregs sregs;
    if (mv_kvm_ioctl(fd, KVM_GET_SREGS, &sregs) < 0)
        return mv_kvm_fail(err, "KVM_GET_SREGS");
    state_to_sregs(cpu, &sregs);
    if (mv_kvm_ioctl(fd, KVM_SET_SREGS, &sregs) < 0)
        return mv_kvm_fail(err, "KVM_SET_SREGS");
    return 0;
}

static int state_get_lapic(int fd, struct mv_x86_cpu *cpu, microvm_error *err)
{
    struct kvm_lapic_state lapic;
    _Static_assert(sizeof lapic.regs == sizeof cpu->lapic, "one page of registers");
    if (mv_kvm_ioctl(fd, KVM_GET_LAPIC, &lapic) < 0)
        return mv_kvm_fail(err, "KVM_GET_LAPIC");
    memcpy(cpu->lapic, lapic.regs, sizeof cpu->lapic);
    return 0;
}

static int state_set_lapic(int fd, const struct mv_x86_cpu *cpu, microvm_error *err)
{
    struct kvm_lapic_state lapic;
    memcpy(lapic.regs, cpu->lapic, sizeof cpu->lapic);
    if (mv_kvm_ioctl(fd, KVM_SET_LAPIC, &lapic) < 0)
        return mv_kvm_fail(err, "KVM_SET_LAPIC");
    return 0;
}

static int state_get_runnable(int fd, struct mv_x86_cpu *cpu, microvm_error *err)
{
    struct kvm_mp_state mp;
    if (mv_kvm_ioctl(fd, KVM_GET_MP_STATE, &mp) < 0)
        return mv_kvm_fail(err, "KVM_GET_MP_STATE");
    switch (mp.mp_state) {
    case KVM_MP_STATE_RUNNABLE:
        cpu->runnable = MV_CPU_RUNS;
        return 0;
    case KVM_MP_STATE_HALTED:
        cpu->runnable = MV_CPU_HALTED;
        return 0;
    case KVM_MP_STATE_UNINITIALIZED:
        cpu->runnable = MV_CPU_WAITS_INIT;
        return 0;
    case KVM_MP_STATE_INIT_RECEIVED:
    case KVM_MP_STATE_SIPI_RECEIVED:
        cpu->runnable = MV_CPU_WAITS_SIPI;
        return 0;
    default:
        return mv_fail(err, MICROVM_E_HYPERVISOR, "KVM_GET_MP_STATE: unknown state %u",
                       mp.mp_state);
    }
}

static int state_set_runnable(int fd, const struct mv_x86_cpu *cpu, microvm_error *err)
{
    static const uint32_t states[] = {
        [MV_CPU_RUNS] = KVM_MP_STATE_RUNNABLE,
        [MV_CPU_HALTED] = KVM_MP_STATE_HALTED,
        [MV_CPU_WAITS_INIT] = KVM_MP_STATE_UNINITIALIZED,
        [MV_CPU_WAITS_SIPI] = KVM_MP_STATE_INIT_RECEIVED,
    };
    struct kvm_mp_state mp = {.mp_state = states[cpu->runnable]};
    if (mv_kvm_ioctl(fd, KVM_SET_MP_STATE, &mp) < 0)
        return mv_kvm_fail(err, "KVM_SET_MP_STATE");
    return 0;
}

int mv_kvm_vcpu_get(struct mv_hv_vcpu *vcpu, unsigned mask, struct mv_x86_cpu *cpu,
                    microvm_error *err)
{
    struct mv_x86_cpu got = *cpu; /* so that a failure leaves *cpu alone */
    int rc = 0;
    if (mask & MV_CPU_GENERAL)
        rc = state_get_general(vcpu->fd, &got, err);
    if (!rc && mask & MV_CPU_SYSTEM)
        rc = state_get_system(vcpu->fd, &got, err);
    if (!rc && mask & MV_CPU_LAPIC)
        rc = state_get_lapic(vcpu->fd, &got, err);
    if (!rc && mask & MV_CPU_RUNNABLE)
        rc = state_get_runnable(vcpu->fd, &got, err);
    if (!rc)
        *cpu = got;
    return rc;
}

int mv_kvm_vcpu_set(struct mv_hv_vcpu *vcpu, unsigned mask,
                    const struct mv_x86_cpu *cpu, microvm_error *err)
{
    int rc = 0;
    /* The APIC's base and mode come before its registers, whose layout they decide. */
    if (mask & MV_CPU_SYSTEM)
        rc = state_set_system(vcpu->fd, cpu, err);
    if (!rc && mask & MV_CPU_LAPIC)
        rc = state_set_lapic(vcpu->fd, cpu, err);
    if (!rc && mask & MV_CPU_GENERAL)
        rc = state_set_general(vcpu->fd, cpu, err);
    if (!rc && mask & MV_CPU_RUNNABLE)
        rc = state_set_runnable(vcpu->fd, cpu, err);
    return rc;
}
