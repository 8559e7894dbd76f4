/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The MP table (Intel MultiProcessor Specification 1.4): processors, I/O APIC and
 * interrupt lines for kernels without ACPI; with PCI, which slot has which line. A
 * kernel that finds neither searches all of the BIOS area for one, so it is written for
 * every machine.
 */
#ifndef MV_ARCH_X86_MPTABLE_H
#define MV_ARCH_X86_MPTABLE_H

#include "core/ram.h"

/* APIC ids 0 to cpus - 1 (1 to MV_CPUS_MAX); pci: there is a PCI bus, which has the
 * lines from MV_X86_GSI_PCI on. False: memory ends below the table. */
bool mv_mptable_write(const struct mv_ram *ram, unsigned cpus, bool pci);

#endif
