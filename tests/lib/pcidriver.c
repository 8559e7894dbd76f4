/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A PCI driver's first steps.
 */
#include "pcidriver.h"

#include "util/bytes.h"

enum { CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc };

uint64_t pcidriver_load(const struct pcidriver *d, uint64_t gpa, unsigned size)
{
    uint64_t value;
    (void)mv_bus_read(d->mmio, gpa, size, &value);
    return value;
}

void pcidriver_store(const struct pcidriver *d, uint64_t gpa, unsigned size,
                     uint64_t value)
{
    (void)mv_bus_write(d->mmio, gpa, size, value);
}

/* Returns the port at which the register then is. */
static uint64_t driver_select(const struct pcidriver *d, unsigned slot, unsigned reg)
{
    uint32_t address = 0x80000000u | slot << 11 | (reg & 0xfc);
    (void)mv_bus_write(d->pio, CONFIG_ADDRESS, 4, address);
    return CONFIG_DATA + reg % 4;
}

uint32_t pcidriver_read(const struct pcidriver *d, unsigned slot, unsigned reg,
                        unsigned size)
{
    uint64_t value;
    if (d->ports)
        (void)mv_bus_read(d->pio, driver_select(d, slot, reg), size, &value);
    else
        value = pcidriver_load(d, d->ecam + (slot << 15) + reg, size);
    return (uint32_t)value;
}

void pcidriver_write(const struct pcidriver *d, unsigned slot, unsigned reg,
                     unsigned size, uint32_t value)
{
    if (d->ports)
        (void)mv_bus_write(d->pio, driver_select(d, slot, reg), size, value);
    else
        pcidriver_store(d, d->ecam + (slot << 15) + reg, size, value);
}

unsigned pcidriver_capability(const struct pcidriver *d, unsigned slot, uint8_t id,
                              unsigned after)
{
    if (!(pcidriver_read(d, slot, PCI_STATUS, 2) & PCI_STATUS_CAPS))
        return 0;
    unsigned pointer = after ? after + 1 : PCI_CAP_POINTER;
    for (unsigned i = 0; i < 48; i++) { /* as many as fit */
        unsigned at = pcidriver_read(d, slot, pointer, 1) & ~3u;
        if (at == 0 || pcidriver_read(d, slot, at, 1) == id)
            return at;
        pointer = at + 1;
    }
    return 0;
}

void pcidriver_command(const struct pcidriver *d, unsigned slot, uint16_t set,
                       uint16_t clear)
{
    uint32_t command = pcidriver_read(d, slot, PCI_COMMAND, 2);
    pcidriver_write(d, slot, PCI_COMMAND, 2, (command | set) & ~(uint32_t)clear);
}

bool pcidriver_bar_wide(const struct pcidriver *d, unsigned slot, unsigned bar)
{
    return (pcidriver_read(d, slot, PCI_BAR0 + 4 * bar, 4) & 7) == 4;
}

static uint64_t driver_bar_registers(const struct pcidriver *d, unsigned slot,
                                     unsigned bar)
{
    unsigned reg = PCI_BAR0 + 4 * bar;
    uint64_t value = pcidriver_read(d, slot, reg, 4);
    if (pcidriver_bar_wide(d, slot, bar))
        value |= (uint64_t)pcidriver_read(d, slot, reg + 4, 4) << 32;
    return value;
}

uint64_t pcidriver_bar(const struct pcidriver *d, unsigned slot, unsigned bar)
{
    return driver_bar_registers(d, slot, bar) & ~15ull;
}

void pcidriver_move_bar(const struct pcidriver *d, unsigned slot, unsigned bar,
                        uint64_t gpa)
{
    unsigned reg = PCI_BAR0 + 4 * bar;
    pcidriver_write(d, slot, reg, 4, (uint32_t)gpa);
    if (pcidriver_bar_wide(d, slot, bar))
        pcidriver_write(d, slot, reg + 4, 4, (uint32_t)(gpa >> 32));
}

uint64_t pcidriver_bar_size(const struct pcidriver *d, unsigned slot, unsigned bar)
{
    uint32_t command = pcidriver_read(d, slot, PCI_COMMAND, 2);
    uint64_t place = pcidriver_bar(d, slot, bar);
    pcidriver_command(d, slot, 0, PCI_MEMORY);
    pcidriver_move_bar(d, slot, bar, UINT64_MAX);
    uint64_t bits = driver_bar_registers(d, slot, bar) & ~15ull;
    if (bits && !pcidriver_bar_wide(d, slot, bar))
        bits |= 0xffffffffull << 32;
    pcidriver_move_bar(d, slot, bar, place);
    pcidriver_write(d, slot, PCI_COMMAND, 2, command);
    return ~bits + 1;
}
