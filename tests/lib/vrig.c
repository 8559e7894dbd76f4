/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A device's surroundings without a VM.
 */
#include "vrig.h"

#include "util/assert.h"
#include "util/bytes.h"

#include <stdio.h>

const char *const vrig_transport_name[VRIG_TRANSPORTS] = {"mmio", "pci",
                                                          "pci with its pin"};

/* -- interrupts -- */

static void rig_set(void *controller, unsigned line, bool level)
{
    struct vrig *rig = controller;
    MV_ASSERT(rig->transport != VRIG_MMIO && line == VRIG_SLOT % MV_PCI_LINES);
    MV_ASSERT(rig->pin != level);
    rig->pin = level;
    rig->pulses += level;
}

static void rig_pulse(void *controller, unsigned line)
{
    struct vrig *rig = controller;
    MV_ASSERT(rig->transport == VRIG_MMIO && line == 5);
    rig->pulses++;
}

static void rig_send(void *ctx, unsigned vector, uint64_t address, uint32_t data)
{
    struct vrig *rig = ctx;
    MV_ASSERT(rig->transport != VRIG_MMIO && vector < VDRIVER_VECTORS);
    (void)address;
    (void)data;
    rig->pulses++;
    rig->messages |= 1u << vector;
}

static void rig_failed(void *ctx, const char *text)
{
    struct vrig *rig = ctx;
    rig->failures++;
    (void)snprintf(rig->why, sizeof rig->why, "%s", text);
}

/* -- opening -- */

static void rig_open_root(struct vrig *rig)
{
    struct mv_pci_board board = {
        .low = {VRIG_WINDOW, VRIG_WINDOW_SIZE},
        .space = {{VRIG_WINDOW, VRIG_WINDOW_SIZE}},
        .ecam_base = VRIG_ECAM,
    };
    for (unsigned line = 0; line < MV_PCI_LINES; line++)
        board.line[line] = (struct mv_irq){rig_set, rig_pulse, rig, line};
    int rc = mv_pci_open(&rig->root, &board, NULL);
    MV_ASSERT(rc == 0);
    rc = mv_pci_attach(&rig->root, &rig->memory, &rig->ports, NULL);
    MV_ASSERT(rc == 0);
}

void vrig_open_on(struct vrig *rig, enum vrig_transport transport)
{
    *rig = (struct vrig){.transport = transport};
    int rc = mv_loop_open(&rig->loop, NULL);
    MV_ASSERT(rc == 0);
    rc = mv_ram_open(&rig->ram, (uint64_t)VRIG_LOW_BYTES + VRIG_HIGH_BYTES,
                     VRIG_LOW_BYTES, VRIG_HIGH, 0, NULL);
    MV_ASSERT(rc == 0);
    rig->host = (struct mv_vdev_host){.loop = &rig->loop,
                                      .ram = &rig->ram,
                                      .log = &rig->log,
                                      .failed = rig_failed,
                                      .ctx = rig};
    rig->pci_host.message = (struct mv_msix_host){.send = rig_send, .ctx = rig};
    if (transport != VRIG_MMIO)
        rig_open_root(rig);
}

void vrig_open(struct vrig *rig)
{
    vrig_open_on(rig, VRIG_MMIO);
}

/* -- the device -- */

void vrig_replace(struct vrig *rig, struct mv_vdev *dev)
{
    struct mv_irq irq = {
        .set = rig_set, .pulse = rig_pulse, .controller = rig, .line = 5};
    MV_ASSERT(!rig->dev && dev);
    int rc =
        rig->transport == VRIG_MMIO
            ? mv_vmmio_open(&rig->mmio, dev, &irq, NULL)
            : mv_vpci_open(&rig->pci, dev, &rig->root, VRIG_SLOT, &rig->pci_host, NULL);
    MV_ASSERT(rc == 0);
    rig->dev = dev;
}

void vrig_attach(struct vrig *rig, struct mv_vdev *dev)
{
    struct vdriver *d = &rig->driver;
    vrig_replace(rig, dev);
    *d = (struct vdriver){
        .transport = &vdriver_mmio, .bus = &mv_vmmio_bus, .chip = &rig->mmio};
    d->heap = (struct vdriver_heap){&rig->ram, VRIG_LOW_BYTES / 2, VRIG_LOW_BYTES};
    if (rig->transport == VRIG_MMIO)
        return;
    d->transport = &vdriver_pci;
    d->pci.host = (struct pcidriver){&rig->memory, &rig->ports, VRIG_ECAM,
                                     rig->transport == VRIG_PCI_PIN};
    d->pci.slot = VRIG_SLOT;
    d->pci.msix = rig->transport == VRIG_PCI;
    d->pci.messages = &rig->messages;
    vdriver_pci_probe(d);
}

static void rig_detach(void *arg)
{
    struct vrig *rig = arg;
    mv_vmmio_close(&rig->mmio);
    mv_vpci_close(&rig->pci);
    mv_vdev_close(rig->dev);
    rig->dev = NULL;
}

void vrig_detach(struct vrig *rig)
{
    mv_loop_run(&rig->loop, rig_detach, rig);
}

void vrig_close(struct vrig *rig)
{
    if (rig->dev)
        vrig_detach(rig);
    if (rig->transport != VRIG_MMIO)
        mv_pci_close(&rig->root);
    mv_loop_close(&rig->loop);
    mv_ram_close(&rig->ram);
}

void vrig_save(struct vrig *rig, struct mv_writer *w)
{
    mv_vdev_save(rig->dev, w);
    if (rig->transport == VRIG_MMIO)
        mv_vmmio_save(&rig->mmio, w);
    else
        mv_vpci_save(&rig->pci, w);
}

int vrig_load(struct vrig *rig, struct mv_reader *r, microvm_error *err)
{
    int rc = mv_vdev_load(rig->dev, r, err);
    if (rc)
        return rc;
    return rig->transport == VRIG_MMIO ? mv_vmmio_load(&rig->mmio, r, err)
                                       : mv_vpci_load(&rig->pci, r, err);
}

/* -- time and memory -- */

/* A bell that is rung while others are heard is heard in the next turn. */
void vrig_turn(struct vrig *rig)
{
    for (unsigned i = 0; i < 4; i++)
        mv_loop_turn(&rig->loop);
}

bool vrig_wait_used(struct vrig *rig, unsigned q, uint16_t *head, uint32_t *written)
{
    uint64_t end = uv_hrtime() + 2000000000u;
    while (!vdriver_reap(&rig->driver.queue[q], head, written)) {
        if (uv_hrtime() > end)
            return false;
        mv_loop_turn(&rig->loop);
        if (vdriver_reap(&rig->driver.queue[q], head, written))
            return true;
        uv_sleep(1);
    }
    return true;
}

uint8_t *vrig_at(struct vrig *rig, uint64_t gpa, uint64_t length)
{
    uint8_t *p = mv_ram_at(&rig->ram, gpa, length);
    MV_ASSERT(p);
    return p;
}
