/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A device's saved state: what the driver has set up and how far the queues are, all
 * else being in guest memory. A state may be damaged or another device's. What the
 * common code relies on is checked here, before anything changes; the places of rings
 * are checked when the device wakes up, as if the driver had just written them.
 */
#include "util/assert.h"
#include "util/bytes.h"
#include "virtio/vdev.h"

void mv_vdev_save(const struct mv_vdev *dev, struct mv_writer *w)
{
    const struct mv_vdev_class *class = dev->class;
    MV_ASSERT(dev->life != MV_VDEV_LIVE);
    mv_put32(w, class->id);
    mv_put32(w, class->state_version);
    mv_put64(w, dev->negotiated);
    mv_put32(w, dev->status);
    mv_put32(w, dev->generation);
    mv_put_bytes(w, dev->config, class->config_size);
    mv_put32(w, dev->queues);
    for (unsigned q = 0; q < dev->queues; q++) {
        const struct mv_vq *vq = &dev->vq[q];
        mv_put16(w, vq->config.size);
        mv_put8(w, vq->config.ready);
        mv_put64(w, vq->config.desc);
        mv_put64(w, vq->config.driver);
        mv_put64(w, vq->config.device);
        mv_put16(w, vq->avail_at);
        mv_put16(w, vq->used_at);
    }
    if (class->save)
        class->save(dev, w);
}

/* What save wrote, before it is believed. */
struct vdev_state {
    uint64_t negotiated;
    uint32_t id, version, queues, status, generation;
    uint8_t config[MV_VDEV_CONFIG_MAX];
    struct mv_vq vq[MV_VDEV_QUEUES_MAX];
};

static void vdev_read_state(const struct mv_vdev *dev, struct mv_reader *r,
                            struct vdev_state *s)
{
    *s = (struct vdev_state){.id = mv_get32(r)};
    s->version = mv_get32(r);
    s->negotiated = mv_get64(r);
    s->status = mv_get32(r);
    s->generation = mv_get32(r);
    mv_get_bytes(r, s->config, dev->class->config_size);
    s->queues = mv_get32(r);
    for (unsigned q = 0; q < dev->queues; q++) {
        struct mv_vq *vq = &s->vq[q];
        vq->config.size = mv_get16(r);
        vq->config.ready = mv_get8(r) == 1;
        vq->config.desc = mv_get64(r);
        vq->config.driver = mv_get64(r);
        vq->config.device = mv_get64(r);
        vq->avail_at = mv_get16(r);
        vq->used_at = mv_get16(r);
    }
}

/* A disk of another size, a network of another MTU: the guest was told of the first. */
static int vdev_check_config(const struct mv_vdev *dev, const struct vdev_state *s,
                             microvm_error *err)
{
    const struct mv_vdev_class *class = dev->class;
    for (uint32_t i = 0; i < class->config_size; i++) {
        if (s->config[i] != dev->config[i] &&
            !mv_inside(i, 1, class->live_offset, class->live_size))
            return mv_fail(
                err, MICROVM_E_DEVICE,
                "%s: the saved device had other settings (%s, configuration "
                "byte %u: %#x, here %#x); open it as it was when it was saved",
                dev->name, class->name, i, s->config[i], dev->config[i]);
    }
    return 0;
}

static int vdev_check_state(const struct mv_vdev *dev, const struct vdev_state *s,
                            microvm_error *err)
{
    const struct mv_vdev_class *class = dev->class;
    uint64_t strange = s->negotiated & ~dev->features;
    bool agreed = s->status & MV_STATUS_FEATURES_OK;
    if (s->id != class->id || s->version > class->state_version)
        return mv_fail(err, MICROVM_E_DEVICE,
                       "%s: the saved state is of device type %u, version %u; this "
                       "device is type %u, version %u",
                       dev->name, s->id, s->version, class->id, class->state_version);
    if (s->queues != dev->queues)
        return mv_fail(err, MICROVM_E_DEVICE,
                       "%s: the saved device has %u queues and this one %u; open it as "
                       "it was when it was saved",
                       dev->name, s->queues, dev->queues);
    if (agreed && strange)
        return mv_fail(err, MICROVM_E_DEVICE,
                       "%s: the saved guest uses features %#llx that this device does "
                       "not have; open it as it was when it was saved",
                       dev->name, (unsigned long long)strange);
    if (s->status & ~(uint32_t)(MV_STATUS_OF_DRIVER | MV_STATUS_NEEDS_RESET) ||
        (agreed && !(s->status & MV_STATUS_DRIVER)) ||
        (agreed && !(s->negotiated & MV_F_VERSION_1)) ||
        (s->status & MV_STATUS_DRIVER_OK && !agreed))
        return mv_fail(err, MICROVM_E_DEVICE,
                       "%s: the saved state is damaged: no device has status %#x",
                       dev->name, s->status);
    return vdev_check_config(dev, s, err);
}

int mv_vdev_load(struct mv_vdev *dev, struct mv_reader *r, microvm_error *err)
{
    struct vdev_state s;
    MV_ASSERT(dev->life == MV_VDEV_IDLE);
    vdev_read_state(dev, r, &s);
    int rc = r->failed ? 0 : vdev_check_state(dev, &s, err);
    if (!rc && !r->failed && dev->class->load)
        rc = dev->class->load(dev, r, s.version, err);
    if (rc)
        return rc;
    if (r->failed)
        return mv_fail(err, MICROVM_E_DEVICE, "%s: the saved state is cut short",
                       dev->name);
    const uint32_t work = MV_STATUS_DRIVER_OK | MV_STATUS_NEEDS_RESET;
    dev->negotiated = s.negotiated;
    dev->status = s.status;
    dev->generation = s.generation;
    memcpy(dev->config, s.config, sizeof s.config);
    memcpy(dev->vq, s.vq, sizeof s.vq);
    if ((s.status & work) == MV_STATUS_DRIVER_OK)
        dev->life = MV_VDEV_ASLEEP;
    return 0;
}

int mv_vdev_check_transport(const struct mv_vdev *dev, struct mv_reader *r,
                            uint32_t version, microvm_error *err)
{
    uint32_t found = mv_get32(r);
    if (r->failed)
        return mv_fail(err, MICROVM_E_DEVICE,
                       "%s: the saved state of its transport is cut short", dev->name);
    if (found != version)
        return mv_fail(
            err, MICROVM_E_DEVICE,
            "%s: the saved state of its transport has format %u, this "
            "library reads format %u: load it with the version that saved it",
            dev->name, found, version);
    return 0;
}
