/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The PCI transport (virtio 1.2, 4.1), modern only: registers in one 64-bit memory BAR,
 * one MSI-X vector for each queue (or one for all: mv_vdev_class.together) and one for
 * the configuration, pin A for drivers without MSI-X. A guest may access them at every
 * width and offset; what the specification does not allow reads as zero and writes
 * nothing.
 *
 * The device is held (mv_vdev_hold) while its function is no bus master: it touches no
 * guest memory, and messages wait in the pending bits.
 *
 * Deliberately absent: legacy registers (revision 0, I/O BAR), VIRTIO_F_RING_RESET,
 * VIRTIO_F_NOTIFICATION_DATA, shared memory regions.
 */
#ifndef MV_VIRTIO_VPCI_H
#define MV_VIRTIO_VPCI_H

#include "pci/msix.h"
#include "pci/pci.h"
#include "virtio/vdev.h"
#include "virtio/vfeatures.h"

/* BAR 0: each part in pages of its own. */
enum {
    MV_VPCI_COMMON = 0x0000,
    MV_VPCI_ISR = 0x1000,
    MV_VPCI_DEVICE = 0x2000,
    MV_VPCI_NOTIFY = 0x3000,
    MV_VPCI_TABLE = 0x4000,
    MV_VPCI_PENDING = 0x6000,
    MV_VPCI_BAR_SIZE = 0x8000,
    MV_VPCI_NOTIFY_STEP = 4, /* notify_off_multiplier: queue q rings at NOTIFY + 4 q */
    MV_VPCI_VENDOR = 0x1af4,
    MV_VPCI_DEVICE_ID = 0x1040 /* and the device type's number */
};

enum { MV_VPCI_STATE_VERSION = 1 }; /* also of the function and its MSI-X */

/* What the machine gives. */
struct mv_vpci_host {
    /* The guest's writes at `gpa`, of any width and value, shall ring the bell of queue
     * q without coming up; false: they come up, and the transport rings. NULL: always.
     * unbind undoes it. On a vCPU's thread; they may wait, but not for the loop or a
     * vCPU. */
    bool (*bind)(void *ctx, unsigned q, uint64_t gpa);
    void (*unbind)(void *ctx, unsigned q, uint64_t gpa);
    void *ctx;
    /* Messages: vector 0 to mv_vpci_vectors - 1. */
    struct mv_msix_host message;
};

struct mv_vpci {
    struct mv_vdev *dev;
    struct mv_vpci_host host;
    struct mv_pci_function function;
    struct mv_msix msix;
    unsigned msix_at, window_at; /* capabilities in configuration space */
    uint64_t gpa;                /* of BAR 0, for bells */
    uint32_t bound;              /* bit per queue: its bell is */

    /* Registers but for interrupts, notification and configuration: two vCPUs may come
     * at once. Held while a status write waits for the loop, so the loop never takes
     * it. */
    uv_mutex_t lock;
    struct mv_vfeatures features;
    uint16_t queue_select;

    uv_mutex_t irq_lock;   /* a leaf, but for msix and pin */
    uint8_t isr, isr_told; /* told: bits of isr that came while MSI-X was on */
    uint16_t config_vector, queue_vector[MV_VDEV_QUEUES_MAX];
};

/* How many vectors the device's function has. */
unsigned mv_vpci_vectors(const struct mv_vdev *dev);
/* Takes the device (not its ownership) and puts it into `slot`, 1 to 31. */
int mv_vpci_open(struct mv_vpci *vpci, struct mv_vdev *dev, struct mv_pci_root *root,
                 unsigned slot, const struct mv_vpci_host *host, microvm_error *err);
/* Unbinds bells, takes the function out of its slot. Before the device is closed, while
 * no vCPU runs. Accepts one that is zeroed or closed. */
void mv_vpci_close(struct mv_vpci *vpci);

/* Both while the device is not LIVE; with what the function and its MSI-X
 * hold. Load comes after the
 * interrupt controller's: it sends what was pending and may be sent, and asserts the
 * pin again. A transport whose load failed is to be closed. */
void mv_vpci_save(struct mv_vpci *vpci, struct mv_writer *w);
int mv_vpci_load(struct mv_vpci *vpci, struct mv_reader *r, microvm_error *err);

#endif
