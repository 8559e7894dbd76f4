/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * PCI as software sees it: one bus with a host bridge in slot 0 and single-function
 * devices in slots 1 to 31. Configuration space is reached through mechanism #1 (PCI
 * 3.0, 3.2.2.3.2) and ECAM (PCI Express 4.0, 7.2.2), INTx pins share eight lines. BARs
 * are placed in two windows, but decode wherever the board has nothing else: software
 * that does not know the windows may move them out. Nothing here knows an architecture:
 * windows, the space for BARs, ECAM and lines are the board's.
 *
 * A function lives in its owner (a transport), which declares registers, BARs and
 * capabilities and is told what the guest does with them. Nothing that a guest writes
 * is believed: a BAR decodes only where all of it lies in one range of the space, so
 * never over RAM, a local APIC or another chip, and of two BARs in one place the lower
 * slot's answers.
 *
 * Threads. Configuration accesses come from any vCPU and are serialised by a lock that
 * is held while the owner's functions run. These may wait for the loop, so the loop
 * never touches configuration space. BAR accesses come from several vCPUs at once, with
 * no lock of ours held. mv_pci_intx and mv_pci_command are for any thread.
 *
 * Deliberately absent: I/O BARs, expansion ROMs, bridges and further buses, functions
 * other than 0, extended configuration space (PCI Express capabilities), power
 * management, and adding or removing functions while vCPUs run.
 */
#ifndef MV_PCI_PCI_H
#define MV_PCI_PCI_H

#include "core/bus.h"
#include "core/irq.h"
#include "core/state.h"
#include "os/thread.h"

enum {
    MV_PCI_SLOTS = 32,
    MV_PCI_BARS = 6,
    MV_PCI_LINES = 8,           /* pin A of slot s is line s % 8 */
    MV_PCI_SPACES = 8,          /* ranges of the space for BARs, at most */
    MV_PCI_CONFIG_SIZE = 256,   /* bytes of configuration space of a function */
    MV_PCI_ECAM_SIZE = 1 << 20, /* one bus: 32 slots, 8 functions, 4 KiB */
    MV_PCI_PORTS = 0xcf8,       /* CONFIG_ADDRESS, then CONFIG_DATA at 0xcfc */
    MV_PCI_PORTS_SIZE = 8,
    MV_PCI_STATE_VERSION = 1, /* of the root */
    MV_PCI_FUNCTION_STATE_SIZE = MV_PCI_CONFIG_SIZE + 1
};

/* Registers that every function has, PCI 3.0, 6.1. */
enum {
    MV_PCI_VENDOR = 0x00,
    MV_PCI_DEVICE = 0x02,
    MV_PCI_COMMAND = 0x04,
    MV_PCI_STATUS = 0x06,
    MV_PCI_REVISION = 0x08,
    MV_PCI_CLASS = 0x09, /* interface, subclass, class */
    MV_PCI_CACHE_LINE = 0x0c,
    MV_PCI_BAR0 = 0x10,
    MV_PCI_SUBVENDOR = 0x2c,
    MV_PCI_SUBDEVICE = 0x2e,
    MV_PCI_CAPABILITIES = 0x34,
    MV_PCI_INTERRUPT_LINE = 0x3c,
    MV_PCI_INTERRUPT_PIN = 0x3d,
    MV_PCI_HEADER_END = 0x40 /* the owner's registers begin here */
};

enum {
    MV_PCI_COMMAND_MEMORY = 1 << 1,
    MV_PCI_COMMAND_MASTER = 1 << 2,
    MV_PCI_COMMAND_INTX_OFF = 1 << 10, /* Interrupt Disable */
    MV_PCI_STATUS_INTX = 1 << 3,       /* Interrupt Status */
    MV_PCI_STATUS_CAPABILITIES = 1 << 4
};

#define MV_PCI_NOWHERE UINT64_MAX /* the place of a BAR that does not decode */

struct mv_pci_root;

/* What the owner of a function is told, on the thread of the vCPU that accesses
 * configuration space, one call at a time. Each may wait for the loop; each may be
 * NULL. */
struct mv_pci_ops {
    /* Bytes from `offset` on are about to be read, or have been written (writable bits
     * only). They lie in one dword, at MV_PCI_HEADER_END or above. config_read may
     * change function->config before the guest sees it. */
    void (*config_read)(void *owner, unsigned offset, unsigned size);
    void (*config_written)(void *owner, unsigned offset, unsigned size);
    /* A BAR has the guest addresses from `gpa` on to itself, or no longer
     * (MV_PCI_NOWHERE): here doorbells are bound and unbound. Strictly in turns; a BAR
     * that moves is told as an end and a beginning. A BAR that overlaps another is
     * nowhere in this sense, though what it has for itself of the place still reaches
     * it. Also called by mv_pci_function_load and mv_pci_remove, on their thread. */
    void (*bar_moved)(void *owner, unsigned bar, uint64_t gpa);
    /* The guest has changed these bits of the command register. After bar_moved. */
    void (*command_changed)(void *owner, uint16_t changed);
};

struct mv_pci_bar {
    uint64_t size; /* power of two from 16 on; 0: there is none */
    bool wide;     /* 64 bits, and takes the next BAR's register as well */
    const struct mv_bus_ops *ops;
    void *chip;
    uint64_t home; /* where the root has put it, as firmware would */
    uint64_t gpa;  /* where it decodes; under bar_lock */
    uint64_t told; /* what bar_moved was told last */
};

