/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The hv kind of machine: vCPUs, chips and virtio devices over one hypervisor. The
 * parts and who may touch them:
 *
 *   board.c        chips and the two buses: fixed before the first vCPU runs
 *   serial.c       when the serial port's output is gathered
 *   slots.c        virtio devices; they live on the loop, disks on loops of their own
 *   slot_mmio.c    a device's place on the bus, line and bells over virtio-mmio
 *   slot_pci.c     the PCI root; a device's slot, messages and bells
 *   ports.c        the vsock device and its host's end
 *   nics.c         the network devices among them
 *   vcpus.c        one thread per vCPU and the gate that they all pass
 *   boot.c         kernel, tables and the first vCPU's registers
 *   new.c          making, ending and freeing it; the vtable of the kind
 */
#ifndef MV_MACHINE_HV_HV_MACHINE_H
#define MV_MACHINE_HV_HV_MACHINE_H

#include "arch/x86/boot.h"
#include "arch/x86/layout.h"
#include "backing/tty.h"
#include "chip/debugport.h"
#include "chip/i8042.h"
#include "chip/ioapic.h"
#include "chip/power.h"
#include "chip/rtc.h"
#include "chip/uart8250.h"
#include "core/bus.h"
#include "hv/hv.h"
#include "machine/machine.h"
#include "os/file.h"
#include "os/notify.h"
#include "pci/pci.h"
#include "virtio/devices.h"
#include "virtio/vmmio.h"
#include "virtio/vpci.h"

enum { MV_SLOTS_MAX = 16 }; /* as many interrupt lines are left for virtio-mmio */

struct hv_machine;

struct hv_slot_mmio {
    struct mv_vmmio mmio;
    uint64_t base; /* a page of address space */
    unsigned gsi;
    struct mv_notify irq; /* bound to the line; closed where that does not exist */
};

/* Writing to `fd` sends the message while it is bound. Under the lock of MSI-X. */
struct hv_message {
    struct mv_notify fd; /* closed where messages cannot be bound */
    bool bound;
};

struct hv_slot_pci {
    struct mv_vpci vpci;
    struct hv_message message[MV_VDEV_QUEUES_MAX + 1];
    unsigned first; /* the hypervisor's number of message 0 */
};

/* A virtio device. When the machine starts it gets a transport, one for all. */
struct hv_slot {
    struct hv_machine *m;
    struct mv_vdev *dev;
    struct mv_disk *disk; /* for its counters; owned by the device. NULL: no disk */
    const struct microvm_nic *nic; /* NULL: no network device */
    char id[MV_ID_MAX + 1];        /* of a disk or network device */
    char name[MV_DISK_NAME];       /* a disk's, in the guest */
    struct mv_loop *loop; /* the device's own; NULL: it lives on the machine's */
    bool attached;
    struct hv_slot_mmio mmio; /* the one or the other */
    struct hv_slot_pci pci;
};

struct hv_cpu {
    struct hv_machine *m;
    unsigned index;
    uv_thread_t thread;
    bool started;             /* has a thread, to be joined */
    struct mv_hv_vcpu *vcpu;  /* NULL before open and after close; gate lock */
    struct mv_hv_counts last; /* its counters when it was closed */
};

/* Gathering of the serial port's output. The atomics are the vCPUs' too. */
struct hv_serial {
    struct mv_call begin;
    atomic_bool gathering;     /* or about to */
    atomic_uint count;         /* bytes that came up; while direct, in this window */
    _Atomic uint64_t since_ns; /* begin of the window */
    uv_timer_t tick;
    unsigned seen, idle_ticks; /* the tick's: count when it last looked */
};

/* The end of a pause of the I/O APIC: the timer is the loop's, `start` any thread's. */
struct hv_resend {
    struct mv_call start;
    uv_timer_t timer;
};

enum hv_want { HV_PARK, HV_RUN, HV_QUIT };

/* What all vCPU threads wait at. `lock` is a leaf below the loop's work. */
struct hv_gate {
    uv_mutex_t lock;
    uv_cond_t cond;
    enum hv_want want;
    unsigned threads; /* started */
    unsigned parked;  /* waiting with the vCPU open */
    unsigned gone;    /* vCPU closed, thread about to end */
    int reason;       /* why QUIT: microvm_exit_reason */
    microvm_error why;
    struct mv_call idle; /* posted when all threads are parked or gone */
};

struct hv_machine {
    struct microvm base;
    const struct mv_hv_ops *hv;
    struct mv_hv_vm *vm;
    enum mv_hv_rung rung;

    struct mv_ram ram;
    struct mv_bus pio, mmio;
    struct mv_uart8250 uart;
    struct hv_serial serial;
    struct mv_i8042 i8042;
    struct mv_rtc rtc;
    struct mv_power power;
    struct mv_debugport debugport;
    struct mv_ioapic ioapic; /* rung 2 */
    struct hv_resend resend; /* of ioapic */
    struct mv_tty tty;
    struct mv_vdev *console, *balloon, *vsock; /* when there is one */
    struct mv_vsock_ports ports;               /* of vsock */

    struct microvm_nic nic[MV_NETS_MAX];
    unsigned nics;
    struct hv_slot slot[MV_SLOTS_MAX];
    unsigned slots;
    bool pci; /* the root is there, and the devices are in its slots */
    enum mv_transport transport; /* what it was given last; AUTO: not started yet */
    struct mv_pci_root root;
    unsigned messages; /* given to slots */
    unsigned opened;   /* steps of new.c that are done, for undoing them */

    struct mv_file kernel_file, initrd_file;
    struct mv_source kernel_source, initrd_source;
    struct mv_kernel kernel;
    struct mv_boot_entry entry; /* where the first vCPU begins */
    bool acpi;                  /* tables were given to the guest */

