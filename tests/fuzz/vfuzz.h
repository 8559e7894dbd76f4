/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A hostile virtio driver, driven by a fuzzer's input: it starts the device as any
 * driver does, so that every input reaches live queues, and then mixes good requests
 * with descriptors, indexes, pokes into rings and register accesses as the input says.
 * For targets of device types, which add what their other end does.
 */
#ifndef TESTS_FUZZ_VFUZZ_H
#define TESTS_FUZZ_VFUZZ_H

#include "fuzz.h"

#include "vrig.h"

enum {
    VFUZZ_DATA = 0x10000, /* gpa of 64 KiB that good requests use */
    VFUZZ_STEPS_MAX = 400 /* of one input: bounds the time it takes */
};

/* The one of a target's rigs, zeroed at first, that an input of this length is for: so
 * every corpus is spread over all transports. Opens it, without a device, if need be.
 */
struct vrig *vfuzz_rig(struct vrig rigs[VRIG_TRANSPORTS], size_t length);
/* Takes the device back, whatever has become of its registers, and resets it. */
void vfuzz_reset(struct vrig *rig);
/* The same, and starts it; what the fuzzer may begin with. */
void vfuzz_start(struct vrig *rig, uint64_t features);
/* Where fewer than n descriptors are free all are, whatever the device still has: what
 * it gave back is not to be read in a ring that has been poked into. */
void vfuzz_make_room(struct vdriver_queue *vq, unsigned n);
/* One thing that the driver does, taken from the input. */
void vfuzz_step(struct vrig *rig, struct fuzz *in);

#endif
