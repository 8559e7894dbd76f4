/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * ACPI tables of a machine: RSDP, XSDT, FADT, MADT, DSDT, and MCFG with PCI, at
 * MV_X86_ACPI, where a BIOS would have them. The machine is "hardware-reduced"
 * (ACPI 6.4, 4.1): no timers, no legacy power registers, no interrupt controllers of
 * the PC behind the I/O APIC; sleep, reset and the power button are registers of the
 * power chip (core/power_regs.h).
 *
 * Deliberately absent: RSDT and FACS (nothing that knows revision 2 wants them),
 * processor devices (kernels count the MADT's entries), HPET, tables of NUMA; _OSC of
 * the PCI host bridge, whose absence means that no service of PCI Express (hot-plug,
 * error reports, power management) is there to be handed over.
 */
#ifndef MV_ARCH_X86_ACPI_H
#define MV_ARCH_X86_ACPI_H

#include "core/ram.h"

enum { MV_ACPI_DEVICES_MAX = 32 };

struct mv_acpi_device {
    uint64_t gpa; /* one page */
    unsigned gsi;
};

struct mv_acpi_config {
    unsigned cpus; /* APIC ids 0 to cpus - 1 */
    bool serial;   /* COM1 is there */
    /* The MADT leaves the I/O APIC to the MP table, which must then stand beside these
     * tables. Linux takes processors from the one and interrupts from the other, whose
     * numbers are those of ISA (see mv_kernel_has_serial_pnp). */
    bool isa_interrupts;
    bool pci; /* the root is there: layout.h says where */
    bool rtc; /* the guest shall use the CMOS clock; it asks its hypervisor else */
    struct mv_acpi_device device[MV_ACPI_DEVICES_MAX]; /* virtio-mmio */
    unsigned devices;
};

/* Writes the tables; *rsdp_gpa is the root pointer, for mv_boot_prepare. False: memory
 * ends below their place. */
bool mv_acpi_write(const struct mv_ram *ram, const struct mv_acpi_config *config,
                   uint64_t *rsdp_gpa);

#endif
