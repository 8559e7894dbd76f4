/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Block device, virtio 1.2, 5.2: its shape, its life, its limit. Its requests are
 * blk_request.c's. One thread serves all queues; several of them let a guest's CPUs put
 * requests in without waiting for each other.
 *
 * Nothing is in flight once stop returns, so the state is the queues', which
 * mv_vdev_save has. What the limit holds back stays in its queue, so stop does not wait
 * for that, and a save has it.
 *
 * Absent on purpose: lifetime and zoned commands, secure erase (no file can promise
 * it), packed rings. The logical block is always 512 bytes, whatever
 * the host's disk has: an image must not depend on where it lies.
 */
#include "virtio/blk.h"

/* Offsets in the configuration space, 5.2.4. */
enum {
    CONFIG_CAPACITY = 0,
    CONFIG_SEG_MAX = 12,
    CONFIG_BLK_SIZE = 20,
    CONFIG_PHYSICAL_EXPONENT = 24,
    CONFIG_MIN_IO = 26,
    CONFIG_QUEUES = 34,
    CONFIG_DISCARD_SECTORS = 36,
    CONFIG_DISCARD_RANGES = 40,
    CONFIG_DISCARD_ALIGNMENT = 44,
    CONFIG_ZEROES_SECTORS = 48,
    CONFIG_ZEROES_RANGES = 52,
    CONFIG_ZEROES_MAY_UNMAP = 56,
    CONFIG_BYTES = 60
};

enum { BLK_ID = 2 };

/* While some wait for the limit the queue's turn comes with theirs: what has gathered
 * in the bucket since is not for whoever rings. */
static void blk_kick(struct mv_vdev *dev, unsigned q)
{
    if (uv_is_active((uv_handle_t *)&dev->timer))
        return;
    mv_vdev_serve(dev, q, blk_serve);
}

static void blk_commit(struct mv_vdev *dev)
{
    struct blk *blk = blk_of(dev);
    blk->disk->ops->commit(blk->disk);
}

/* Everything in flight is completed and pushed, also for a reset: the driver's memory
 * is its own again when this returns. */
static void blk_stop(struct mv_vdev *dev)
{
    struct blk *blk = blk_of(dev);
    blk->stopping = true;
    blk->disk->ops->drain(blk->disk);
    blk->stopping = blk->held = blk->refused = false;
}

static void blk_close(struct mv_vdev *dev)
{
    struct blk *blk = blk_of(dev);
    mv_loop_cancel(dev->host.loop, &blk->set_rates);
    if (blk->disk)
        blk->disk->ops->close(blk->disk);
}

static const struct mv_vdev_class blk_class = {
    .name = "virtio-blk",
    .id = BLK_ID,
    .queues = 1,
    .queue_size = BLK_QUEUE_SIZE,
    .config_size = CONFIG_BYTES,
    .state_version = 1,
    .close = blk_close,
    .kick = blk_kick,
    .commit = blk_commit,
    .waited = blk_serve_all,
    .stop = blk_stop,
};

/* Where the host's disk has larger blocks than ours, the driver is told (TOPOLOGY), so
 * that partitions and file systems are laid out in them. */
static void blk_describe(struct blk *blk)
{
    const struct mv_disk *disk = blk->disk;
    uint8_t *config = blk->dev.config;
    uint64_t features = BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_FLUSH;
    mv_store64(config + CONFIG_CAPACITY, disk->size_bytes / BLK_SECTOR_BYTES);
    mv_store32(config + CONFIG_SEG_MAX, BLK_SEG_MAX);
    mv_store32(config + CONFIG_BLK_SIZE, BLK_SECTOR_BYTES);
    if (blk->dev.queues > 1) {
        features |= BLK_F_MQ;
        mv_store16(config + CONFIG_QUEUES, (uint16_t)blk->dev.queues);
    }
    if (disk->block_bytes > BLK_SECTOR_BYTES) {
        features |= BLK_F_TOPOLOGY;
        uint32_t sectors = disk->block_bytes / BLK_SECTOR_BYTES;
        config[CONFIG_PHYSICAL_EXPONENT] = (uint8_t)__builtin_ctz(sectors);
        mv_store16(config + CONFIG_MIN_IO, (uint16_t)sectors);
    }
    if (disk->read_only) {
        features |= BLK_F_RO;
    } else {
        features |= BLK_F_WRITE_ZEROES;
        mv_store32(config + CONFIG_ZEROES_SECTORS, BLK_ZEROES_SECTORS);
        mv_store32(config + CONFIG_ZEROES_RANGES, BLK_ZEROES_RANGES);
        config[CONFIG_ZEROES_MAY_UNMAP] = disk->can_discard;
    }
    if (!disk->read_only && disk->can_discard) {
        features |= BLK_F_DISCARD;
        mv_store32(config + CONFIG_DISCARD_SECTORS, BLK_DISCARD_SECTORS);
        mv_store32(config + CONFIG_DISCARD_RANGES, BLK_DISCARD_RANGES);
        mv_store32(config + CONFIG_DISCARD_ALIGNMENT, 4096 / BLK_SECTOR_BYTES);
    }
    blk->dev.features |= features;
}

/* What was held back by the old limit may go now. */
static void blk_set_rates(void *arg)
{
    struct mv_vdev *dev = arg;
    struct blk *blk = blk_of(dev);
    uv_mutex_lock(&dev->config_lock);
    struct mv_limit_rates rates = blk->new_rates;
    uv_mutex_unlock(&dev->config_lock);
    mv_limit_set(&blk->limit, &rates);
    (void)uv_timer_stop(&dev->timer);
    if (dev->life == MV_VDEV_LIVE)
        blk_serve_all(dev);
}

int mv_blk_open(const struct mv_vdev_host *host, struct mv_disk *disk, const char *id,
                unsigned queues, struct mv_vdev **out, microvm_error *err)
{
    struct mv_vdev *dev;
    unsigned n = MV_MIN(MV_MAX(queues, 1u), (unsigned)MV_BLK_QUEUES_MAX);
    int rc =
        mv_vdev_open_queues(&blk_class, n, sizeof(struct blk), id, host, &dev, err);
    if (rc) {
        disk->ops->close(disk);
        return rc;
    }
    struct blk *blk = blk_of(dev);
    size_t length = strlen(id);
    memcpy(blk->id, id, MV_MIN(length, sizeof blk->id));
    blk->set_rates = (struct mv_call){.fn = blk_set_rates, .arg = dev};
    blk->disk = disk;
    disk->completed = blk_completed;
    disk->owner = blk;
    blk_describe(blk);
    *out = dev;
    return 0;
}

/* The loop may be in a write or flush that takes its time, which is not the caller's.
 */
void mv_blk_set_limit(struct mv_vdev *dev, const struct mv_limit_rates *rates)
{
    struct blk *blk = blk_of(dev);
    uv_mutex_lock(&dev->config_lock);
    blk->new_rates = *rates;
    uv_mutex_unlock(&dev->config_lock);
    mv_loop_post(dev->host.loop, &blk->set_rates);
}
