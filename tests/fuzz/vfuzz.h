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

/* Resets the device and starts it; what the fuzzer may begin with. */
void vfuzz_start(struct vrig *rig, uint64_t features);
/* One thing that the driver does, taken from the input. */
void vfuzz_step(struct vrig *rig, struct fuzz *in);

#endif
