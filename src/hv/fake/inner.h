/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The two objects of the fake hypervisor, for its two files. One lock per VM guards
 * everything that more than one thread touches; upcalls are made without it.
 */
#ifndef MV_HV_FAKE_INNER_H
#define MV_HV_FAKE_INNER_H

#include "hv/fake/fake.h"

struct fake_slot {
    uint64_t gpa, size;
    uint8_t *host;
};

struct fake_bell {
    uint64_t gpa, value;
    unsigned size;
    struct mv_bell *bell;
};

struct mv_hv_vm {
    struct mv_hv_config config;
    uint64_t clock_base_ns; /* host time at which the guest's clock was 0 */
    uv_mutex_t lock;
    uv_cond_t changed; /* with changes: a kick, an interrupt, a vCPU started */
    uint64_t changes;
    struct fake_slot slot[MV_FAKE_SLOTS_MAX];
    struct fake_bell bell[MV_FAKE_BELLS_MAX];
    unsigned bells;
    unsigned edges[MV_FAKE_LINES], msis[256]; /* not yet taken by a step */
    struct mv_fake_record record;
    uv_mutex_t gather_lock; /* guards the next three, also while they come up */
    int gathered;           /* the port, or -1 */
    uint8_t waiting[MV_FAKE_GATHER_MAX];
    unsigned waits;
    struct mv_hv_vcpu *vcpu[]; /* config.cpus, NULL while not open */
};

struct mv_hv_vcpu {
    struct mv_hv_vm *vm;
    unsigned index;
    bool kicked;
    uint64_t seen; /* vm->changes before the current step */
    struct mv_x86_cpu cpu;
    struct mv_hv_counts counts;
};

/* Under the lock. */
static inline void mv_fake_change(struct mv_hv_vm *vm)
{
    vm->changes++;
    uv_cond_broadcast(&vm->changed);
}

/* vm.c: what was gathered comes up. */
void mv_fake_pio_flush(struct mv_hv_vm *vm);

/* vcpu.c */
int mv_fake_vcpu_open(struct mv_hv_vm *vm, unsigned index, struct mv_hv_vcpu **out,
                      microvm_error *err);
void mv_fake_vcpu_close(struct mv_hv_vcpu *vcpu);
int mv_fake_vcpu_get(struct mv_hv_vcpu *vcpu, unsigned mask, struct mv_x86_cpu *cpu,
                     microvm_error *err);
int mv_fake_vcpu_set(struct mv_hv_vcpu *vcpu, unsigned mask,
                     const struct mv_x86_cpu *cpu, microvm_error *err);
enum mv_hv_exit mv_fake_vcpu_run(struct mv_hv_vcpu *vcpu, microvm_error *why);
void mv_fake_vcpu_kick(struct mv_hv_vcpu *vcpu);
const struct mv_hv_counts *mv_fake_vcpu_counts(const struct mv_hv_vcpu *vcpu);

#endif
