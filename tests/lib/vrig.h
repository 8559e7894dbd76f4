/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a virtio device needs to live in a test, without a VM: a loop without a thread,
 * guest memory in two regions, the MMIO transport, an interrupt line that counts, and a
 * driver (vdriver.h) on the other side. Also for fuzz targets, so without cmocka.
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

enum {
    VRIG_LOW_BYTES = 8 << 20,  /* [0, 8 MiB), whose second half the driver uses */
    VRIG_HIGH_BYTES = 1 << 20, /* [4 GiB, 4 GiB + 1 MiB) */
};
#define VRIG_HIGH 0x100000000ull

struct vrig {
    struct mv_loop loop;
    struct mv_ram ram;
    struct mv_log log;
    struct mv_vdev_host host;
    struct mv_vdev *dev;
    struct mv_vmmio mmio;
    struct vdriver driver;
    _Atomic unsigned pulses; /* of the interrupt line */
    unsigned failures;       /* the device said that the guest broke it */
    char why[128];           /* and why */
};

void vrig_open(struct vrig *rig);
/* The rig closes the device. At most one at a time. */
void vrig_attach(struct vrig *rig, struct mv_vdev *dev);
void vrig_detach(struct vrig *rig);
void vrig_close(struct vrig *rig);

/* Lets the loop do what is to be done now. */
void vrig_turn(struct vrig *rig);
/* The same until `head`'s chain, the next used one, is back; false after two seconds.
 */
bool vrig_wait_used(struct vrig *rig, unsigned q, uint16_t *head, uint32_t *written);
/* Guest memory, which must be there. */
uint8_t *vrig_at(struct vrig *rig, uint64_t gpa, uint64_t length);

#endif
