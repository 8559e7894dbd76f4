/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Configuration space. On the bus a configuration transaction is one dword with byte
 * enables (PCI 3.0, 3.2.2.3), whatever software did to cause it. So an access of any
 * width and alignment becomes one piece for each dword it touches, and only pieces
 * reach a function. Both mechanisms are one address: ECAM's, bus << 20 | slot << 15 |
 * function << 12 | register.
 *
 * Nobody there, no register there: reads are all ones, writes are dropped. That is also
 * how PCI Express tells that a function has no extended configuration space.
 */
#include "pci/inner.h"

#include "util/bytes.h"

enum { BUS_SHIFT = 20, SLOT_SHIFT = 15, FUNCTION_SHIFT = 12 };

enum { CONFIG_DATA = 4 }; /* offset from CONFIG_ADDRESS */

#define ADDRESS_ENABLE 0x80000000u

static struct mv_pci_function *config_function(const struct mv_pci_root *root,
                                               uint64_t address)
{
    uint64_t page = address >> FUNCTION_SHIFT;
    if (page >> (BUS_SHIFT - FUNCTION_SHIFT) != 0 ||
        page % (1 << (SLOT_SHIFT - FUNCTION_SHIFT)) != 0)
        return NULL; /* another bus, another function */
    if (address % (1 << FUNCTION_SHIFT) >= MV_PCI_CONFIG_SIZE)
        return NULL;
    return root->slot[address >> SLOT_SHIFT];
}

/* The part of an access at `address` that lies in the same dword. */
static unsigned config_piece(uint64_t address, unsigned left)
{
    return MV_MIN(left, 4 - (unsigned)(address % 4));
}

static uint32_t config_read_piece(struct mv_pci_root *root, uint64_t address,
                                  unsigned size)
{
    struct mv_pci_function *f = config_function(root, address);
    unsigned at = address % MV_PCI_CONFIG_SIZE;
    uint8_t bytes[4] = {0};
    if (!f)
        return UINT32_MAX & (uint32_t)mv_size_mask(size);
    if (at >= MV_PCI_HEADER_END && f->ops->config_read)
        f->ops->config_read(f->owner, at, size);
    memcpy(bytes, &f->config[at], size);
    if (at <= MV_PCI_STATUS && MV_PCI_STATUS < at + size && mv_pci_intx_pending(f))
        bytes[MV_PCI_STATUS - at] |= MV_PCI_STATUS_INTX;
    return mv_load32(bytes);
}

/* What a command register means to others, after it was written. */
static void config_command(struct mv_pci_function *f)
{
    uint16_t now = mv_load16(&f->config[MV_PCI_COMMAND]);
    uint16_t changed = now ^ f->command;
    f->command = now;
    if (changed & MV_PCI_COMMAND_INTX_OFF)
        mv_pci_intx_off(f, now & MV_PCI_COMMAND_INTX_OFF);
    mv_pci_update_bars(f);
    if (changed && f->ops->command_changed)
        f->ops->command_changed(f->owner, changed);
}

static void config_write_piece(struct mv_pci_root *root, uint64_t address,
                               unsigned size, uint32_t value)
{
    struct mv_pci_function *f = config_function(root, address);
    unsigned at = address % MV_PCI_CONFIG_SIZE;
    if (!f)
        return;
    for (unsigned i = at; i < at + size; i++, value >>= 8)
        f->config[i] =
            (uint8_t)((f->config[i] & ~f->writable[i]) | (value & f->writable[i]));
    if (at < MV_PCI_BAR0)
        config_command(f);
    else if (at < MV_PCI_BAR0 + 4 * MV_PCI_BARS)
        mv_pci_update_bars(f);
    else if (at >= MV_PCI_HEADER_END && f->ops->config_written)
        f->ops->config_written(f->owner, at, size);
}

static uint64_t config_read(struct mv_pci_root *root, uint64_t address, unsigned size)
{
    uint64_t value = 0;
    uv_mutex_lock(&root->config_lock);
    for (unsigned done = 0, n; done < size; done += n) {
        n = config_piece(address + done, size - done);
        value |= (uint64_t)config_read_piece(root, address + done, n) << (8 * done);
    }
    uv_mutex_unlock(&root->config_lock);
    return value;
}

static void config_write(struct mv_pci_root *root, uint64_t address, unsigned size,
                         uint64_t value)
{
    uv_mutex_lock(&root->config_lock);
    for (unsigned done = 0, n; done < size; done += n) {
        n = config_piece(address + done, size - done);
        config_write_piece(root, address + done, n, (uint32_t)(value >> (8 * done)));
    }
    uv_mutex_unlock(&root->config_lock);
}

/* -- ECAM -- */

static uint64_t ecam_read(void *chip, uint64_t offset, unsigned size)
{
    return config_read(chip, offset, size);
}

static void ecam_write(void *chip, uint64_t offset, unsigned size, uint64_t value)
{
    config_write(chip, offset, size, value);
}

const struct mv_bus_ops mv_pci_ecam_bus = {ecam_read, ecam_write};

/* -- mechanism #1 -- */

/* CONFIG_ADDRESS is there for dword accesses only: narrower ones pass it and find
 * nothing (Linux probes with a byte at 0xcfb). */
static bool ports_is_address(uint64_t offset, unsigned size)
{
    return offset == 0 && size == 4;
}

/* The configuration address that CONFIG_DATA stands for; false: it is disabled. */
static bool ports_target(const struct mv_pci_root *root, uint64_t offset,
                         uint64_t *address)
{
    uint32_t now = root->address;
    *address = (uint64_t)(now & 0x00ffff00) << 4 | (now & 0xfc) | (offset & 3);
    return now & ADDRESS_ENABLE;
}

/* Bytes of the access that lie before CONFIG_DATA. */
static unsigned ports_before_data(uint64_t offset, unsigned size)
{
    return offset < CONFIG_DATA ? MV_MIN(size, CONFIG_DATA - (unsigned)offset) : 0;
}

static uint64_t ports_read(void *chip, uint64_t offset, unsigned size)
{
    struct mv_pci_root *root = chip;
    unsigned before = ports_before_data(offset, size);
    uint64_t address;
    if (ports_is_address(offset, size))
        return root->address;
    if (before == size || !ports_target(root, offset + before, &address))
        return mv_size_mask(size);
    return config_read(root, address, size - before) << (8 * before) |
           (mv_size_mask(before));
}

static void ports_write(void *chip, uint64_t offset, unsigned size, uint64_t value)
{
    struct mv_pci_root *root = chip;
    unsigned before = ports_before_data(offset, size);
    uint64_t address;
    if (ports_is_address(offset, size))
        root->address = (uint32_t)value & MV_PCI_ADDRESS_WRITABLE;
    else if (before < size && ports_target(root, offset + before, &address))
        config_write(root, address, size - before, value >> (8 * before));
}

const struct mv_bus_ops mv_pci_ports_bus = {ports_read, ports_write};
