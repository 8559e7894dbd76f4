/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The machine's virtio devices. Each gets a slot: a page of address space, an
 * interrupt line, bells for its queues bound to the hypervisor. Slots are filled before
 * the guest starts and keep their place, so that addresses depend on the configuration
 * alone.
 */
#include "machine/hv/hv_machine.h"

#include "backing/disk.h"

#include <stdio.h>
#include <stdlib.h>

/* The lines of the devices. Without ACPI Linux knows only the 16 ISA lines, so these
 * come first; 0 to 4, 8 (RTC) and 9 (power) are taken, 13 is the FPU's on old PCs. */
static const uint8_t slot_gsi[MV_SLOTS_MAX] = {5,  6,  7,  10, 11, 12, 14, 15,
                                               16, 17, 18, 19, 20, 21, 22, 23};

/* An edge by eventfd where the hypervisor reads it, else by the line. */
static void slot_pulse(void *controller, unsigned line)
{
    struct hv_slot *slot = controller;
    (void)line;
    mv_notify_signal(&slot->irq);
}

static struct mv_irq slot_irq(struct hv_machine *m, struct hv_slot *slot)
{
    struct mv_irq irq = hv_board_irq(m, slot->gsi);
    if (m->rung != MV_RUNG_FULL || !m->hv->irq_bind || mv_notify_open(&slot->irq, NULL))
        return irq;
    if (m->hv->irq_bind(m->vm, slot->gsi, slot->irq.handle, NULL)) {
        mv_notify_close(&slot->irq);
        return irq;
    }
    irq.controller = slot;
    irq.pulse = slot_pulse;
    return irq;
}

static void slot_unbind_bells(struct hv_machine *m, struct hv_slot *slot,
                              unsigned bells)
{
    for (unsigned q = 0; q < bells && m->hv->bell_unbind; q++)
        (void)m->hv->bell_unbind(m->vm, slot->base + MV_VMMIO_QUEUE_NOTIFY, 4, q,
                                 &slot->dev->bell[q], NULL);
}

/* Without bells the transport rings them itself. */
static int slot_bind_bells(struct hv_machine *m, struct hv_slot *slot,
                           microvm_error *err)
{
    if (!m->hv->bell_bind)
        return 0;
    for (unsigned q = 0; q < slot->dev->queues; q++) {
        int rc = m->hv->bell_bind(m->vm, slot->base + MV_VMMIO_QUEUE_NOTIFY, 4, q,
                                  &slot->dev->bell[q], err);
        if (rc) {
            slot_unbind_bells(m, slot, q);
            return rc;
        }
    }
    return 0;
}

