/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What BAR 0 of the PCI transport holds: registers (virtio 1.2, 4.1.4.3 to 4.1.4.6),
 * the MSI-X table, and the interrupts that both decide.
 *
 * Whether an event is a message or the pin is decided under irq_lock, and so is
 * everything that can change the answer; the loop that signals and the vCPU that turns
 * MSI-X on find each other there. The same lock holds the ISR register and the pin
 * together: a driver's read clears both, and an event comes before (it reads the bit)
 * or after (the pin rises again).
 */
#include "virtio/vpci_inner.h"

#include "util/bytes.h"

/* Common configuration, 4.1.4.3. */
enum {
    REG_DEVICE_FEATURE_SELECT = 0x00,
    REG_DEVICE_FEATURE = 0x04,
    REG_DRIVER_FEATURE_SELECT = 0x08,
    REG_DRIVER_FEATURE = 0x0c,
    REG_CONFIG_VECTOR = 0x10,
    REG_NUM_QUEUES = 0x12,
    REG_STATUS = 0x14,
    REG_CONFIG_GENERATION = 0x15,
    REG_QUEUE_SELECT = 0x16,
    REG_QUEUE_SIZE = 0x18,
    REG_QUEUE_VECTOR = 0x1a,
    REG_QUEUE_ENABLE = 0x1c,
    REG_QUEUE_NOTIFY_OFF = 0x1e,
    REG_QUEUE_DESC = 0x20,
    REG_QUEUE_DRIVER = 0x28,
    REG_QUEUE_DEVICE = 0x30
};

/* -- interrupts -- */

/* The pin follows the ISR register while MSI-X is off, and the register forgets then
 * what was told before. irq_lock held. */
static void vpci_update_pin(struct mv_vpci *vpci)
{
    bool enabled = mv_msix_enabled(&vpci->msix);
    if (!enabled) {
        vpci->isr &= (uint8_t)~vpci->isr_told;
        vpci->isr_told = 0;
    }
    mv_pci_intx(&vpci->function, vpci->isr != 0 && !enabled);
}

/* Each of the queues' vectors once. irq_lock held. False: MSI-X is off. */
static bool vpci_send(struct mv_vpci *vpci, uint32_t queues)
{
    uint32_t sent = 0;
    _Static_assert(MV_MSIX_VECTORS_MAX <= 32, "a bit for each vector");
    for (unsigned q = 0; q < vpci->dev->queues; q++) {
        uint16_t vector = vpci->queue_vector[q];
        uint32_t bit = vector < vpci->msix.vectors ? 1u << vector : 0;
        if (!(queues >> q & 1) || sent & bit)
            continue;
        if (!mv_msix_signal(&vpci->msix, vector))
            return false;
        sent |= bit;
    }
    return true;
}

void mv_vpci_signal(void *transport, uint32_t queues)
{
    struct mv_vpci *vpci = transport;
    uv_mutex_lock(&vpci->irq_lock);
    if (!vpci_send(vpci, queues)) {
        vpci->isr |= MV_VPCI_ISR_QUEUE;
        vpci_update_pin(vpci);
    }
    uv_mutex_unlock(&vpci->irq_lock);
}

/* 4.1.4.5.1: the bit is set with MSI-X, too. A message has told it then, and no pin is
 * to tell it again. */
void mv_vpci_config_changed(void *transport)
{
    struct mv_vpci *vpci = transport;
    uv_mutex_lock(&vpci->irq_lock);
    if (mv_msix_signal(&vpci->msix, vpci->config_vector))
        vpci->isr_told |= MV_VPCI_ISR_CONFIG & ~vpci->isr;
    vpci->isr |= MV_VPCI_ISR_CONFIG;
    vpci_update_pin(vpci);
    uv_mutex_unlock(&vpci->irq_lock);
}

static uint8_t vpci_read_isr(struct mv_vpci *vpci)
{
    uv_mutex_lock(&vpci->irq_lock);
    uint8_t isr = vpci->isr;
    vpci->isr = vpci->isr_told = 0;
    vpci_update_pin(vpci);
    uv_mutex_unlock(&vpci->irq_lock);
    return isr;
}

bool mv_vpci_is_master(const struct mv_vpci *vpci)
{
    return mv_pci_command(&vpci->function) & MV_PCI_COMMAND_MASTER;
}

void mv_vpci_update_msix(struct mv_vpci *vpci)
{
    uint16_t control = mv_load16(vpci->function.config + vpci->msix_at + 2);
    uv_mutex_lock(&vpci->irq_lock);
    mv_msix_control(&vpci->msix, control & MV_MSIX_ENABLE,
                    control & MV_MSIX_FUNCTION_MASK || !mv_vpci_is_master(vpci));
    vpci_update_pin(vpci);
    uv_mutex_unlock(&vpci->irq_lock);
}

/* -- vectors -- */

