/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Feature bits as every transport shows them: through two windows of 32 bits, each with
 * a selector (virtio 1.2, 4.1.4.3 and 4.2.2), until vdev.h takes them as 64.
 */
#ifndef MV_VIRTIO_VFEATURES_H
#define MV_VIRTIO_VFEATURES_H

#include "virtio/vdev.h"

struct mv_vfeatures {
    uint32_t device_sel, driver_sel;
    uint64_t driver; /* what the driver wrote */
    bool strange;    /* it took one of bit 64 or above */
};

/* The 32 bits that a selector shows; above the second they are 0. */
static inline uint32_t mv_vfeatures_half(uint64_t value, uint32_t sel)
{
    return sel > 1 ? 0 : (uint32_t)(value >> (32 * sel));
}

static inline void mv_vfeatures_set_half(uint64_t *value, unsigned high, uint32_t to)
{
    unsigned shift = high ? 32 : 0;
    *value = (*value & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)to << shift;
}

/* The driver writes 32 bits. Those from 64 on are ones that no device here offers:
 * taking one must fail the negotiation (2.2.2), so it is passed on as taking
 * everything. */
static inline void mv_vfeatures_write(struct mv_vfeatures *f, struct mv_vdev *dev,
                                      uint32_t value)
{
    if (f->driver_sel > 1)
        f->strange |= value != 0;
    else
        mv_vfeatures_set_half(&f->driver, f->driver_sel, value);
    mv_vdev_set_features(dev, f->strange ? UINT64_MAX : f->driver);
}

static inline void mv_vfeatures_save(const struct mv_vfeatures *f, struct mv_writer *w)
{
    mv_put32(w, f->device_sel);
    mv_put32(w, f->driver_sel);
    mv_put64(w, f->driver);
    mv_put8(w, f->strange);
}

/* The reader's `failed` is checked by the caller. */
static inline struct mv_vfeatures mv_vfeatures_load(struct mv_reader *r)
{
    struct mv_vfeatures f = {.device_sel = mv_get32(r)};
    f.driver_sel = mv_get32(r);
    f.driver = mv_get64(r);
    f.strange = mv_get8(r) != 0;
    return f;
}

#endif
