/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of the KVM backend share: the two objects, the system call, and the
 * functions behind the table in ops.c. One file per idea:
 *
 *   probe.c   is there a KVM that we can use, and if not, why
 *   vm.c      the VM, its memory slots and its clock
 *   irq.c     interrupts, interrupt routes and ioeventfds
 *   gather.c  writes to ports that come up late
 *   cpuid.c   the CPUID that a guest sees, from the one that KVM supports
 *   msr.c     model-specific registers that differ from KVM's reset values
 *   vcpu.c    running and kicking a vCPU
 *   exit.c    exits that are accesses of the guest, and exits in words
 *   state.c   registers between KVM's structs and ours
 */
#ifndef MV_HV_KVM_KVM_H
#define MV_HV_KVM_KVM_H

#include "hv/hv.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    MV_KVM_CPUS_MAX = 254, /* xAPIC ids of 8 bits, 255 is the broadcast */
    MV_KVM_SLOTS_MAX = 16, /* two regions of RAM, and room for what devices map */
    MV_KVM_PINS = 24,      /* of the I/O APIC, KVM's or ours; messages' GSIs follow */
    MV_KVM_ROUTES_MAX = 16 + MV_KVM_PINS + MV_HV_MESSAGES_MAX, /* 8259s and all GSIs */
    MV_KVM_CPUID_MAX = 256, /* KVM_MAX_CPUID_ENTRIES of the kernel */
    MV_KVM_API_VERSION = 12 /* the only one there ever was since Linux 2.6.22 */
};

/* struct kvm_cpuid2 and the array that follows it. */
struct mv_kvm_cpuid {
    struct kvm_cpuid2 head;
    struct kvm_cpuid_entry2 entry[MV_KVM_CPUID_MAX];
};

/* struct kvm_irq_routing and the array that follows it. */
struct mv_kvm_routes {
    struct kvm_irq_routing head;
    struct kvm_irq_routing_entry entry[MV_KVM_ROUTES_MAX];
};

struct mv_kvm_slot {
    uint64_t gpa, size; /* size 0: free */
};

struct mv_hv_vm {
    int fd;
    int kvm; /* /dev/kvm, for the questions that only it answers */
    struct mv_hv_config config;
    size_t run_bytes;     /* of the area that KVM shares with us for each vCPU */
    pthread_mutex_t lock; /* guards slot, cpuid */
    struct mv_kvm_slot slot[MV_KVM_SLOTS_MAX];
    pthread_mutex_t irq_lock;    /* guards routes, routes_known, bound */
    struct mv_kvm_routes routes; /* each GSI's, in no order */
    bool routes_known;           /* KVM has them */
    bool bound[MV_HV_MESSAGES_MAX];
    pthread_mutex_t ring_lock; /* taking entries off the ring; guards ring, gathered */
    struct kvm_coalesced_mmio_ring *ring; /* from the first vCPU on; or never: NULL */
    int gathered;                         /* the port, or -1 */
    struct mv_kvm_cpuid cpuid; /* what KVM supports here, unfiltered; empty until the
                                  first vCPU asks */
    _Atomic int vcpu_fd[];     /* config.cpus of them, -1 while not open */
};

struct mv_hv_vcpu {
    int fd;
    unsigned index;
    struct mv_hv_vm *vm;
    struct kvm_run *run;
    pthread_t thread;    /* that opened it and runs it */
    sigset_t before;     /* the thread's signal mask before vcpu_open */
    _Atomic bool kicked; /* a kick is on its way; see vcpu.c */
    struct mv_hv_counts counts;
};

/* An ioctl of KVM that nobody's signal makes fail. Not for KVM_RUN. By syscall(), as C
 * libraries do not agree on the type of a request. */
static inline int mv_kvm_ioctl(int fd, unsigned long request, void *arg)
{
    int rc;
    do
        rc = (int)syscall(SYS_ioctl, fd, request, arg);
    while (rc < 0 && errno == EINTR);
    return rc;
}

/* For ioctls whose argument is a number. */
static inline int mv_kvm_ioctl_number(int fd, unsigned long request, unsigned long arg)
{
    int rc;
    do
        rc = (int)syscall(SYS_ioctl, fd, request, arg);
    while (rc < 0 && errno == EINTR);
    return rc;
}

/* MICROVM_E_HYPERVISOR with errno: "KVM_CREATE_VCPU 1: No such file". */
int mv_kvm_fail(microvm_error *err, const char *format, ...) MV_PRINTF(2, 3);

