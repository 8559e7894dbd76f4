/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The PCI transport's function: its identity and capabilities (virtio 1.2, 4.1.2 and
 * 4.1.4), the window from configuration space into its BAR, bells that follow the BAR,
 * bus mastering, and the life of the whole.
 */
#include "virtio/vpci_inner.h"

#include "util/assert.h"
#include "util/bytes.h"

/* struct virtio_pci_cap, 4.1.4. */
enum {
    CAP_LENGTH = 2,
    CAP_TYPE = 3,
    CAP_BAR = 4,
    CAP_OFFSET = 8,
    CAP_SIZE = 12,
    CAP_MORE = 16, /* notify_off_multiplier, pci_cfg_data */
    CAP_ID_VENDOR_SPECIFIC = 0x09,
    CAP_ID_MSIX = 0x11
};
enum { CFG_COMMON = 1, CFG_NOTIFY = 2, CFG_ISR = 3, CFG_DEVICE = 4, CFG_PCI = 5 };

/* -- what the guest does with configuration space -- */

/* The access that the window (4.1.4.9) stands for; false: none that can be made. */
static bool vpci_window(const struct mv_vpci *vpci, uint32_t *offset, unsigned *size)
{
    const uint8_t *cap = vpci->function.config + vpci->window_at;
    *offset = mv_load32(cap + CAP_OFFSET);
    *size = mv_load32(cap + CAP_SIZE);
    return cap[CAP_BAR] == 0 && (*size == 1 || *size == 2 || *size == 4) &&
           *offset % *size == 0 && *offset < MV_VPCI_BAR_SIZE;
}

static void vpci_config_read(void *owner, unsigned offset, unsigned size)
{
    struct mv_vpci *vpci = owner;
    unsigned data = vpci->window_at + CAP_MORE, width;
    uint32_t at;
    if (!mv_overlap(offset, size, data, 4) || !vpci_window(vpci, &at, &width))
        return;
    mv_store32(vpci->function.config + data,
               (uint32_t)mv_vpci_bar.read(vpci, at, width));
}

static void vpci_config_written(void *owner, unsigned offset, unsigned size)
{
    struct mv_vpci *vpci = owner;
    unsigned data = vpci->window_at + CAP_MORE, width;
    uint32_t at;
    if (mv_overlap(offset, size, vpci->msix_at + 2, 2))
        mv_vpci_update_msix(vpci);
    if (!mv_overlap(offset, size, data, 4) || !vpci_window(vpci, &at, &width))
        return;
    uint32_t value = mv_load32(vpci->function.config + data);
    mv_vpci_bar.write(vpci, at, width, value & mv_size_mask(width));
}

/* Bells follow the BAR. */
static void vpci_bar_moved(void *owner, unsigned bar, uint64_t gpa)
{
    struct mv_vpci *vpci = owner;
    const struct mv_vpci_host *host = &vpci->host;
    (void)bar;
    for (unsigned q = 0; q < vpci->dev->queues && host->bind; q++) {
        uint64_t at = MV_VPCI_NOTIFY + MV_VPCI_NOTIFY_STEP * q;
        if (vpci->bound >> q & 1)
            host->unbind(host->ctx, q, vpci->gpa + at);
        vpci->bound &= ~(1u << q);
        if (gpa != MV_PCI_NOWHERE && host->bind(host->ctx, q, gpa + at))
            vpci->bound |= 1u << q;
    }
    vpci->gpa = gpa;
}

/* Off: the device stops, then its messages. On: the other way round. */
static void vpci_command_changed(void *owner, uint16_t changed)
{
    struct mv_vpci *vpci = owner;
    if (!(changed & MV_PCI_COMMAND_MASTER))
        return;
    bool master = mv_vpci_is_master(vpci);
    if (!master)
        mv_vdev_hold(vpci->dev, true);
    mv_vpci_update_msix(vpci);
    if (master)
        mv_vdev_hold(vpci->dev, false);
}

static const struct mv_pci_ops vpci_ops = {
    .config_read = vpci_config_read,
    .config_written = vpci_config_written,
    .bar_moved = vpci_bar_moved,
    .command_changed = vpci_command_changed,
};

/* -- capabilities -- */

