/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A driver of the PCI transport: finds everything through configuration space, as a
 * guest must (virtio 1.2, 4.1.4), and believes nothing that the specification does not
 * say. Offsets of registers are those of struct virtio_pci_common_cfg, 4.1.4.3.
 */
#include "vdriver.h"

#include "util/assert.h"
#include "util/bytes.h"

#include <stdatomic.h>

enum { NO_VECTOR = 0xffff };

/* -- buses -- */

uint32_t vdriver_pci_read(const struct vdriver *d, unsigned at, unsigned size)
{
    return pcidriver_read(&d->pci.host, d->pci.slot, at, size);
}

void vdriver_pci_write(const struct vdriver *d, unsigned at, unsigned size,
                       uint32_t value)
{
    pcidriver_write(&d->pci.host, d->pci.slot, at, size, value);
}

/* BAR 0 as a range from 0 on; chip: struct vdriver_function. */
static uint64_t bar_read(void *chip, uint64_t offset, unsigned size)
{
    const struct vdriver_function *f = chip;
    return pcidriver_load(&f->host, f->bar + offset, size);
}

static void bar_write(void *chip, uint64_t offset, unsigned size, uint64_t value)
{
    const struct vdriver_function *f = chip;
    pcidriver_store(&f->host, f->bar + offset, size, value);
}

static const struct mv_bus_ops bar_bus = {bar_read, bar_write};

static void window_aim(const struct vdriver *d, uint32_t at, unsigned size)
{
    vdriver_pci_write(d, d->pci.window_at + 4, 1, 0);
    vdriver_pci_write(d, d->pci.window_at + 8, 4, at);
    vdriver_pci_write(d, d->pci.window_at + 12, 4, size);
}

uint32_t vdriver_window_read(const struct vdriver *d, uint32_t at, unsigned size)
{
    window_aim(d, at, size);
    return vdriver_pci_read(d, d->pci.window_at + 16, size);
}

void vdriver_window_write(const struct vdriver *d, uint32_t at, unsigned size,
                          uint32_t value)
{
    window_aim(d, at, size);
    vdriver_pci_write(d, d->pci.window_at + 16, size, value);
}

/* -- probing -- */

static void probe_virtio_cap(struct vdriver *d, unsigned at)
{
    struct vdriver_function *f = &d->pci;
    uint32_t type = vdriver_pci_read(d, at + 3, 1);
    uint32_t offset = vdriver_pci_read(d, at + 8, 4);
    uint32_t bytes = vdriver_pci_read(d, at + 12, 4);
    MV_ASSERT(vdriver_pci_read(d, at + 4, 1) == 0); /* BAR 0 */
    MV_ASSERT(mv_inside(offset, bytes, 0, f->bar_bytes));
    if (type == 1) {
        f->common.at = offset;
        f->common.bytes = bytes;
    } else if (type == 2) {
        f->notify.at = offset;
        f->notify.bytes = bytes;
        f->notify_step = vdriver_pci_read(d, at + 16, 4);
    } else if (type == 3) {
        f->isr.at = offset;
        f->isr.bytes = bytes;
    } else if (type == 4) {
        f->device.at = offset;
        f->device.bytes = bytes;
    } else {
        MV_ASSERT(type == 5 && bytes == 0);
        f->window_at = at;
    }
}

static void probe_msix_cap(struct vdriver *d, unsigned at)
{
    struct vdriver_function *f = &d->pci;
    f->msix_at = at;
    f->vectors = (vdriver_pci_read(d, at + 2, 2) & 0x7ff) + 1;
    f->table = vdriver_pci_read(d, at + 4, 4);
    f->pending = vdriver_pci_read(d, at + 8, 4);
    MV_ASSERT(!(f->table & 7) && !(f->pending & 7)); /* BAR 0 */
    MV_ASSERT(mv_inside(f->table, 16ull * f->vectors, 0, f->bar_bytes));
    MV_ASSERT(mv_inside(f->pending, 8, 0, f->bar_bytes));
    MV_ASSERT(f->vectors <= VDRIVER_VECTORS);
}

static void probe_caps(struct vdriver *d)
{
    struct vdriver_function *f = &d->pci;
    const struct pcidriver *host = &f->host;
    unsigned at = 0;
    while ((at = pcidriver_capability(host, f->slot, PCI_CAP_VENDOR, at)))
        probe_virtio_cap(d, at);
    at = pcidriver_capability(host, f->slot, PCI_CAP_MSIX, 0);
    MV_ASSERT(at);
    probe_msix_cap(d, at);
    MV_ASSERT(f->common.bytes >= 0x38 && f->common.at % 4 == 0);
    MV_ASSERT(f->notify.bytes >= 2 && f->notify.at % 2 == 0);
    MV_ASSERT(f->notify_step >= 2 && !(f->notify_step & (f->notify_step - 1)));
    MV_ASSERT(f->isr.bytes >= 1 && f->window_at);
    MV_ASSERT(f->device.bytes == 0 || f->device.at == vdriver_pci.config);
}

static void enable_messages(const struct vdriver *d)
{
    const struct vdriver_function *f = &d->pci;
    vdriver_pci_write(d, f->msix_at + 2, 2, 0xc000); /* on, all masked */
    for (unsigned v = 0; v < f->vectors; v++) {
        uint32_t entry = f->table + 16 * v;
        d->bus->write(d->chip, entry, 4, VDRIVER_ADDRESS);
        d->bus->write(d->chip, entry + 4, 4, 0);
        d->bus->write(d->chip, entry + 8, 4, VDRIVER_DATA + v);
        d->bus->write(d->chip, entry + 12, 4, 0);
    }
    vdriver_pci_write(d, f->msix_at + 2, 2, 0x8000);
}

