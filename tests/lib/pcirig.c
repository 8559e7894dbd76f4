/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A PCI root without a machine, and cards for it.
 */
#include "pcirig.h"

const struct mv_pci_range pcirig_space[MV_PCI_SPACES] = {
    {PCIRIG_RAM_END, PCIRIG_CHIP - PCIRIG_RAM_END},
    {PCIRIG_CHIP + 0x1000, PCIRIG_ECAM - PCIRIG_CHIP - 0x1000},
    {PCIRIG_ECAM + MV_PCI_ECAM_SIZE, PCIRIG_CHIPS - PCIRIG_ECAM - MV_PCI_ECAM_SIZE},
    {PCIRIG_ABOVE, PCIRIG_END - PCIRIG_ABOVE},
};

bool pcirig_in_space(uint64_t gpa, uint64_t size)
{
    for (unsigned i = 0; i < MV_PCI_SPACES; i++)
        if (mv_inside(gpa, size, pcirig_space[i].base, pcirig_space[i].size))
            return true;
    return false;
}

void pcirig_open(struct pcirig *rig)
{
    *rig = (struct pcirig){.mmio = {.count = 0}};
    struct mv_pci_board board = {
        .low = {PCIRIG_LOW, PCIRIG_LOW_SIZE},
        .high = {PCIRIG_HIGH, PCIRIG_HIGH_SIZE},
        .ecam_base = PCIRIG_ECAM,
    };
    memcpy(board.space, pcirig_space, sizeof board.space);
    for (unsigned i = 0; i < MV_PCI_LINES; i++) {
        board.line[i] = around_irq(rig->line);
        board.line[i].line = PCIRIG_GSI + i;
    }
    int rc = mv_pci_open(&rig->root, &board, NULL);
    MV_ASSERT(rc == 0);
    rc = mv_pci_attach(&rig->root, &rig->mmio, &rig->pio, NULL);
    MV_ASSERT(rc == 0);
    rig->driver =
        (struct pcidriver){.mmio = &rig->mmio, .pio = &rig->pio, .ecam = PCIRIG_ECAM};
}

void pcirig_close(struct pcirig *rig)
{
    mv_pci_close(&rig->root);
}

/* -- cards -- */

static void card_config_read(void *owner, unsigned offset, unsigned size)
{
    struct pcicard *card = owner;
    MV_ASSERT(offset >= 0x40 && size && offset % 4 + size <= 4);
    card->config_reads++;
}

static void card_config_written(void *owner, unsigned offset, unsigned size)
{
    struct pcicard *card = owner;
    MV_ASSERT(offset >= 0x40 && size && offset % 4 + size <= 4);
    card->config_writes++;
}

/* The contract of bar_moved: in turns, inside the space. */
static void card_bar_moved(void *owner, unsigned bar, uint64_t gpa)
{
    struct pcicard *card = owner;
    MV_ASSERT((card->place[bar] == MV_PCI_NOWHERE) == (gpa != MV_PCI_NOWHERE));
    uint64_t size = card->f.bar[bar].size;
    MV_ASSERT(gpa == MV_PCI_NOWHERE || pcirig_in_space(gpa, size));
    card->place[bar] = gpa;
    card->moves++;
}

static void card_command_changed(void *owner, uint16_t changed)
{
    struct pcicard *card = owner;
    MV_ASSERT(changed != 0);
    card->changed = changed;
    card->commands++;
}

static const struct mv_pci_ops card_ops = {
    .config_read = card_config_read,
    .config_written = card_config_written,
    .bar_moved = card_bar_moved,
    .command_changed = card_command_changed,
};

static uint64_t card_read(void *chip, uint64_t offset, unsigned size)
{
    struct pcicard *card = chip;
    uint64_t value = 0;
    MV_ASSERT(mv_inside(offset, size, 0, PCICARD_BAR_BYTES));
    memcpy(&value, &card->memory[offset], size);
    card->reads++;
    return value;
}

static void card_write(void *chip, uint64_t offset, unsigned size, uint64_t value)
{
    struct pcicard *card = chip;
    MV_ASSERT(mv_inside(offset, size, 0, PCICARD_BAR_BYTES));
    memcpy(&card->memory[offset], &value, size);
    card->writes++;
}

static const struct mv_bus_ops card_bus = {card_read, card_write};

void pcicard_open(struct pcicard *card, struct pcirig *rig, unsigned slot)
{
    const struct mv_pci_identity id = {.vendor = 0x1af4,
                                       .device = (uint16_t)(0xca00 + slot),
                                       .subvendor = 0x1af5,
                                       .subdevice = 0x4321,
                                       .class = 0x00ff12,
                                       .revision = 7,
                                       .pin = true};
    *card = (struct pcicard){.capability = 0};
    for (unsigned b = 0; b < MV_PCI_BARS; b++)
        card->place[b] = MV_PCI_NOWHERE;
    mv_pci_function_init(&card->f, &id, &card_ops, card);
    mv_pci_function_bar(&card->f, 0, PCICARD_BAR_BYTES, true, &card_bus, card);
    mv_pci_function_bar(&card->f, 2, PCICARD_SMALL_BYTES, false, &card_bus, card);
    card->capability =
        mv_pci_function_capability(&card->f, PCI_CAP_VENDOR, PCICARD_CAPABILITY_BYTES);
    memset(&card->f.writable[card->capability + 4], 0xff, 4);
    int rc = mv_pci_add(&rig->root, &card->f, slot, NULL);
    MV_ASSERT(rc == 0);
}

void pcicard_close(struct pcicard *card)
{
    mv_pci_remove(&card->f);
}
