/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The machine's virtio devices. Each gets a slot, and keeps it, before the guest
 * starts; a transport when it starts, for only then is known whether its kernel has
 * PCI.
 */
#include "machine/hv/hv_machine.h"

#include "backing/disk.h"

#include <stdio.h>
#include <stdlib.h>

/* Takes the device. Its place depends on the configuration alone. */
static void slot_add(struct hv_machine *m, struct mv_vdev *dev, struct mv_disk *disk)
{
    m->slot[m->slots++] = (struct hv_slot){.m = m, .dev = dev, .disk = disk};
}

static void slot_failed(void *ctx, const char *text)
{
    struct hv_machine *m = ctx;
    microvm_event event = {.type = MICROVM_EVENT_DEVICE};
    uv_mutex_lock(&m->base.lock);
    event.state = (int32_t)m->base.state;
    uv_mutex_unlock(&m->base.lock);
    (void)snprintf(event.message, sizeof event.message, "%s", text);
    mv_events_push(&m->base.events, event);
}

struct mv_vdev_host hv_slots_host(struct hv_machine *m)
{
    return (struct mv_vdev_host){.loop = &m->base.loop,
                                 .ram = &m->ram,
                                 .log = &m->base.log,
                                 .failed = slot_failed,
                                 .ctx = m};
}

static int slots_full(const struct hv_machine *m, microvm_error *err)
{
    if (m->slots < MV_SLOTS_MAX)
        return 0;
    return mv_fail(err, MICROVM_E_DEVICE, "devices: a machine has room for %d",
                   MV_SLOTS_MAX);
}

/* A disk has a thread of its own, because what it asks of the host blocks. */
static int disk_loop_open(struct mv_loop **out, microvm_error *err)
{
    struct mv_loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "disk: no memory for its loop");
    int rc = mv_loop_open(loop, err);
    if (rc)
        free(loop);
    else
        *out = loop;
    return rc;
}

/* The devices on it are closed. */
static void disk_loop_close(struct mv_loop *loop)
{
    if (!loop)
        return;
    mv_loop_close(loop);
    free(loop);
}

static int disk_open(struct hv_machine *m, const struct mv_disk_config *config,
                     const char *name, struct mv_loop *loop, struct mv_disk **disk,
                     struct mv_vdev **dev, microvm_error *err)
{
    const char *id = config->id ? config->id : name;
    struct mv_vdev_host host = hv_slots_host(m);
    struct mv_limit_rates rates;
    host.loop = loop;
    int rc = mv_disk_open(config, loop, &m->base.log, disk, err);
    if (!rc)
        rc = mv_blk_open(&host, *disk, id, m->base.config.cpus, dev, err);
    if (rc)
        return rc;
    if (mv_config_limit_of(&m->base.config, MV_LIMIT_DISK, id, name, &rates))
        mv_blk_set_limit(*dev, &rates);
    rc = mv_loop_start(loop, "mv-disk", err);
    if (rc)
        mv_vdev_close(*dev);
    return rc;
}

int hv_slots_add_disk(struct hv_machine *m, const struct mv_disk_config *config,
                      microvm_error *err)
{
    struct mv_loop *loop = NULL;
    struct mv_disk *disk;
    struct mv_vdev *dev;
    char name[MV_DISK_NAME];
    unsigned disks = 0;
    int rc = slots_full(m, err);
    if (rc || (rc = disk_loop_open(&loop, err)))
        return rc;
    for (unsigned i = 0; i < m->slots; i++)
        disks += m->slot[i].disk != NULL;
    (void)mv_config_disk_name(disks, name);
    if ((rc = disk_open(m, config, name, loop, &disk, &dev, err))) {
        disk_loop_close(loop);
        return rc;
    }
    slot_add(m, dev, disk);
    struct hv_slot *slot = &m->slot[m->slots - 1];
    slot->loop = loop;
    (void)snprintf(slot->id, sizeof slot->id, "%s", config->id ? config->id : name);
    (void)snprintf(slot->name, sizeof slot->name, "%s", name);
    return 0;
}