void vdriver_pci_enable(const struct vdriver *d)
{
    uint16_t command = PCI_MEMORY | PCI_MASTER;
    vdriver_pci_write(d, PCI_COMMAND, 2, 0);
    pcidriver_move_bar(&d->pci.host, d->pci.slot, 0, d->pci.bar);
    vdriver_pci_write(d, PCI_COMMAND, 2, command | (d->pci.msix ? PCI_INTX_OFF : 0));
    if (d->pci.msix)
        enable_messages(d);
    else
        vdriver_pci_write(d, d->pci.msix_at + 2, 2, 0);
}

void vdriver_pci_probe(struct vdriver *d)
{
    struct vdriver_function *f = &d->pci;
    d->bus = &bar_bus;
    d->chip = f;
    MV_ASSERT(vdriver_pci_read(d, PCI_VENDOR, 2) == 0x1af4);
    MV_ASSERT(vdriver_pci_read(d, PCI_REVISION, 1) >= 1);
    MV_ASSERT(pcidriver_bar_wide(&f->host, f->slot, 0));
    f->bar = pcidriver_bar(&f->host, f->slot, 0);
    f->bar_bytes = pcidriver_bar_size(&f->host, f->slot, 0);
    MV_ASSERT(f->bar_bytes > 0 && f->bar % f->bar_bytes == 0);
    probe_caps(d);
    vdriver_pci_enable(d);
}

/* -- registers -- */

static const struct place {
    uint32_t reg;
    uint8_t at, size; /* in the common configuration */
} places[] = {
    {VREG_DEVICE_FEATURES_SEL, 0x00, 4},
    {VREG_DEVICE_FEATURES, 0x04, 4},
    {VREG_DRIVER_FEATURES_SEL, 0x08, 4},
    {VREG_DRIVER_FEATURES, 0x0c, 4},
    {VREG_STATUS, 0x14, 1},
    {VREG_CONFIG_GENERATION, 0x15, 1},
    {VREG_QUEUE_SEL, 0x16, 2},
    {VREG_QUEUE_NUM_MAX, 0x18, 2},
    {VREG_QUEUE_NUM, 0x18, 2},
    {VREG_QUEUE_READY, 0x1c, 2},
    {VREG_QUEUE_DESC, 0x20, 4},
    {VREG_QUEUE_DESC + 4, 0x24, 4},
    {VREG_QUEUE_DRIVER, 0x28, 4},
    {VREG_QUEUE_DRIVER + 4, 0x2c, 4},
    {VREG_QUEUE_DEVICE, 0x30, 4},
    {VREG_QUEUE_DEVICE + 4, 0x34, 4},
};

static const struct place *place_of(uint32_t reg)
{
    for (unsigned i = 0; i < MV_ARRAY_LEN(places); i++) {
        if (places[i].reg == reg)
            return &places[i];
    }
    MV_ASSERT(false && "a register that PCI does not have");
    return NULL;
}

static uint32_t pci_read(const struct vdriver *d, uint32_t reg)
{
    if (reg == VREG_DEVICE_ID)
        return vdriver_pci_read(d, PCI_DEVICE, 2) - 0x1040;
    if (reg == VREG_VENDOR_ID)
        return vdriver_pci_read(d, PCI_VENDOR, 2);
    if (reg == VREG_INTERRUPT_STATUS)
        return (uint32_t)d->bus->read(d->chip, d->pci.isr.at, 1);
    const struct place *p = place_of(reg);
    return (uint32_t)d->bus->read(d->chip, (uint64_t)d->pci.common.at + p->at, p->size);
}

/* A queue whose place would lie behind the area cannot be notified. */
static void pci_notify(const struct vdriver *d, uint32_t q)
{
    uint64_t at = (uint64_t)q * d->pci.notify_step; /* queue_notify_off is q */
    if (at + 2 <= d->pci.notify.bytes)
        d->bus->write(d->chip, d->pci.notify.at + at, 2, q);
}

static void pci_write(const struct vdriver *d, uint32_t reg, uint32_t value)
{
    if (reg == VREG_QUEUE_NOTIFY) {
        pci_notify(d, value);
        return;
    }
    if (reg == VREG_STATUS && value == 0 && d->pci.msix)
        atomic_store(d->pci.messages, 0); /* what came before is nobody's */
    const struct place *p = place_of(reg);
    d->bus->write(d->chip, (uint64_t)d->pci.common.at + p->at, p->size,
                  value & mv_size_mask(p->size));
}

/* With messages, those that have come; the configuration's vector is 0. */
static uint32_t pci_interrupt(const struct vdriver *d)
{
    if (!d->pci.msix)
        return pci_read(d, VREG_INTERRUPT_STATUS);
    uint32_t messages = atomic_exchange(d->pci.messages, 0);
    return (messages & 1 ? 2 : 0) | (messages & ~1u ? 1 : 0);
}

unsigned vdriver_vector(const struct vdriver *d, unsigned q)
{
    return MV_MIN(q + 1, d->pci.vectors - 1);
}

/* 4.1.5.1.2.2: reads back what it got. */
static void pci_choose(const struct vdriver *d, int q)
{
    uint64_t at = d->pci.common.at + (q < 0 ? 0x10u : 0x1au);
    uint64_t vector = q < 0 ? 0 : vdriver_vector(d, (unsigned)q);
    if (!d->pci.msix)
        vector = NO_VECTOR;
    d->bus->write(d->chip, at, 2, vector);
    MV_ASSERT(d->bus->read(d->chip, at, 2) == vector);
}

const struct vdriver_transport vdriver_pci = {
    .name = "pci",
    .config = 0x2000,
    .read = pci_read,
    .write = pci_write,
    .interrupt = pci_interrupt,
    .choose = pci_choose,
};
