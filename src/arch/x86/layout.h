/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The guest-physical address map of an x86_64 machine, in one place.
 *
 *   0x0000_0000  page 0: interrupt vectors and BIOS data area (reserved)
 *   0x0000_1000  usable; at the start the boot structures below
 *   0x0009_fc00  extended BIOS data area: the MP table's floating pointer
 *   0x000d_0000  MP table, in the area where a BIOS would have option ROMs
 *   0x000e_0000  ACPI tables, in the area where a BIOS would have them
 *   0x0010_0000  kernel and usable RAM, up to 3 GiB
 *   0xc000_0000  the hole: 32-bit PCI window
 *   0xd000_0000  virtio-mmio devices, power chip
 *   0xe000_0000  ECAM of PCI bus 0
 *   0xfec0_0000  I/O APIC, local APICs
 *   0x1_0000_0000  RAM again
 *   0x40_0000_0000  64-bit PCI window: machines with more RAM have no PCI
 *
 * The PCI windows are where BARs are at the start, and what ACPI tells a guest. One
 * without ACPI may move BARs anywhere that its memory map leaves free: above RAM, below
 * the hole's chips, beyond 4 GiB.
 */
#ifndef MV_ARCH_X86_LAYOUT_H
#define MV_ARCH_X86_LAYOUT_H

#define MV_X86_LOW_USABLE   0x00001000u
#define MV_X86_GDT          0x00001000u
#define MV_X86_PARAMS       0x00002000u /* boot_params, or hvm_start_info with its lists */
#define MV_X86_PAGE_TABLES  0x00003000u /* PML4, PDPT, four page directories */
#define MV_X86_CMDLINE      0x00010000u
#define MV_X86_CMDLINE_MAX  0x00010000u /* bytes, with the NUL */
#define MV_X86_EBDA         0x0009fc00u /* usable low memory ends here */
#define MV_X86_VGA          0x000a0000u
#define MV_X86_MPTABLE      0x000d0000u /* MP configuration table */
#define MV_X86_MPTABLE_SIZE 0x00001000u
#define MV_X86_ACPI         0x000e0000u
#define MV_X86_ACPI_SIZE    0x00020000u
#define MV_X86_KERNEL       0x00100000u
#define MV_X86_HOLE         0xc0000000u
#define MV_X86_PCI32        0xc0000000u
#define MV_X86_PCI32_SIZE   0x10000000u
#define MV_X86_VIRTIO       0xd0000000u /* virtio-mmio devices, one page each */
#define MV_X86_POWER        0xd1000000u /* chip/power.h: GED, sleep and reset registers */
#define MV_X86_ECAM         0xe0000000u
#define MV_X86_ECAM_SIZE    0x00100000u /* one bus */
#define MV_X86_IOAPIC       0xfec00000u /* from here to 4 GiB no BAR decodes */
#define MV_X86_LAPIC        0xfee00000u
#define MV_X86_HOLE_END     0x100000000ull
#define MV_X86_PCI64        0x4000000000ull /* ends below 2^39: see config_keys.def */
#define MV_X86_PCI64_SIZE   0x1000000000ull
#define MV_X86_PHYSICAL_END (1ull << 52) /* no processor addresses more */

/* Warm reset flag of the BIOS data area: Linux leaves its reboot mode here before it
 * resets the machine (native_machine_emergency_restart). */
#define MV_X86_RESET_FLAG   0x00000472u

/* Interrupt lines (GSIs). Devices get the rest of 5..23, edge-triggered. */
#define MV_X86_GSI_SERIAL   4u
#define MV_X86_GSI_RTC      8u
#define MV_X86_GSI_POWER    9u
#define MV_X86_GSI_PCI      16u /* pin A of slot n: this + n % 8, level-triggered */
#define MV_X86_GSI_PCI_MASK 7u
#define MV_X86_GSI_COUNT    24u

/* Ports. */
#define MV_X86_PORT_SERIAL  0x3f8u
#define MV_X86_PORT_I8042   0x60u /* and 0x64 */
#define MV_X86_PORT_RTC     0x70u
#define MV_X86_PORT_DEBUG   0x0e9u /* boot time marks */
#define MV_X86_PORT_PCI     0xcf8u /* configuration mechanism #1 */

#endif
