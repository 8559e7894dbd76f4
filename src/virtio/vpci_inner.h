/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the two files of the PCI transport share: vpci_bar.c is BAR 0 and the
 * interrupts, vpci.c the rest.
 */
#ifndef MV_VIRTIO_VPCI_INNER_H
#define MV_VIRTIO_VPCI_INNER_H

#include "virtio/vpci.h"

enum {
    MV_VPCI_COMMON_SIZE = 0x38, /* up to queue_device */
    MV_VPCI_DEVICE_SIZE = 0x1000,
    MV_VPCI_NOTIFY_SIZE = 0x1000,
    MV_VPCI_NO_VECTOR = 0xffff, /* VIRTIO_MSI_NO_VECTOR */
    MV_VPCI_ISR_QUEUE = 1,
    MV_VPCI_ISR_CONFIG = 2,
    MV_VPCI_ISR_ALL = 3,
    MV_VPCI_ISR_TOLD = 2 /* where isr_told begins in the saved byte */
};

extern const struct mv_bus_ops mv_vpci_bar; /* chip: struct mv_vpci */

/* The transport's end of the device. Any thread. */
void mv_vpci_signal(void *transport, uint32_t queues);
void mv_vpci_config_changed(void *transport);

/* The registers, as the device's reset leaves them. Under lock, or while no vCPU runs.
 */
void mv_vpci_reset(struct mv_vpci *vpci);

/* The MSI-X capability or the command register says something else, or the ISR register
 * was loaded. */
void mv_vpci_update_msix(struct mv_vpci *vpci);
bool mv_vpci_is_master(const struct mv_vpci *vpci);

#endif
