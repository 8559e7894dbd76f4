/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of this folder share and nobody else sees.
 */
#ifndef MV_PCI_INNER_H
#define MV_PCI_INNER_H

#include "pci/pci.h"

/* CONFIG_ADDRESS: enable, bus, slot, function, dword. Other bits read zero. */
#define MV_PCI_ADDRESS_WRITABLE 0x80fffffcu

/* Mechanism #1 (chip: struct mv_pci_root), ECAM (the same), BARs (struct mv_pci_space).
 */
extern const struct mv_bus_ops mv_pci_ports_bus;
extern const struct mv_bus_ops mv_pci_ecam_bus;
extern const struct mv_bus_ops mv_pci_space_bus;

/* Gives the function's BARs addresses in the root's windows that no other's have. */
int mv_pci_place_bars(struct mv_pci_root *root, struct mv_pci_function *f,
                      microvm_error *err);

/* Makes BARs decode as the function's registers say, and tells the owners whose BARs
 * are affected. config_lock held, or no vCPU runs. */
void mv_pci_update_bars(struct mv_pci_function *f);

/* Interrupt Disable has been written: the same. */
void mv_pci_intx_off(struct mv_pci_function *f, bool off);

/* Interrupt Status. */
bool mv_pci_intx_pending(struct mv_pci_function *f);

#endif