struct mv_pci_function {
    const struct mv_pci_ops *ops;
    void *owner;
    struct mv_pci_root *root; /* NULL until it is added */
    unsigned slot;
    /* As the guest reads it, but for Interrupt Status; and the bits that it can write.
     * The owner fills in its capabilities before the function is added, and changes
     * them in config_read and config_written only. */
    uint8_t config[MV_PCI_CONFIG_SIZE], writable[MV_PCI_CONFIG_SIZE];
    unsigned capability, capability_end; /* the last one; where the next goes */
    struct mv_pci_bar bar[MV_PCI_BARS];
    _Atomic uint16_t command; /* of config, for other threads */
    bool intx, intx_off;      /* pin asserted, Interrupt Disable; under intx_lock */
};

struct mv_pci_identity {
    uint16_t vendor, device, subvendor, subdevice;
    uint32_t class; /* class << 16 | subclass << 8 | interface */
    uint8_t revision;
    bool pin; /* has interrupt pin A */
};

/* What the board gives. */
struct mv_pci_range {
    uint64_t base, size;
};

struct mv_pci_board {
    struct mv_pci_range low,
        high; /* windows below and above 4 GiB; high.size 0: none */
    /* Where BARs may decode: what has neither RAM nor a chip. Apart from each other,
     * each window inside one; size 0 ends them. */
    struct mv_pci_range space[MV_PCI_SPACES];
    uint64_t ecam_base;
    struct mv_irq line[MV_PCI_LINES]; /* level-triggered */
};

/* A range of the space as the bus's handler sees it. */
struct mv_pci_space {
    struct mv_pci_range range;
    struct mv_pci_root *root;
};

struct mv_pci_root {
    struct mv_pci_range low, high;
    struct mv_pci_space space[MV_PCI_SPACES];
    uint64_t ecam_base;
    struct mv_irq line[MV_PCI_LINES];
    struct mv_pci_function *slot[MV_PCI_SLOTS]; /* NULL: empty; fixed while vCPUs run */
    struct mv_pci_function bridge;              /* in slot 0 */
    _Atomic uint32_t address;                   /* CONFIG_ADDRESS */
    uv_mutex_t config_lock; /* held while owners' functions run and may wait */
    uv_mutex_t bar_lock;    /* leaf: where BARs decode */
    uv_mutex_t intx_lock;   /* leaf, but for the line that is set under it */
    bool level[MV_PCI_LINES];
};

/* -- the root, for the machine -- */

int mv_pci_open(struct mv_pci_root *root, const struct mv_pci_board *board,
                microvm_error *err);
/* After its functions have been removed. */
void mv_pci_close(struct mv_pci_root *root);

/* Puts the space for BARs and ECAM on the bus for memory, and the ports of mechanism #1
 * on `pio` unless that is NULL. */
int mv_pci_attach(struct mv_pci_root *root, struct mv_bus *mmio, struct mv_bus *pio,
                  microvm_error *err);

/* Both while no vCPU runs; functions are saved and loaded by their owners. */
void mv_pci_save(struct mv_pci_root *root, struct mv_writer *w);
int mv_pci_load(struct mv_pci_root *root, struct mv_reader *r, uint32_t version,
                microvm_error *err);

/* -- a function, for its owner, in this order -- */

void mv_pci_function_init(struct mv_pci_function *f, const struct mv_pci_identity *id,
                          const struct mv_pci_ops *ops, void *owner);

/* Declares memory BAR `bar`: accesses that lie inside it reach `ops` with `chip` and
 * offsets relative to it. A wide one takes two registers. */
void mv_pci_function_bar(struct mv_pci_function *f, unsigned bar, uint64_t size,
                         bool wide, const struct mv_bus_ops *ops, void *chip);

/* Appends a capability of `length` bytes, with its two bytes of header; returns where
 * it begins. The owner fills in the rest and the bits that the guest may write. */
unsigned mv_pci_function_capability(struct mv_pci_function *f, uint8_t id,
                                    unsigned length);

/* Puts the function into a slot, 1 to 31, and its BARs into a window; decoding is off.
 * Fails when the slot is taken or the windows are full. While no vCPU runs. */
int mv_pci_add(struct mv_pci_root *root, struct mv_pci_function *f, unsigned slot,
               microvm_error *err);
/* Takes it out: its BARs end, its pin is deasserted. While no vCPU runs. A function
 * that was not added: nothing. */
void mv_pci_remove(struct mv_pci_function *f);

/* The command register, from any thread. */
uint16_t mv_pci_command(const struct mv_pci_function *f);

/* Asserts or deasserts pin A, from any thread; a leaf. Asserting twice is once. */
void mv_pci_intx(struct mv_pci_function *f, bool level);

/* Configuration space and pin, inside the owner's section. Loading is into a function
 * that was added with the same registers, while no vCPU runs; it calls bar_moved and no
 * other function of the owner. A state that no guest can have made is refused and
 * changes nothing. */
void mv_pci_function_save(struct mv_pci_function *f, struct mv_writer *w);
int mv_pci_function_load(struct mv_pci_function *f, struct mv_reader *r,
                         microvm_error *err);

#endif