int hv_slots_add_nic(struct hv_machine *m, const struct microvm_nic *nic,
                     microvm_error *err)
{
    struct hv_slot *slot = &m->slot[m->slots];
    int rc = slots_full(m, err);
    if (rc) {
        mv_vdev_close(nic->dev);
        return rc;
    }
    slot_add(m, nic->dev, NULL);
    slot->nic = nic;
    (void)snprintf(slot->id, sizeof slot->id, "%s", nic->id);
    return 0;
}

static bool slot_is(const struct hv_slot *slot, const struct mv_limit_target *target)
{
    if (slot->disk)
        return mv_limit_target_is(target, MV_LIMIT_DISK, slot->id, slot->name);
    return slot->nic && mv_limit_target_is(target, MV_LIMIT_NET, slot->id, NULL);
}

static int slots_find(const struct hv_machine *m, const struct mv_limit_target *target,
                      microvm_error *err)
{
    for (unsigned i = 0; i < m->slots; i++) {
        if (slot_is(&m->slot[i], target))
            return 0;
    }
    const char *kind = target->kind == MV_LIMIT_DISK ? "disk" : "network device";
    if (!target->id[0])
        return mv_fail(err, MICROVM_E_INVALID, "limit: this machine has no %s", kind);
    return mv_fail(err, MICROVM_E_INVALID, "limit: this machine has no %s '%s'", kind,
                   target->id);
}

int hv_slots_set_limit(struct hv_machine *m, const struct mv_limit_target *target,
                       const struct mv_limit_rates *rates, microvm_error *err)
{
    int rc = slots_find(m, target, err);
    for (unsigned i = 0; i < m->slots && !rc && rates; i++) {
        if (!slot_is(&m->slot[i], target))
            continue;
        if (m->slot[i].disk)
            mv_blk_set_limit(m->slot[i].dev, rates);
        else
            mv_net_device_set_limit(m->slot[i].dev, rates);
    }
    return rc;
}

static int slots_add_console(struct hv_machine *m, microvm_error *err)
{
    struct mv_vdev_host host = hv_slots_host(m);
    struct mv_chardev chardev = mv_tty_chardev(&m->tty);
    struct mv_vdev *dev;
    int rc = slots_full(m, err);
    if (rc || (rc = mv_console_open(&host, &chardev, &m->tty.user, &dev, err)))
        return rc;
    m->console = dev;
    mv_tty_hold(&m->tty, true); /* this device says when */
    slot_add(m, dev, NULL);
    return 0;
}

static int slots_add_rng(struct hv_machine *m, microvm_error *err)
{
    struct mv_vdev_host host = hv_slots_host(m);
    struct mv_vdev *dev;
    int rc = slots_full(m, err);
    if (rc || (rc = mv_rng_open(&host, &dev, err)))
        return rc;
    slot_add(m, dev, NULL);
    return 0;
}

static int slots_add_balloon(struct hv_machine *m, microvm_error *err)
{
    struct mv_vdev_host host = hv_slots_host(m);
    struct mv_vdev *dev;
    int rc = slots_full(m, err);
    if (rc || (rc = mv_balloon_open(&host, &dev, err)))
        return rc;
    m->balloon = dev;
    slot_add(m, dev, NULL);
    return 0;
}

int hv_slots_add_vsock(struct hv_machine *m, microvm_error *err)
{
    struct mv_vdev_host host = hv_slots_host(m);
    struct mv_vdev *dev;
    int rc = slots_full(m, err);
    if (rc || (rc = hv_ports_open(m, &host, &dev, err)))
        return rc;
    m->vsock = dev;
    slot_add(m, dev, NULL);
    return 0;
}