/* Takes the device, also when it fails. */
static int slot_add(struct hv_machine *m, struct mv_vdev *dev, struct mv_disk *disk,
                    microvm_error *err)
{
    struct hv_slot *slot = &m->slot[m->slots];
    *slot = (struct hv_slot){.dev = dev,
                             .disk = disk,
                             .base = MV_X86_VIRTIO + m->slots * (uint64_t)MV_VMMIO_SIZE,
                             .irq = MV_NOTIFY_CLOSED,
                             .gsi = slot_gsi[m->slots]};
    struct mv_irq irq = slot_irq(m, slot);
    int rc = mv_vmmio_open(&slot->mmio, dev, &irq, err);
    if (rc)
        goto fail_irq;
    if ((rc = slot_bind_bells(m, slot, err)))
        goto fail_mmio;
    rc = mv_bus_add(&m->mmio, slot->base, MV_VMMIO_SIZE, &mv_vmmio_bus, &slot->mmio,
                    err);
    if (rc)
        goto fail_bells;
    m->slots++; /* from here on hv_slots_close undoes it */
    return 0;

fail_bells:
    slot_unbind_bells(m, slot, dev->queues);
fail_mmio:
    mv_vmmio_close(&slot->mmio);
fail_irq:
    mv_notify_close(&slot->irq);
    mv_vdev_close(dev);
    return rc;
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
                     const char *id, struct mv_loop *loop, struct mv_disk **disk,
                     struct mv_vdev **dev, microvm_error *err)
{
    struct mv_vdev_host host = hv_slots_host(m);
    struct mv_limit_rates rates;
    host.loop = loop;
    int rc = mv_disk_open(config, loop, &m->base.log, disk, err);
    if (!rc)
        rc = mv_blk_open(&host, *disk, id, m->base.config.cpus, dev, err);
    if (rc)
        return rc;
    if (mv_config_limit_of(&m->base.config, MV_LIMIT_DISK, id, &rates))
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
    char letter[4] = "vda";
    int rc = slots_full(m, err);
    if (rc || (rc = disk_loop_open(&loop, err)))
        return rc;
    for (unsigned i = 0; i < m->slots; i++)
        letter[2] = (char)(letter[2] + (m->slot[i].disk ? 1 : 0));
    const char *id = config->id ? config->id : letter;
    rc = disk_open(m, config, id, loop, &disk, &dev, err);
    struct hv_slot *slot = &m->slot[m->slots];
    if (rc || (rc = slot_add(m, dev, disk, err))) {
        disk_loop_close(loop);
        return rc;
    }
    slot->loop = loop;
    (void)snprintf(slot->id, sizeof slot->id, "%s", id);
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
    if ((rc = slot_add(m, nic->dev, NULL, err)))
        return rc;
    slot->nic = nic;
    (void)snprintf(slot->id, sizeof slot->id, "%s", nic->id);
    return 0;
}

static bool slot_is(const struct hv_slot *slot, const struct mv_limit_target *target)
{
    if (slot->disk)
        return mv_limit_target_is(target, MV_LIMIT_DISK, slot->id);
    return slot->nic && mv_limit_target_is(target, MV_LIMIT_NET, slot->id);
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
    for (unsigned i = 0; i < m->slots && !rc; i++) {
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
    return slot_add(m, dev, NULL, err);
}

static int slots_add_rng(struct hv_machine *m, microvm_error *err)
{
    struct mv_vdev_host host = hv_slots_host(m);
    struct mv_vdev *dev;
    int rc = slots_full(m, err);
    if (rc || (rc = mv_rng_open(&host, &dev, err)))
        return rc;
    return slot_add(m, dev, NULL, err);
}

static int slots_add_balloon(struct hv_machine *m, microvm_error *err)
{
    struct mv_vdev_host host = hv_slots_host(m);
    struct mv_vdev *dev;
    int rc = slots_full(m, err);
    if (rc || (rc = mv_balloon_open(&host, &dev, err)))
        return rc;
    m->balloon = dev;
    return slot_add(m, dev, NULL, err);
}

int hv_slots_add_vsock(struct hv_machine *m, microvm_error *err)
{
    struct mv_vdev_host host = hv_slots_host(m);
    struct mv_vdev *dev;
    int rc = slots_full(m, err);
    if (rc || (rc = hv_ports_open(m, &host, &dev, err)))
        return rc;
    m->vsock = dev;
    rc = slot_add(m, dev, NULL, err);
    if (rc)
        hv_ports_close(m);
    return rc;
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
    /* A general limit may be for devices that are attached later. */
    for (unsigned i = 0; i < config->limits && !rc; i++) {
        const struct mv_limit_target *target = &config->limit[i].target;
        if (target->id[0])
            rc = slots_find(m, target, err);
    }
    if (!rc && config->vsock.on)
        rc = hv_slots_add_vsock(m, err);
    if (rc)
        hv_slots_close(m);
    return rc;
}

void hv_slots_close(struct hv_machine *m)
{
    while (m->slots > 0) {
        struct hv_slot *slot = &m->slot[--m->slots];
        mv_vmmio_close(&slot->mmio);
        mv_vdev_close(slot->dev);
        disk_loop_close(slot->loop);
        mv_notify_close(&slot->irq);
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
        (void)mv_vdev_wake(
            m->slot[i].dev); /* a device that fails here says so itself */
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
