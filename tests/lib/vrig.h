/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a virtio device needs to live in a test, without a VM: a loop without a thread,
 * guest memory in two regions, a transport, interrupts that count, and a driver
 * (vdriver.h) on the other side. Also for fuzz targets, so without cmocka.
 *
 *     vrig_open(&rig);
 *     mv_rng_open(&rig.host, &dev, &err);
 *     vrig_attach(&rig, dev);
 *     vdriver_start(&rig.driver, ~0ull);
 *     ...vrig_turn(&rig)...
 *     vrig_close(&rig);
 */
#ifndef TESTS_LIB_VRIG_H
#define TESTS_LIB_VRIG_H

#include "vdriver.h"

#include "virtio/vmmio.h"
#include "virtio/vpci.h"

enum {
    VRIG_LOW_BYTES = 8 << 20,  /* [0, 8 MiB), whose second half the driver uses */
    VRIG_HIGH_BYTES = 1 << 20, /* [4 GiB, 4 GiB + 1 MiB) */
};
#define VRIG_HIGH 0x100000000ull

/* How device and driver come together; PCI with messages or with pin A. */
enum vrig_transport { VRIG_MMIO, VRIG_PCI, VRIG_PCI_PIN, VRIG_TRANSPORTS };
extern const char *const vrig_transport_name[VRIG_TRANSPORTS];

enum { VRIG_SLOT = 3 }; /* of the PCI bus */
#define VRIG_WINDOW      0xc0000000ull
#define VRIG_WINDOW_SIZE 0x1000000ull
#define VRIG_ECAM        0xe0000000ull

struct vrig {
    enum vrig_transport transport;
    struct mv_loop loop;
    struct mv_ram ram;
    struct mv_log log;
    struct mv_vdev_host host;
    struct mv_vdev *dev;
    struct mv_vmmio mmio;
    struct mv_vpci pci;
    struct mv_vpci_host pci_host; /* the rig's, until a test has its own */
    struct mv_pci_root root;
    struct mv_bus memory, ports; /* what the root is on */
    struct vdriver driver;
    _Atomic unsigned pulses;   /* edges of the line, rises of the pin, messages */
    _Atomic uint32_t messages; /* bit per vector, until the driver takes them */
    _Atomic bool pin;          /* asserted */
    unsigned failures;         /* the device said that the guest broke it */
    char why[128];             /* and why */
};

void vrig_open(struct vrig *rig); /* VRIG_MMIO */
void vrig_open_on(struct vrig *rig, enum vrig_transport transport);
/* The rig closes the device. At most one at a time. */
void vrig_attach(struct vrig *rig, struct mv_vdev *dev);
/* The same for a driver that is there already, and thinks that it has the device that
 * was detached. */
void vrig_replace(struct vrig *rig, struct mv_vdev *dev);
void vrig_detach(struct vrig *rig);
void vrig_close(struct vrig *rig);

/* Device and transport. */
void vrig_save(struct vrig *rig, struct mv_writer *w);
int vrig_load(struct vrig *rig, struct mv_reader *r, microvm_error *err);

/* Lets the loop do what is to be done now. */
void vrig_turn(struct vrig *rig);
/* The same until `head`'s chain, the next used one, is back; false after two seconds.
 */
bool vrig_wait_used(struct vrig *rig, unsigned q, uint16_t *head, uint32_t *written);
/* Guest memory, which must be there. */
uint8_t *vrig_at(struct vrig *rig, uint64_t gpa, uint64_t length);

#endif
