/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Requests to a block device. Without cmocka: the measurement uses it, too.
 */
#include "blkrig.h"

#include "util/assert.h"
#include "util/bytes.h"
#include "virtio/devices.h"

static uint64_t header_at(unsigned slot)
{
    return BLKRIG_HEADERS + 32ull * slot;
}

static uint64_t data_at(unsigned slot)
{
    return BLKRIG_DATA + (uint64_t)slot * BLKRIG_DATA_BYTES;
}

int blkrig_open_device(struct blkrig *b, microvm_error *err)
{
    struct mv_vdev *dev;
    b->config.path = b->path;
    int rc = mv_disk_open_by(b->make, &b->config, &b->rig.loop, &b->disk, err);
    if (rc)
        return rc;
    rc = mv_blk_open(&b->rig.host, b->disk, "vda", MV_MAX(b->queues, 1u), &dev, err);
    if (!rc)
        vrig_attach(&b->rig, dev);
    return rc;
}

void blkrig_open(struct blkrig *b, uint64_t features)
{
    vrig_open(&b->rig);
    int rc = blkrig_open_device(b, NULL);
    MV_ASSERT(rc == 0);
    bool ok = vdriver_start(&b->rig.driver, features);
    MV_ASSERT(ok);
}

void blkrig_close(struct blkrig *b)
{
    vrig_close(&b->rig);
}

uint8_t *blkrig_data(struct blkrig *b, unsigned slot)
{
    return vrig_at(&b->rig, data_at(slot), BLKRIG_DATA_BYTES);
}

uint16_t blkrig_add(struct blkrig *b, unsigned slot, uint32_t type, uint64_t sector,
                    uint32_t length)
{
    return blkrig_add_to(b, 0, slot, type, sector, length);
}

uint16_t blkrig_add_to(struct blkrig *b, unsigned q, unsigned slot, uint32_t type,
                       uint64_t sector, uint32_t length)
{
    MV_ASSERT(slot < BLKRIG_SLOTS);
    uint8_t *header = vrig_at(&b->rig, header_at(slot), 17);
    mv_store32(header, type);
    mv_store32(header + 4, 0);
    mv_store64(header + 8, sector);
    header[16] = BLK_UNTOUCHED;
    bool out = type == BLK_OUT || type == BLK_DISCARD || type == BLK_ZEROES;
    struct vdriver_buffer buffer[3] = {{header_at(slot), 16, false}};
    unsigned n = 1;
    if (length)
        buffer[n++] = (struct vdriver_buffer){data_at(slot), length, !out};
    buffer[n++] = (struct vdriver_buffer){header_at(slot) + 16, 1, true};
    return vdriver_add(&b->rig.driver.queue[q], buffer, n);
}

uint8_t blkrig_status(struct blkrig *b, unsigned slot)
{
    return *vrig_at(&b->rig, header_at(slot) + 16, 1);
}

uint16_t blkrig_wait(struct blkrig *b, uint32_t *written)
{
    uint16_t head;
    uint32_t n;
    while (!vdriver_reap(&b->rig.driver.queue[0], &head, &n))
        (void)uv_run(&b->rig.loop.uv, UV_RUN_ONCE);
    if (written)
        *written = n;
    return head;
}

uint8_t blkrig_do(struct blkrig *b, uint32_t type, uint64_t sector, uint32_t length,
                  uint32_t *written)
{
    uint16_t head = blkrig_add(b, 0, type, sector, length);
    vdriver_kick(&b->rig.driver, 0);
    uint16_t back = blkrig_wait(b, written);
    MV_ASSERT(head == back);
    return blkrig_status(b, 0);
}

void blkrig_range(struct blkrig *b, unsigned i, uint64_t sector, uint32_t sectors,
                  uint32_t flags)
{
    uint8_t *range = blkrig_data(b, 0) + 16 * i;
    mv_store64(range, sector);
    mv_store32(range + 8, sectors);
    mv_store32(range + 12, flags);
}
