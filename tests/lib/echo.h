/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The plainest virtio device there can be: it returns what it is given. For tests and
 * fuzz targets of transports.
 */
#ifndef TESTS_LIB_ECHO_H
#define TESTS_LIB_ECHO_H

#include "util/assert.h"
#include "virtio/vdev.h"

static inline bool echo_serve(struct mv_vdev *dev, unsigned q,
                              const struct mv_chain *chain)
{
    mv_vq_push(&dev->vq[q], chain->head, chain->write_bytes);
    return true;
}

static inline void echo_kick(struct mv_vdev *dev, unsigned q)
{
    mv_vdev_serve(dev, q, echo_serve);
}

static const struct mv_vdev_class echo_class = {
    .name = "echo",
    .id = 42,
    .queues = 2,
    .queue_size = 16,
    .config_size = 16,
    .writable_offset = 4,
    .writable_size = 8,
    .state_version = 1,
    .kick = echo_kick,
};

static inline struct mv_vdev *echo_open(const struct mv_vdev_host *host)
{
    struct mv_vdev *dev = NULL;
    int rc = mv_vdev_open(&echo_class, sizeof *dev, NULL, host, &dev, NULL);
    MV_ASSERT(rc == 0);
    return dev;
}

#endif