/* A general limit may be for devices that are attached later. */
static int slots_check_limits(const struct hv_machine *m, microvm_error *err)
{
    const struct mv_config *config = &m->base.config;
    microvm_error why;
    for (unsigned i = 0; i < config->limits; i++) {
        const struct mv_limit_target *target = &config->limit[i].target;
        if (!slots_find(m, target, &why))
            continue;
        if (target->id[0])
            return mv_fail_again(err, &why);
        mv_log(&m->base.log, MICROVM_LOG_WARNING, "%s", why.message);
    }
    return 0;
}

int hv_slots_open(struct hv_machine *m, microvm_error *err)
{
    const struct mv_config *config = &m->base.config;
    int rc = 0;
    for (unsigned i = 0; i < config->disks && !rc; i++)
        rc = hv_slots_add_disk(m, &config->disk[i], err);
    for (unsigned i = 0; i < config->nets && !rc; i++)
        rc = hv_nics_add(m, &config->net[i], NULL, err);
    if (!rc && config->console == MV_CONSOLE_VIRTIO)
        rc = slots_add_console(m, err);
    if (!rc && config->rng)
        rc = slots_add_rng(m, err);
    if (!rc && config->balloon)
        rc = slots_add_balloon(m, err);
    if (!rc)
        rc = slots_check_limits(m, err);
    if (!rc && config->vsock.on)
        rc = hv_slots_add_vsock(m, err);
    if (rc)
        hv_slots_close(m);
    return rc;
}

static void slots_detach(struct hv_machine *m)
{
    for (unsigned i = m->slots; i-- > 0;) {
        struct hv_slot *slot = &m->slot[i];
        if (slot->attached && m->pci)
            hv_pci_detach(slot);
        else if (slot->attached)
            hv_mmio_detach(slot);
        slot->attached = false;
    }
    if (m->pci)
        hv_pci_close(m);
    m->pci = false;
}

int hv_slots_attach(struct hv_machine *m, bool pci, microvm_error *err)
{
    int rc = pci ? hv_pci_open(m, err) : 0;
    m->pci = pci && !rc;
    for (unsigned i = 0; i < m->slots && !rc; i++) {
        struct hv_slot *slot = &m->slot[i];
        rc = pci ? hv_pci_attach(slot, err) : hv_mmio_attach(slot, err);
        slot->attached = rc == 0;
    }
    if (rc)
        slots_detach(m);
    else
        m->transport = pci ? MV_TRANSPORT_PCI : MV_TRANSPORT_MMIO;
    return rc;
}

void hv_slots_close(struct hv_machine *m)
{
    slots_detach(m);
    while (m->slots > 0) {
        struct hv_slot *slot = &m->slot[--m->slots];
        mv_vdev_close(slot->dev);
        disk_loop_close(slot->loop);
    }
    hv_ports_close(m);
    m->nics = 0;
}

void hv_slots_sleep(struct hv_machine *m)
{
    for (unsigned i = 0; i < m->slots; i++)
        mv_vdev_sleep(m->slot[i].dev);
}

void hv_slots_wake(struct hv_machine *m)
{
    for (unsigned i = 0; i < m->slots; i++)
        mv_vdev_wake(m->slot[i].dev); /* one that fails here says so itself */
}

void hv_slots_stats(struct hv_machine *m, microvm_stats *out)
{
    for (unsigned i = 0; i < m->slots; i++) {
        const struct hv_slot *slot = &m->slot[i];
        out->irqs += slot->dev->signals;
        out->doorbells += slot->dev->kicks;
        if (slot->disk) {
            out->disk_read_bytes += slot->disk->read_bytes;
            out->disk_write_bytes += slot->disk->write_bytes;
            out->disk_requests += slot->disk->requests;
        }
        if (slot->dev == m->balloon)
            out->balloon_bytes = mv_balloon_bytes(slot->dev);
        if (slot->dev == m->vsock)
            mv_vsock_counts(slot->dev, &out->vsock_connections, &out->vsock_out_bytes,
                            &out->vsock_in_bytes);
    }
    hv_nics_stats(m, out);
}
