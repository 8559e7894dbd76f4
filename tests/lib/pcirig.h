/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A PCI root in a test, without a VM: two buses with places as a PC has them, lines
 * that count, a driver, and cards: functions with a scratch BAR that write down what
 * they are told. Also for fuzz targets, so without cmocka.
 */
#ifndef TESTS_LIB_PCIRIG_H
#define TESTS_LIB_PCIRIG_H

#include "around.h"
#include "pcidriver.h"

#include "pci/pci.h"

/* What is neither RAM nor a chip nor ECAM; both windows lie in it. */
#define PCIRIG_RAM_END   0x80000000ull
#define PCIRIG_CHIP      0xd1000000ull /* a page */
#define PCIRIG_CHIPS     0xfec00000ull /* up to 4 GiB */
#define PCIRIG_ABOVE     0x100000000ull
#define PCIRIG_END       (1ull << 52)
#define PCIRIG_LOW       0xc0000000ull /* [base, base + 256 MiB) */
#define PCIRIG_LOW_SIZE  0x10000000ull
#define PCIRIG_ECAM      0xe0000000ull
#define PCIRIG_HIGH      0x4000000000ull /* [base, base + 64 GiB) */
#define PCIRIG_HIGH_SIZE 0x1000000000ull

enum { PCIRIG_GSI = 16 }; /* of the first line */

struct pcirig {
    struct mv_bus mmio, pio;
    struct around_line line[PCIRIG_GSI + MV_PCI_LINES]; /* by GSI */
    struct mv_pci_root root;
    struct pcidriver driver; /* uses ECAM until it is told otherwise */
};

extern const struct mv_pci_range pcirig_space[MV_PCI_SPACES];
/* All of this lies in one range of it. */
bool pcirig_in_space(uint64_t gpa, uint64_t size);

void pcirig_open(struct pcirig *rig);
void pcirig_close(struct pcirig *rig); /* after its functions have been removed */

enum {
    PCICARD_BAR_BYTES = 0x1000,   /* BAR 0, 64 bits wide */
    PCICARD_SMALL_BYTES = 0x100,  /* BAR 2, 32 bits wide */
    PCICARD_CAPABILITY_BYTES = 8, /* one of PCI_CAP_VENDOR; dword 1 is writable */
};

struct pcicard {
    struct mv_pci_function f;
    uint8_t memory[PCICARD_BAR_BYTES];
    unsigned capability;
    /* What it was told. */
    uint64_t place[MV_PCI_BARS];
    _Atomic unsigned moves, reads, writes, commands; /* writes: of BARs */
    unsigned config_reads, config_writes;
    uint16_t changed; /* by the last command */
};

/* Cards have device id 0xca00 + slot; their BARs' bytes read back what was written. */
void pcicard_open(struct pcicard *card, struct pcirig *rig, unsigned slot);
void pcicard_close(struct pcicard *card);

#endif