    struct hv_gate gate;
    struct hv_cpu *cpu; /* base.config.cpus of them */
    int pending; /* MICROVM_OP_START or _PAUSE while waiting for the gate, or 0 */
    _Atomic uint64_t entered_ns;
};

static inline struct hv_machine *hv_machine(struct microvm *vm)
{
    return (struct hv_machine *)(void *)vm; /* base is the first member */
}

/* board.c */
extern const struct mv_hv_up hv_board_up;
int hv_board_open(struct hv_machine *m, microvm_error *err);
void hv_board_close(struct hv_machine *m);
/* The line with number gsi, on whichever rung the machine stands. */
struct mv_irq hv_board_irq(struct hv_machine *m, unsigned gsi);

/* serial.c */
void hv_serial_open(struct hv_machine *m);
void hv_serial_close(struct hv_machine *m);
void hv_serial_written(struct hv_machine *m); /* a byte has come up; any vCPU */

/* slots.c */
int hv_slots_open(struct hv_machine *m, microvm_error *err);
void hv_slots_close(struct hv_machine *m);
int hv_slots_add_disk(struct hv_machine *m, const struct mv_disk_config *disk,
                      microvm_error *err);
/* Takes nic->dev, also when it fails. */
int hv_slots_add_nic(struct hv_machine *m, const struct microvm_nic *nic,
                     microvm_error *err);
struct mv_vdev_host hv_slots_host(struct hv_machine *m);
/* Of every device that it names; an error when there is none. rates NULL: only that. */
int hv_slots_set_limit(struct hv_machine *m, const struct mv_limit_target *target,
                       const struct mv_limit_rates *rates, microvm_error *err);
int hv_slots_add_vsock(struct hv_machine *m, microvm_error *err);
/* Gives every device its transport; pci as boot.c has decided. Before the first vCPU
 * runs. */
int hv_slots_attach(struct hv_machine *m, bool pci, microvm_error *err);
void hv_slots_sleep(struct hv_machine *m);
void hv_slots_wake(struct hv_machine *m);
void hv_slots_stats(struct hv_machine *m, microvm_stats *out);

/* ports.c */
/* The vsock device with its host's end, for a slot; m->vsock is set by who adds it. */
int hv_ports_open(struct hv_machine *m, const struct mv_vdev_host *host,
                  struct mv_vdev **out, microvm_error *err);
/* The machine has ended; and: the device is closed. */
void hv_ports_end(struct hv_machine *m);
void hv_ports_close(struct hv_machine *m);
int hv_ports_connect(struct microvm *vm, struct mv_vsock_dial *dial,
                     microvm_error *err);
int hv_ports_listen(struct microvm *vm, microvm_socket_type type, uint32_t port,
                    microvm_error *err);
bool hv_ports_was_cut(struct microvm *vm, intptr_t socket);
int hv_ports_socks(struct microvm *vm, const char *text, uint16_t *port,
                   microvm_error *err);
int hv_ports_unlisten(struct microvm *vm, uint32_t port, microvm_error *err);
int hv_ports_accept(struct microvm *vm, uint32_t port, intptr_t *out,
                    microvm_error *err);

/* nics.c */
int hv_nics_add(struct hv_machine *m, const struct mv_net_config *config,
                microvm_nic **out, microvm_error *err);
int hv_nics_find(struct hv_machine *m, const char *id, microvm_nic **out,
                 microvm_error *err);
bool hv_nics_at(struct hv_machine *m, unsigned index, microvm_nic **out);
int hv_nics_find_user(struct hv_machine *m, microvm_nic **out, microvm_error *err);
/* The machine is at its end: nobody waits for frames any longer. */
void hv_nics_end(struct hv_machine *m);
void hv_nics_stats(const struct hv_machine *m, microvm_stats *out);

/* slot_mmio.c and slot_pci.c */
int hv_mmio_attach(struct hv_slot *slot, microvm_error *err);
void hv_mmio_detach(struct hv_slot *slot);
int hv_pci_open(struct hv_machine *m, microvm_error *err);
void hv_pci_close(struct hv_machine *m);
int hv_pci_attach(struct hv_slot *slot, microvm_error *err);
void hv_pci_detach(struct hv_slot *slot);

/* vcpus.c */
int hv_vcpus_open(struct hv_machine *m, microvm_error *err);
void hv_vcpus_close(struct hv_machine *m);
/* Gives each vCPU its thread; they open their vCPU and park. */
int hv_vcpus_start(struct hv_machine *m, microvm_error *err);
/* Ends the threads of a start that failed, and waits for them. */
void hv_vcpus_abandon(struct hv_machine *m);
/* Opens or closes the gate; the idle call follows when all have parked. */
void hv_vcpus_run(struct hv_machine *m);
void hv_vcpus_park(struct hv_machine *m);
/* All vCPUs shall end, for this reason; the first reason counts. Any thread. */
void hv_vcpus_quit(struct hv_machine *m, int reason, const char *message);
void hv_vcpus_counts(struct hv_machine *m, microvm_stats *out);

/* boot.c */
int hv_boot_open(struct hv_machine *m, microvm_error *err);
void hv_boot_close(struct hv_machine *m);
int hv_boot_load(struct hv_machine *m, struct mv_boot_entry *entry, microvm_error *err);
int hv_boot_vcpu(struct hv_machine *m, const struct mv_boot_entry *entry,
                 microvm_error *err);
/* Tells reset, panic and crash apart after the guest has reset itself. */
int hv_boot_reset_reason(struct hv_machine *m, bool triple_fault);

#endif
