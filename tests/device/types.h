/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The device types as the life-cycle cases see them. A new type is one row of the table
 * in types.c, and every case runs for it.
 */
#ifndef TESTS_DEVICE_TYPES_H
#define TESTS_DEVICE_TYPES_H

#include "vrig.h"

struct device_type {
    const char *name;
    uint32_t id, queues, config_bytes;
    uint32_t writable_offset, writable_bytes; /* of the configuration, by the driver */
    uint64_t features; /* offered besides VERSION_1, INDIRECT_DESC and EVENT_IDX */
    int (*open)(struct vrig *rig, struct mv_vdev **out, microvm_error *err);
    /* A request that the device answers without anything else happening: the queue it
     * goes to, and its buffers, at most 4, filled in at `gpa` (64 KiB there are free).
     * Returns their number. */
    unsigned request_queue;
    unsigned (*request)(struct vrig *rig, uint64_t gpa, struct vdriver_buffer *buffer);
    unsigned vectors; /* MSI-X; 0: one for each queue and one for the configuration */
};

extern const struct device_type device_types[];
extern const unsigned device_type_count;

#endif
