/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The MMIO transport (virtio 1.2, 4.2): only registers, translated to vdev.h. A guest
 * may access them at every width and offset; what the specification does not allow
 * reads as zero and writes nothing.
 *
 * Deliberately absent: legacy registers (version 1), VIRTIO_F_RING_RESET (QueueReset),
 * shared memory regions, VIRTIO_F_NOTIFICATION_DATA.
 */
#ifndef MV_VIRTIO_VMMIO_H
#define MV_VIRTIO_VMMIO_H

#include "core/bus.h"
#include "core/irq.h"
#include "os/notify.h"
#include "virtio/vdev.h"
#include "virtio/vfeatures.h"

enum {
    MV_VMMIO_SIZE = 0x1000,         /* address space of one device */
    MV_VMMIO_QUEUE_NOTIFY = 0x050,  /* where bells are bound: value = queue index */
    MV_VMMIO_INTERRUPT_ACK = 0x064, /* and `acked`, to a write of */
    MV_VMMIO_ACK_USED = 1,
    MV_VMMIO_STATE_VERSION = 1
};

struct mv_vmmio {
    struct mv_vdev *dev;
    struct mv_irq irq;
    /* All registers but interrupt_status, the notification and the configuration: two
     * vCPUs may come at once. Held while a status write waits for the loop, so the loop
     * never takes it. */
    uv_mutex_t lock;
    struct mv_vfeatures features;
    uint32_t queue_sel;
    /* InterruptStatus (4.2.2.2), and above it the bits set since it was last read. */
    _Atomic uint32_t interrupts;
    /* Signalled by the hypervisor instead of a write of ACK_USED to INTERRUPT_ACK, when
     * the machine has opened it and bound it so. The register's reader comes after. */
    struct mv_notify acked;
};

extern const struct mv_bus_ops mv_vmmio_bus; /* chip: struct mv_vmmio */

/* Takes the device (not its ownership) and stands between it and the bus. */
int mv_vmmio_open(struct mv_vmmio *mmio, struct mv_vdev *dev, const struct mv_irq *irq,
                  microvm_error *err);
void mv_vmmio_close(struct mv_vmmio *mmio);

/* Both while the device is not LIVE. Load comes after the interrupt controller's: it
 * repeats an interrupt that was not acknowledged, in case its edge was lost. */
void mv_vmmio_save(struct mv_vmmio *mmio, struct mv_writer *w);
int mv_vmmio_load(struct mv_vmmio *mmio, struct mv_reader *r, microvm_error *err);

#endif