static const struct vpci_cap {
    uint8_t type, length;
    uint32_t offset, size, more;
} vpci_caps[] = {
    {CFG_COMMON, 16, MV_VPCI_COMMON, MV_VPCI_COMMON_SIZE, 0},
    {CFG_NOTIFY, 20, MV_VPCI_NOTIFY, MV_VPCI_NOTIFY_SIZE, MV_VPCI_NOTIFY_STEP},
    {CFG_ISR, 16, MV_VPCI_ISR, 1, 0},
    {CFG_DEVICE, 16, MV_VPCI_DEVICE, MV_VPCI_DEVICE_SIZE, 0},
    {CFG_PCI, 20, 0, 0, 0},
};

static void vpci_add_cap(struct mv_vpci *vpci, const struct vpci_cap *cap)
{
    struct mv_pci_function *f = &vpci->function;
    unsigned at = mv_pci_function_capability(f, CAP_ID_VENDOR_SPECIFIC, cap->length);
    uint8_t *config = f->config + at, *writable = f->writable + at;
    config[CAP_LENGTH] = cap->length;
    config[CAP_TYPE] = cap->type;
    mv_store32(config + CAP_OFFSET, cap->offset);
    mv_store32(config + CAP_SIZE, cap->size);
    if (cap->length > CAP_MORE)
        mv_store32(config + CAP_MORE, cap->more);
    if (cap->type != CFG_PCI)
        return;
    vpci->window_at = at;
    writable[CAP_BAR] = 0xff;
    memset(writable + CAP_OFFSET, 0xff, 12); /* offset, size, data */
}

/* PCI 3.0, 6.8.2. Both tables are in BAR 0. */
static void vpci_add_msix_cap(struct mv_vpci *vpci)
{
    struct mv_pci_function *f = &vpci->function;
    unsigned at = mv_pci_function_capability(f, CAP_ID_MSIX, 12);
    vpci->msix_at = at;
    mv_store16(f->config + at + 2, (uint16_t)(vpci->msix.vectors - 1));
    mv_store16(f->writable + at + 2, MV_MSIX_ENABLE | MV_MSIX_FUNCTION_MASK);
    mv_store32(f->config + at + 4, MV_VPCI_TABLE);
    mv_store32(f->config + at + 8, MV_VPCI_PENDING);
}

/* Class codes by what the device is, as far as PCI knows it. */
static uint32_t vpci_class(uint32_t type)
{
    enum { NETWORK = 1, BLOCK = 2, CONSOLE = 3, SOCKET = 19 };
    switch (type) {
    case NETWORK:
        return 0x020000; /* Ethernet controller */
    case BLOCK:
        return 0x018000; /* mass storage, other */
    case CONSOLE:
    case SOCKET:
        return 0x078000; /* communication, other */
    default:
        return 0x00ff00; /* none of the classes */
    }
}

static void vpci_make_function(struct mv_vpci *vpci)
{
    uint32_t type = vpci->dev->class->id;
    const struct mv_pci_identity identity = {
        .vendor = MV_VPCI_VENDOR,
        .device = (uint16_t)(MV_VPCI_DEVICE_ID + type),
        .subvendor = MV_VPCI_VENDOR,
        .subdevice = (uint16_t)(MV_VPCI_DEVICE_ID + type),
        .class = vpci_class(type),
        .revision = 1, /* 4.1.2.1: not a transitional device */
        .pin = true,
    };
    mv_pci_function_init(&vpci->function, &identity, &vpci_ops, vpci);
    mv_pci_function_bar(&vpci->function, 0, MV_VPCI_BAR_SIZE, true, &mv_vpci_bar, vpci);
    vpci_add_msix_cap(vpci);
    for (unsigned i = 0; i < MV_ARRAY_LEN(vpci_caps); i++) {
        if (vpci_caps[i].type != CFG_DEVICE || vpci->dev->class->config_size > 0)
            vpci_add_cap(vpci, &vpci_caps[i]);
    }
}

/* -- life -- */

static int vpci_open_locks(struct mv_vpci *vpci, microvm_error *err)
{
    const char *name = vpci->dev->name;
    if (uv_mutex_init(&vpci->lock))
        return mv_fail(err, MICROVM_E_NO_MEMORY, "%s: no lock can be had", name);
    if (uv_mutex_init(&vpci->irq_lock)) {
        uv_mutex_destroy(&vpci->lock);
        return mv_fail(err, MICROVM_E_NO_MEMORY, "%s: no lock can be had", name);
    }
    return 0;
}

