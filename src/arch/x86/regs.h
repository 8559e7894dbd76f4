/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The state of an x86_64 processor in our own words, independent of any hypervisor's
 * structs: what boot sets, what a debugger shows and (as it grows) what a snapshot
 * holds.
 */
#ifndef MV_ARCH_X86_REGS_H
#define MV_ARCH_X86_REGS_H

#include <stdbool.h>
#include <stdint.h>

/* Parts of the state, for the masks of vcpu_get and vcpu_set. */
enum {
    MV_CPU_GENERAL = 1u << 0, /* general registers, rip, rflags */
    MV_CPU_SYSTEM = 1u << 1,  /* segments, tables, control registers, efer */
    MV_CPU_LAPIC = 1u << 2,   /* the local APIC's registers, where there is one below */
    MV_CPU_RUNNABLE = 1u << 3 /* running, halted, waiting for INIT or SIPI */
};

/* In the order of the instruction encoding. */
enum { MV_RAX, MV_RCX, MV_RDX, MV_RBX, MV_RSP, MV_RBP, MV_RSI, MV_RDI, MV_R8 };

struct mv_x86_segment {
    uint64_t base;
    uint32_t limit; /* in bytes, granularity already applied */
    uint16_t selector;
    uint8_t type; /* Intel SDM Vol. 3, 3.4.5.1 */
    uint8_t dpl;
    bool present, db, l, s, g, avl, unusable;
};

struct mv_x86_table {
    uint64_t base;
    uint16_t limit;
};

enum mv_x86_runnable {
    MV_CPU_RUNS,
    MV_CPU_HALTED,
    MV_CPU_WAITS_INIT,
    MV_CPU_WAITS_SIPI
};

struct mv_x86_cpu {
    uint64_t gpr[16]; /* MV_RAX ... */
    uint64_t rip, rflags;
    struct mv_x86_segment cs, ds, es, fs, gs, ss, tr, ldt;
    struct mv_x86_table gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, cr8, efer, apic_base;
    enum mv_x86_runnable runnable;
    uint8_t lapic[1024]; /* registers at 16-byte stride, SDM Vol. 3, 11.4.1 */
};

#endif