/* NULL: the queue selected does not exist. irq_lock held. */
static uint16_t *vpci_vector(struct mv_vpci *vpci, uint32_t reg)
{
    if (reg == REG_CONFIG_VECTOR)
        return &vpci->config_vector;
    return vpci->queue_select < vpci->dev->queues
               ? &vpci->queue_vector[vpci->queue_select]
               : NULL;
}

static uint16_t vpci_read_vector(struct mv_vpci *vpci, uint32_t reg)
{
    uv_mutex_lock(&vpci->irq_lock);
    const uint16_t *vector = vpci_vector(vpci, reg);
    uint16_t value = vector ? *vector : MV_VPCI_NO_VECTOR;
    uv_mutex_unlock(&vpci->irq_lock);
    return value;
}

/* 4.1.5.1.2: the driver reads back whether it got the vector. */
static void vpci_write_vector(struct mv_vpci *vpci, uint32_t reg, uint16_t value)
{
    uv_mutex_lock(&vpci->irq_lock);
    uint16_t *vector = vpci_vector(vpci, reg);
    if (vector)
        *vector = value < vpci->msix.vectors ? value : MV_VPCI_NO_VECTOR;
    uv_mutex_unlock(&vpci->irq_lock);
}

/* -- common configuration -- */

/* Sizes of the fields, the only widths they are accessed at (4.1.3.1); of 64-bit
 * fields the halves. */
static unsigned common_width(uint64_t offset)
{
    if (offset == REG_STATUS || offset == REG_CONFIG_GENERATION)
        return 1;
    if (offset >= REG_CONFIG_VECTOR && offset < REG_QUEUE_DESC)
        return offset % 2 ? 0 : 2;
    return offset % 4 || offset >= MV_VPCI_COMMON_SIZE ? 0 : 4;
}

static uint32_t vpci_read_queue(const struct mv_vpci *vpci, uint32_t reg)
{
    const struct mv_vdev *dev = vpci->dev;
    if (vpci->queue_select >= dev->queues)
        return 0;
    const struct mv_vq_config *queue = &dev->vq[vpci->queue_select].config;
    switch (reg) {
    case REG_QUEUE_SIZE:
        return queue->size;
    case REG_QUEUE_ENABLE:
        return queue->ready;
    case REG_QUEUE_NOTIFY_OFF:
        return vpci->queue_select;
    case REG_QUEUE_DESC:
    case REG_QUEUE_DESC + 4:
        return mv_vfeatures_half(queue->desc, reg > REG_QUEUE_DESC);
    case REG_QUEUE_DRIVER:
    case REG_QUEUE_DRIVER + 4:
        return mv_vfeatures_half(queue->driver, reg > REG_QUEUE_DRIVER);
    case REG_QUEUE_DEVICE:
    case REG_QUEUE_DEVICE + 4:
        return mv_vfeatures_half(queue->device, reg > REG_QUEUE_DEVICE);
    default:
        return 0;
    }
}

static uint32_t vpci_read_common(struct mv_vpci *vpci, uint32_t reg)
{
    const struct mv_vfeatures *features = &vpci->features;
    switch (reg) {
    case REG_DEVICE_FEATURE_SELECT:
        return features->device_sel;
    case REG_DEVICE_FEATURE:
        return mv_vfeatures_half(vpci->dev->features, features->device_sel);
    case REG_DRIVER_FEATURE_SELECT:
        return features->driver_sel;
    case REG_DRIVER_FEATURE:
        return mv_vfeatures_half(features->driver, features->driver_sel);
    case REG_CONFIG_VECTOR:
    case REG_QUEUE_VECTOR:
        return vpci_read_vector(vpci, reg);
    case REG_NUM_QUEUES:
        return vpci->dev->queues;
    case REG_STATUS:
        return mv_vdev_status(vpci->dev);
    case REG_CONFIG_GENERATION:
        return mv_vdev_generation(vpci->dev) & 0xff;
    case REG_QUEUE_SELECT:
        return vpci->queue_select;
    default:
        return vpci_read_queue(vpci, reg);
    }
}

/* 4.1.4.3: a queue has its largest size until the driver makes it smaller. */
static void vpci_reset_sizes(struct mv_vpci *vpci)
{
    struct mv_vdev *dev = vpci->dev;
    for (unsigned q = 0; q < dev->queues; q++)
        dev->vq[q].config.size = dev->class->queue_size;
}

static void vpci_forget_interrupts(struct mv_vpci *vpci)
{
    uv_mutex_lock(&vpci->irq_lock);
    vpci->config_vector = MV_VPCI_NO_VECTOR;
    for (unsigned q = 0; q < vpci->dev->queues; q++)
        vpci->queue_vector[q] = MV_VPCI_NO_VECTOR;
    vpci->isr = vpci->isr_told = 0;
    mv_msix_forget(&vpci->msix);
    vpci_update_pin(vpci);
    uv_mutex_unlock(&vpci->irq_lock);
}

void mv_vpci_reset(struct mv_vpci *vpci)
{
    vpci->features = (struct mv_vfeatures){0};
    vpci->queue_select = 0;
    vpci_reset_sizes(vpci);
    vpci_forget_interrupts(vpci);
}

