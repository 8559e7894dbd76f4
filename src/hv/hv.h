/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The hypervisor seam. Above it machine/hv, below it one folder per hypervisor: kvm,
 * and fake (scripted, for tests); hvf and whp follow. A device cannot see this header,
 * and a hypervisor cannot see a device.
 *
 * Five decisions, because of who else stands below the seam:
 *
 * 1. All configuration comes before the first vCPU, in one struct: WHP freezes it at
 *    WHvSetupPartition, KVM's interrupt controller mode must precede vCPUs.
 * 2. I/O is pushed up from inside vcpu_run through struct mv_hv_up: WHP's emulator
 * calls back and cannot be suspended to return an exit.
 * 3. Interrupts are pulled at entry where there is no interrupt controller below
 *    (irq_peek, irq_ack).
 * 4. irq_msi is the one primitive below lines: an I/O APIC entry is an MSI.
 * 5. One get and one set for CPU state, with a mask; boot, debugger and snapshot use
 *    the same two.
 *
 * Order of calls: vm_open, mem_map (any number), vm_setup, then on each vCPU's own
 * thread vcpu_open, vcpu_set, vcpu_run ..., vcpu_close; then mem_unmap, vm_close.
 * mem_map comes before vm_setup because KVM makes a memory slot that follows its
 * interrupt controllers wait 4-7 ms for an SRCU grace period.
 */
#ifndef MV_HV_HV_H
#define MV_HV_HV_H

#include "arch/x86/regs.h"
#include "os/bell.h"
#include "util/err.h"

#include <stdbool.h>

struct mv_hv_vm;   /* the backend's */
struct mv_hv_vcpu; /* the backend's */

/* How much of the interrupt controller the hypervisor is asked to provide: the rungs of
 * docs/architecture.md, section 6. */
enum mv_hv_rung {
    MV_RUNG_NONE = 1,  /* nothing: local APICs are ours too */
    MV_RUNG_LOCAL = 2, /* local APICs; the I/O APIC is chip/ioapic.c ("split") */
    MV_RUNG_FULL = 3   /* everything */
};

/*
 * Upcalls, from inside vcpu_run, on the vCPU's thread. None may be NULL except where
 * said. They return when the access is done; they may wait for the device loop.
 */
struct mv_hv_up {
    uint64_t (*pio_read)(void *ctx, uint16_t port, unsigned size);
    void (*pio_write)(void *ctx, uint16_t port, unsigned size, uint64_t value);
    uint64_t (*mmio_read)(void *ctx, uint64_t gpa, unsigned size);
    void (*mmio_write)(void *ctx, uint64_t gpa, unsigned size, uint64_t value);
    /* The guest has finished (EOI) a level-triggered interrupt vector. Rung 2 and 1. */
    void (*eoi)(void *ctx, uint8_t vector);
    /* Rung 1 only, may be NULL elsewhere: the vector to inject next or -1, and that it
     * went in. */
    int (*irq_peek)(void *ctx, unsigned vcpu);
    void (*irq_ack)(void *ctx, unsigned vcpu, int vector);
};

/* Messages that can be bound to eventfds in one VM: 16 devices with 18 queues and a
 * configuration vector each are 304. */
enum { MV_HV_MESSAGES_MAX = 512 };

/* An I/O APIC entry as the hypervisor sees it (rung 2). */
struct mv_hv_route {
    uint64_t address;
    uint32_t data;
    bool masked;
    bool level;
};

struct mv_hv_config {
    unsigned cpus; /* 1 to caps.cpus_max */
    enum mv_hv_rung rung;
    const struct mv_hv_up *up;
    void *up_ctx;
};

/* What probe found. Strings are for the user. */
struct mv_hv_caps {
    bool usable;
    unsigned cpus_max;
    unsigned rungs; /* bit n: rung n is possible */
    bool bells;     /* bell_bind works */
    char detail[200];
    char reason[200]; /* why not usable, or what is limited */
    char fix[200];    /* what to do about it */
};

/* Why vcpu_run came back. */
enum mv_hv_exit {
    MV_HV_KICKED,   /* vcpu_kick, or nothing in particular: look around and run again */
    MV_HV_HALT,     /* HLT with no interrupt controller below to sleep in (rung 1) */
    MV_HV_SHUTDOWN, /* triple fault */
    MV_HV_RESET,    /* the hypervisor itself saw a reset request */
    MV_HV_FAILED    /* entry failed, internal error, unknown exit: *why is filled */
};

/* Counters of one vCPU; written on its thread, read from any. */
struct mv_hv_counts {
    _Atomic uint64_t entries, pio, mmio, kicks;
};

/* Counts one more. On the vCPU's thread only, so that a plain addition is enough. */
static inline void mv_hv_count(_Atomic uint64_t *counter)
{
    uint64_t n = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, n + 1, memory_order_relaxed);
}

struct mv_hv_ops {
    const char *name; /* "kvm" */

    /* Any thread. Never fails: says what it found. Leaves nothing open. */
    void (*probe)(struct mv_hv_caps *caps);

    /* Makes a VM without memory or vCPUs. NO_HYPERVISOR when there is none. */
    int (*vm_open)(const struct mv_hv_config *config, struct mv_hv_vm **out,
                   microvm_error *err);
    /* After the last vcpu_close. NULL accepted. */
    void (*vm_close)(struct mv_hv_vm *vm);

    /* Host memory becomes guest memory at gpa. All page-aligned. Any thread. */
    int (*mem_map)(struct mv_hv_vm *vm, uint64_t gpa, void *host, uint64_t size,
                   microvm_error *err);
    int (*mem_unmap)(struct mv_hv_vm *vm, uint64_t gpa, uint64_t size,
                     microvm_error *err);