/* probe.c */
void mv_kvm_probe(struct mv_hv_caps *caps);
/* Opens /dev/kvm and checks that it has all we need; -1 and caps->reason, caps->fix. */
int mv_kvm_open(struct mv_hv_caps *caps, int *os_code);
/* Makes a VM; -1 and reason and fix as above. */
int mv_kvm_create(int kvm_fd, struct mv_hv_caps *caps, int *os_code);

/* vm.c */
int mv_kvm_vm_open(const struct mv_hv_config *config, struct mv_hv_vm **out,
                   microvm_error *err);
void mv_kvm_vm_close(struct mv_hv_vm *vm);
int mv_kvm_mem_map(struct mv_hv_vm *vm, uint64_t gpa, void *host, uint64_t size,
                   microvm_error *err);
int mv_kvm_mem_unmap(struct mv_hv_vm *vm, uint64_t gpa, uint64_t size,
                     microvm_error *err);
int mv_kvm_clock_get(struct mv_hv_vm *vm, uint64_t *ns, microvm_error *err);
int mv_kvm_clock_set(struct mv_hv_vm *vm, uint64_t ns, microvm_error *err);
void mv_kvm_clock_resumed(struct mv_hv_vm *vm);

/* irq.c */
int mv_kvm_vm_setup(struct mv_hv_vm *vm, microvm_error *err);
void mv_kvm_irq_line(struct mv_hv_vm *vm, unsigned gsi, bool level);
void mv_kvm_irq_msi(struct mv_hv_vm *vm, uint64_t address, uint32_t data);
int mv_kvm_irq_bind(struct mv_hv_vm *vm, unsigned gsi, intptr_t fd, microvm_error *err);
int mv_kvm_irq_routes(struct mv_hv_vm *vm, const struct mv_hv_route *route,
                      unsigned count, microvm_error *err);
int mv_kvm_msi_bind(struct mv_hv_vm *vm, unsigned index, intptr_t fd, uint64_t address,
                    uint32_t data, microvm_error *err);
int mv_kvm_msi_unbind(struct mv_hv_vm *vm, unsigned index, intptr_t fd,
                      microvm_error *err);
int mv_kvm_bell_bind(struct mv_hv_vm *vm, uint64_t gpa, unsigned size, uint64_t value,
                     struct mv_bell *bell, microvm_error *err);
int mv_kvm_bell_unbind(struct mv_hv_vm *vm, uint64_t gpa, unsigned size, uint64_t value,
                       struct mv_bell *bell, microvm_error *err);

/* gather.c */
void mv_kvm_pio_mute(struct mv_hv_vm *vm, uint16_t port, unsigned count);
int mv_kvm_pio_gather(struct mv_hv_vm *vm, uint16_t port, bool on, microvm_error *err);
void mv_kvm_pio_flush(struct mv_hv_vm *vm); /* also after each KVM_RUN */
void mv_kvm_gather_map(struct mv_hv_vm *vm, int vcpu_fd);
void mv_kvm_gather_unmap(struct mv_hv_vm *vm);

/* cpuid.c; pure. Turns what KVM supports into what vCPU `index` of `cpus` sees. */
void mv_kvm_cpuid_shape(struct mv_kvm_cpuid *cpuid, unsigned index, unsigned cpus,
                        bool tsc_deadline);

/* msr.c */
void mv_kvm_msr_reset(int vcpu_fd);

/* vcpu.c */
int mv_kvm_vcpu_open(struct mv_hv_vm *vm, unsigned index, struct mv_hv_vcpu **out,
                     microvm_error *err);
void mv_kvm_vcpu_close(struct mv_hv_vcpu *vcpu);
enum mv_hv_exit mv_kvm_vcpu_run(struct mv_hv_vcpu *vcpu, microvm_error *why);
void mv_kvm_vcpu_kick(struct mv_hv_vcpu *vcpu);
const struct mv_hv_counts *mv_kvm_vcpu_counts(const struct mv_hv_vcpu *vcpu);

/* exit.c */
void mv_kvm_exit_io(struct mv_hv_vcpu *vcpu);
void mv_kvm_exit_mmio(struct mv_hv_vcpu *vcpu);
enum mv_hv_exit mv_kvm_exit_event(struct mv_hv_vcpu *vcpu, microvm_error *why);
enum mv_hv_exit mv_kvm_exit_failed(struct mv_hv_vcpu *vcpu, microvm_error *why);

/* state.c */
int mv_kvm_vcpu_get(struct mv_hv_vcpu *vcpu, unsigned mask, struct mv_x86_cpu *cpu,
                    microvm_error *err);
int mv_kvm_vcpu_set(struct mv_hv_vcpu *vcpu, unsigned mask,
                    const struct mv_x86_cpu *cpu, microvm_error *err);

#endif