static void vpci_set_status(struct mv_vpci *vpci, uint8_t value)
{
    mv_vdev_set_status(vpci->dev, value);
    if (value == 0)
        mv_vpci_reset(vpci);
}

static void vpci_write_queue(struct mv_vpci *vpci, uint32_t reg, uint32_t value)
{
    struct mv_vq_config *queue = mv_vdev_setup(vpci->dev, vpci->queue_select);
    if (!queue)
        return;
    switch (reg) {
    case REG_QUEUE_SIZE:
        queue->size = (uint16_t)value;
        break;
    case REG_QUEUE_ENABLE: /* 0 is what a driver must not write (4.1.4.3.2) */
        queue->ready = value == 1;
        break;
    case REG_QUEUE_DESC:
    case REG_QUEUE_DESC + 4:
        mv_vfeatures_set_half(&queue->desc, reg > REG_QUEUE_DESC, value);
        break;
    case REG_QUEUE_DRIVER:
    case REG_QUEUE_DRIVER + 4:
        mv_vfeatures_set_half(&queue->driver, reg > REG_QUEUE_DRIVER, value);
        break;
    case REG_QUEUE_DEVICE:
    case REG_QUEUE_DEVICE + 4:
        mv_vfeatures_set_half(&queue->device, reg > REG_QUEUE_DEVICE, value);
        break;
    default: /* read-only */
        break;
    }
}

static void vpci_write_common(struct mv_vpci *vpci, uint32_t reg, uint32_t value)
{
    switch (reg) {
    case REG_DEVICE_FEATURE_SELECT:
        vpci->features.device_sel = value;
        break;
    case REG_DRIVER_FEATURE_SELECT:
        vpci->features.driver_sel = value;
        break;
    case REG_DRIVER_FEATURE:
        mv_vfeatures_write(&vpci->features, vpci->dev, value);
        break;
    case REG_CONFIG_VECTOR:
    case REG_QUEUE_VECTOR:
        vpci_write_vector(vpci, reg, (uint16_t)value);
        break;
    case REG_STATUS:
        vpci_set_status(vpci, (uint8_t)value);
        break;
    case REG_QUEUE_SELECT:
        vpci->queue_select = (uint16_t)value;
        break;
    default:
        vpci_write_queue(vpci, reg, value);
        break;
    }
}

/* -- BAR 0 -- */

static uint64_t vpci_read_registers(struct mv_vpci *vpci, uint64_t offset,
                                    unsigned size)
{
    if (common_width(offset) != size)
        return 0;
    uv_mutex_lock(&vpci->lock);
    uint32_t value = vpci_read_common(vpci, (uint32_t)offset);
    uv_mutex_unlock(&vpci->lock);
    return value;
}

static uint64_t vpci_read(void *chip, uint64_t offset, unsigned size)
{
    struct mv_vpci *vpci = chip;
    uint64_t value = 0;
    if (offset >= MV_VPCI_PENDING)
        return mv_msix_read_pending(&vpci->msix, offset - MV_VPCI_PENDING, size);
    if (offset >= MV_VPCI_TABLE)
        return mv_msix_read_table(&vpci->msix, offset - MV_VPCI_TABLE, size);
    if (offset >= MV_VPCI_NOTIFY)
        return 0;
    if (offset >= MV_VPCI_DEVICE)
        mv_vdev_read_config(vpci->dev, (uint32_t)offset - MV_VPCI_DEVICE, &value, size);
    else if (offset >= MV_VPCI_ISR)
        value = offset == MV_VPCI_ISR && size == 1 ? vpci_read_isr(vpci) : 0;
    else
        value = vpci_read_registers(vpci, offset, size);
    return value;
}

/* As a bound bell hears it: only the place counts. */
static void vpci_notify(struct mv_vpci *vpci, uint32_t offset)
{
    if (offset % MV_VPCI_NOTIFY_STEP == 0)
        mv_vdev_notify(vpci->dev, offset / MV_VPCI_NOTIFY_STEP);
}

static void vpci_write(void *chip, uint64_t offset, unsigned size, uint64_t value)
{
    struct mv_vpci *vpci = chip;
    if (offset >= MV_VPCI_PENDING)
        return;
    if (offset >= MV_VPCI_TABLE) {
        mv_msix_write_table(&vpci->msix, offset - MV_VPCI_TABLE, size, value);
    } else if (offset >= MV_VPCI_NOTIFY) {
        vpci_notify(vpci, (uint32_t)offset - MV_VPCI_NOTIFY);
    } else if (offset >= MV_VPCI_DEVICE) {
        mv_vdev_write_config(vpci->dev, (uint32_t)offset - MV_VPCI_DEVICE, &value,
                             size);
    } else if (common_width(offset) == size) {
        uv_mutex_lock(&vpci->lock);
        vpci_write_common(vpci, (uint32_t)offset, (uint32_t)value);
        uv_mutex_unlock(&vpci->lock);
    }
}

const struct mv_bus_ops mv_vpci_bar = {.read = vpci_read, .write = vpci_write};
