/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A device's surroundings without a VM.
 */
#include "vrig.h"

#include "util/assert.h"
#include "util/bytes.h"

#include <stdio.h>

static void rig_set(void *controller, unsigned line, bool level)
{
    (void)controller;
    (void)line;
    (void)level;
    MV_ASSERT(false && "devices pulse");
}

static void rig_pulse(void *controller, unsigned line)
{
    struct vrig *rig = controller;
    (void)line;
    rig->pulses++;
}

static void rig_failed(void *ctx, const char *text)
{
    struct vrig *rig = ctx;
    rig->failures++;
    (void)snprintf(rig->why, sizeof rig->why, "%s", text);
}

void vrig_open(struct vrig *rig)
{
    *rig = (struct vrig){.failures = 0};
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
}

void vrig_attach(struct vrig *rig, struct mv_vdev *dev)
{
    struct mv_irq irq = {
        .set = rig_set, .pulse = rig_pulse, .controller = rig, .line = 5};
    MV_ASSERT(!rig->dev && dev);
    int rc = mv_vmmio_open(&rig->mmio, dev, &irq, NULL);
    MV_ASSERT(rc == 0);
    rig->dev = dev;
    rig->driver = (struct vdriver){.bus = &mv_vmmio_bus, .chip = &rig->mmio};
    rig->driver.heap =
        (struct vdriver_heap){&rig->ram, VRIG_LOW_BYTES / 2, VRIG_LOW_BYTES};
}

static void rig_detach(void *arg)
{
    struct vrig *rig = arg;
    mv_vmmio_close(&rig->mmio);
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
    mv_loop_close(&rig->loop);
    mv_ram_close(&rig->ram);
}

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