unsigned mv_vpci_vectors(const struct mv_vdev *dev)
{
    return dev->class->together ? 2 : dev->queues + 1;
}

int mv_vpci_open(struct mv_vpci *vpci, struct mv_vdev *dev, struct mv_pci_root *root,
                 unsigned slot, const struct mv_vpci_host *host, microvm_error *err)
{
    *vpci = (struct mv_vpci){.dev = dev, .host = *host, .gpa = MV_PCI_NOWHERE};
    int rc = vpci_open_locks(vpci, err);
    if (rc)
        goto fail;
    rc = mv_msix_open(&vpci->msix, mv_vpci_vectors(dev), &host->message, err);
    if (rc)
        goto fail_locks;
    vpci_make_function(vpci);
    rc = mv_pci_add(root, &vpci->function, slot, err);
    if (rc)
        goto fail_msix;
    mv_vpci_reset(vpci);
    dev->held = true; /* no function is a bus master at first */
    dev->transport =
        (struct mv_vdev_transport){mv_vpci_signal, mv_vpci_config_changed, vpci};
    return 0;

fail_msix:
    mv_msix_close(&vpci->msix);
fail_locks:
    uv_mutex_destroy(&vpci->irq_lock);
    uv_mutex_destroy(&vpci->lock);
fail:
    vpci->dev = NULL;
    return rc;
}

void mv_vpci_close(struct mv_vpci *vpci)
{
    if (!vpci->dev)
        return;
    mv_pci_remove(&vpci->function);
    mv_msix_close(&vpci->msix);
    uv_mutex_destroy(&vpci->irq_lock);
    uv_mutex_destroy(&vpci->lock);
    vpci->dev = NULL;
}

/* -- state -- */

void mv_vpci_save(struct mv_vpci *vpci, struct mv_writer *w)
{
    mv_put32(w, MV_VPCI_STATE_VERSION);
    mv_pci_function_save(&vpci->function, w);
    mv_vfeatures_save(&vpci->features, w);
    mv_put16(w, vpci->queue_select);
    mv_put8(w, (uint8_t)(vpci->isr | vpci->isr_told << MV_VPCI_ISR_TOLD));
    mv_put16(w, vpci->config_vector);
    for (unsigned q = 0; q < vpci->dev->queues; q++)
        mv_put16(w, vpci->queue_vector[q]);
    mv_msix_save(&vpci->msix, w);
}

static uint16_t vpci_load_vector(const struct mv_vpci *vpci, struct mv_reader *r)
{
    uint16_t vector = mv_get16(r);
    return vector < vpci->msix.vectors ? vector : MV_VPCI_NO_VECTOR;
}

/* The function comes last: it begins to decode, and binds bells. */
int mv_vpci_load(struct mv_vpci *vpci, struct mv_reader *r, microvm_error *err)
{
    uint8_t function[MV_PCI_FUNCTION_STATE_SIZE];
    int rc = mv_vdev_check_transport(vpci->dev, r, MV_VPCI_STATE_VERSION, err);
    if (rc)
        return rc;
    mv_get_bytes(r, function, sizeof function);
    vpci->features = mv_vfeatures_load(r);
    vpci->queue_select = mv_get16(r);
    uint8_t isr = mv_get8(r);
    vpci->isr = isr & MV_VPCI_ISR_ALL;
    vpci->isr_told = isr >> MV_VPCI_ISR_TOLD & vpci->isr;
    vpci->config_vector = vpci_load_vector(vpci, r);
    for (unsigned q = 0; q < vpci->dev->queues; q++)
        vpci->queue_vector[q] = vpci_load_vector(vpci, r);
    if (r->failed)
        return mv_fail(err, MICROVM_E_DEVICE,
                       "%s: the saved state of its transport is cut short",
                       vpci->dev->name);
    rc = mv_msix_load(&vpci->msix, r, err);
    if (rc)
        return rc;
    struct mv_reader in = {.data = function, .length = sizeof function};
    rc = mv_pci_function_load(&vpci->function, &in, err);
    if (rc)
        return rc;
    vpci->dev->held = !mv_vpci_is_master(vpci);
    mv_vpci_update_msix(vpci);
    return 0;
}