    /* Interrupt controllers and whatever else must stand before the first vCPU. */
    int (*vm_setup)(struct mv_hv_vm *vm, microvm_error *err);

    /* The guest's clock in ns since its start; clock_set makes it go on from a value
     * read before, for saved machines. May be NULL. Any thread, no vCPU running. */
    int (*clock_get)(struct mv_hv_vm *vm, uint64_t *ns, microvm_error *err);
    int (*clock_set)(struct mv_hv_vm *vm, uint64_t ns, microvm_error *err);
    /* The vCPUs have stood still for a while and will run again. The guest's clocks
     * have gone on and are right; its watchdogs shall be told. May be NULL. */
    void (*clock_resumed)(struct mv_hv_vm *vm);

    /* Interrupts: any thread, no lock of ours, never wait. Lines are GSIs of rung 3;
     * an MSI is the address/data pair of the PC architecture. */
    void (*irq_line)(struct mv_hv_vm *vm, unsigned gsi, bool level);
    void (*irq_msi)(struct mv_hv_vm *vm, uint64_t address, uint32_t data);
    /* Writing to `fd` (an eventfd) from now on is an edge on the line. UNSUPPORTED
     * where that does not exist; NULL where it never does. */
    int (*irq_bind)(struct mv_hv_vm *vm, unsigned gsi, intptr_t fd, microvm_error *err);
    /* Tells which vectors are level-triggered and so want up->eoi (rung 2): the entries
     * of the I/O APIC, as MSI address/data pairs, changed. A masked level-triggered one
     * counts: its end may be due. One call at a time; may wait. May be NULL. */
    int (*irq_routes)(struct mv_hv_vm *vm, const struct mv_hv_route *route,
                      unsigned count, microvm_error *err);

    /* Writing to `fd` (an eventfd) from now on sends message `index`, 0 to
     * MV_HV_MESSAGES_MAX - 1; what was written before it was bound is one message now.
     * Binding it again, with the same fd, changes what is sent: a write meanwhile
     * sends the old or the new message, and one of them only. When unbind returns, all
     * that was written before has been sent. Any thread, also while vCPUs run; bind may
     * wait for milliseconds where the message is a new one. NULL where that does not
     * exist; there, and after a failure, irq_msi serves. */
    int (*msi_bind)(struct mv_hv_vm *vm, unsigned index, intptr_t fd, uint64_t address,
                    uint32_t data, microvm_error *err);
    int (*msi_unbind)(struct mv_hv_vm *vm, unsigned index, intptr_t fd,
                      microvm_error *err);

    /* A guest write of `size` bytes of `value` at gpa rings the bell without coming
     * up as mmio_write; size 0: a write of any size and value (`value` is 0 then).
     * bind refuses where such a write rings a bell already. Any thread, also while
     * vCPUs run: a write that comes after unbind comes up. UNSUPPORTED where a
     * hypervisor cannot do that size; NULL where it never can. Without a bell the write
     * comes up. */
    int (*bell_bind)(struct mv_hv_vm *vm, uint64_t gpa, unsigned size, uint64_t value,
                     struct mv_bell *bell, microvm_error *err);
    int (*bell_unbind)(struct mv_hv_vm *vm, uint64_t gpa, unsigned size, uint64_t value,
                       struct mv_bell *bell, microvm_error *err);

    /* Nobody listens to writes to these ports: they need not come up. Only a wish; may
     * be NULL. After vm_setup. */
    void (*pio_mute)(struct mv_hv_vm *vm, uint16_t port, unsigned count);

    /* From now on writes of one byte to this port may come up late, or no longer. Each
     * is still a pio_write of its own, in the guest's order: those of a vCPU come up
     * before its next access of any other kind does, and before its vcpu_run returns;
     * those that are waiting when pio_flush or the end of gathering (on: false) is
     * called come up before that returns, on the caller's thread. So the handler must
     * not wait for the loop. One port at a time, one pio_gather at a time; any thread,
     * after the first vcpu_open. UNSUPPORTED, or NULL (both): they come up at once. */
    int (*pio_gather)(struct mv_hv_vm *vm, uint16_t port, bool on, microvm_error *err);
    void (*pio_flush)(struct mv_hv_vm *vm);

    /* vCPU `index`, 0 first; open, close, set, get, run on the thread that will run it
     * (get and set may come from elsewhere while it does not run). */
    int (*vcpu_open)(struct mv_hv_vm *vm, unsigned index, struct mv_hv_vcpu **out,
                     microvm_error *err);
    void (*vcpu_close)(struct mv_hv_vcpu *vcpu);
    int (*vcpu_get)(struct mv_hv_vcpu *vcpu, unsigned mask, struct mv_x86_cpu *cpu,
                    microvm_error *err);
    int (*vcpu_set)(struct mv_hv_vcpu *vcpu, unsigned mask,
                    const struct mv_x86_cpu *cpu, microvm_error *err);

    /* Runs the guest until something in mv_hv_exit happens; device accesses go up
     * through mv_hv_up meanwhile. After KICKED no access is half done: the state can
     * be read and saved. *why is filled for FAILED only,
     * and does not say which vCPU it was. */
    enum mv_hv_exit (*vcpu_run)(struct mv_hv_vcpu *vcpu, microvm_error *why);

    /* Makes the current or, if none is under way, the next vcpu_run return KICKED. Any
     * thread; never lost; several may become one; returns without waiting. */
    void (*vcpu_kick)(struct mv_hv_vcpu *vcpu);

    const struct mv_hv_counts *(*vcpu_counts)(const struct mv_hv_vcpu *vcpu);
};

/* The backends of this build, best first; NULL-terminated. */
extern const struct mv_hv_ops *const mv_hv_backends[];

#endif
