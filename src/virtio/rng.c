/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Entropy device, virtio 1.2, 5.4: one queue, whose buffers are filled with bytes from
 * the host's random source, straight into guest memory. No configuration, no features,
 * no state: the shortest device there is, and the one to copy the next from.
 */
#include "util/bytes.h"
#include "virtio/devices.h"

enum {
    RNG_ID = 4,
    RNG_QUEUE_SIZE = 64, /* Linux has one request under way */
    /* Of one request: enough for any seed, and a full queue keeps the loop for less
     * than a millisecond. 5.4.6: the device may give fewer bytes than asked for. */
    RNG_BYTES_MAX = 4096
};

static bool rng_serve(struct mv_vdev *dev, unsigned q, const struct mv_chain *chain)
{
    const struct mv_span *span = chain->span + chain->readable;
    uint32_t written = 0;
    for (unsigned i = 0; i < chain->writable && written < RNG_BYTES_MAX; i++) {
        size_t n = MV_MIN(span[i].length, (size_t)RNG_BYTES_MAX - written);
        if (uv_random(NULL, NULL, span[i].base, n, 0, NULL)) {
            mv_vdev_fail(dev, "the host has no random bytes");
            return false;
        }
        written += (uint32_t)n;
    }
    mv_vq_push(&dev->vq[q], chain->head, written);
    return true;
}

static void rng_kick(struct mv_vdev *dev, unsigned q)
{
    mv_vdev_serve(dev, q, rng_serve);
}

static const struct mv_vdev_class rng_class = {
    .name = "virtio-rng",
    .id = RNG_ID,
    .queues = 1,
    .queue_size = RNG_QUEUE_SIZE,
    .state_version = 1,
    .kick = rng_kick,
};

int mv_rng_open(const struct mv_vdev_host *host, struct mv_vdev **out,
                microvm_error *err)
{
    return mv_vdev_open(&rng_class, sizeof(struct mv_vdev), NULL, host, out, err);
}
