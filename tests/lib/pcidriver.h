/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The software's side of PCI, written from the specification and not from our root: it
 * reads and writes configuration space through ECAM or mechanism #1, walks capability
 * lists, sizes and moves BARs, and accesses what is behind them. The buses are the
 * machine's. Also for fuzz targets, so without cmocka.
 */
#ifndef TESTS_LIB_PCIDRIVER_H
#define TESTS_LIB_PCIDRIVER_H

#include "core/bus.h"

enum { /* registers, PCI 3.0, 6.1 */
       PCI_VENDOR = 0x00,
       PCI_DEVICE = 0x02,
       PCI_COMMAND = 0x04,
       PCI_STATUS = 0x06,
       PCI_REVISION = 0x08,
       PCI_HEADER_TYPE = 0x0e,
       PCI_BAR0 = 0x10,
       PCI_SUBVENDOR = 0x2c,
       PCI_SUBDEVICE = 0x2e,
       PCI_CAP_POINTER = 0x34,
       PCI_LINE = 0x3c,
       PCI_PIN = 0x3d
};

enum { /* command, status */
       PCI_MEMORY = 2,
       PCI_MASTER = 4,
       PCI_INTX_OFF = 0x400,
       PCI_STATUS_INTX = 8,
       PCI_STATUS_CAPS = 0x10
};

enum { /* capabilities */
       PCI_CAP_VENDOR = 0x09,
       PCI_CAP_MSIX = 0x11
};

struct pcidriver {
    const struct mv_bus *mmio, *pio;
    uint64_t ecam;
    bool ports; /* use mechanism #1 */
};

/* Configuration space of function 0 in a slot. */
uint32_t pcidriver_read(const struct pcidriver *d, unsigned slot, unsigned reg,
                        unsigned size);
void pcidriver_write(const struct pcidriver *d, unsigned slot, unsigned reg,
                     unsigned size, uint32_t value);

/* Where the next capability of this kind after `after` (0: the first) begins; 0: there
 * is none. */
unsigned pcidriver_capability(const struct pcidriver *d, unsigned slot, uint8_t id,
                              unsigned after);

/* Sets and clears bits of the command register. */
void pcidriver_command(const struct pcidriver *d, unsigned slot, uint16_t set,
                       uint16_t clear);

/* BARs, as their type says of one register or two. Sizing leaves the BAR where it was,
 * and switches decoding off meanwhile as software should. 0: there is none. */
bool pcidriver_bar_wide(const struct pcidriver *d, unsigned slot, unsigned bar);
uint64_t pcidriver_bar_size(const struct pcidriver *d, unsigned slot, unsigned bar);
uint64_t pcidriver_bar(const struct pcidriver *d, unsigned slot, unsigned bar);
void pcidriver_move_bar(const struct pcidriver *d, unsigned slot, unsigned bar,
                        uint64_t gpa);

/* Memory; what nobody answers reads as all ones. */
uint64_t pcidriver_load(const struct pcidriver *d, uint64_t gpa, unsigned size);
void pcidriver_store(const struct pcidriver *d, uint64_t gpa, unsigned size,
                     uint64_t value);

#endif
