/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The common part of all virtio devices. Whatever changes a device's life runs on the
 * loop, also when a vCPU asked for it: a driver that reads back status 0 after a reset
 * may reuse its memory at once (2.4.2), so the vCPU waits until that is true.
 *
 * The status register only ever gains bits, apart from reset. That leaves no sequence
 * of writes to think about but one: the order in which bits may come on.
 */
#include "virtio/vdev.h"

#include "util/assert.h"
#include "util/bytes.h"

#include <stdio.h>
#include <stdlib.h>

/* -- open and close -- */

static void vdev_heard(void *arg)
{
    struct mv_vdev_port *port = arg;
    struct mv_vdev *dev = port->dev;
    if (!dev->vq[port->q].live)
        return;
    dev->kicks++;
    dev->class->kick(dev, port->q);
}

static void vdev_waited(uv_timer_t *timer)
{
    struct mv_vdev *dev = timer->data;
    dev->class->waited(dev);
}

static void vdev_handle_closed(struct mv_vdev *dev)
{
    if (--dev->handles == 0)
        free(dev);
}

static void vdev_bell_closed(void *arg)
{
    const struct mv_vdev_port *port = arg;
    vdev_handle_closed(port->dev);
}

static void vdev_timer_closed(uv_handle_t *timer)
{
    vdev_handle_closed(timer->data);
}

/* The last handle's end frees dev. */
static void vdev_free(struct mv_vdev *dev)
{
    uv_mutex_destroy(&dev->config_lock);
    for (unsigned q = 0; q < dev->queues; q++)
        mv_bell_close(&dev->bell[q]);
    uv_close((uv_handle_t *)&dev->timer, vdev_timer_closed);
}

static void vdev_init(struct mv_vdev *dev, const struct mv_vdev_class *class,
                      unsigned queues, const char *name,
                      const struct mv_vdev_host *host)
{
    MV_ASSERT(queues > 0 && queues <= MV_VDEV_QUEUES_MAX);
    MV_ASSERT(class->queue_size <= MV_VQ_SIZE_MAX);
    MV_ASSERT(class->config_size <= MV_VDEV_CONFIG_MAX);
    dev->class = class;
    dev->queues = queues;
    dev->host = *host;
    dev->features = MV_F_VERSION_1 | MV_F_INDIRECT_DESC | MV_F_EVENT_IDX;
    dev->log_limit.left = MV_LOG_LIMIT;
    (void)snprintf(dev->name, sizeof dev->name, "%s%s%s", class->name, name ? " " : "",
                   name ? name : "");
}

int mv_vdev_open_queues(const struct mv_vdev_class *class, unsigned queues,
                        size_t bytes, const char *name, const struct mv_vdev_host *host,
                        struct mv_vdev **out, microvm_error *err)
{
    struct mv_vdev *dev = calloc(1, bytes);
    if (!dev)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "%s: no memory for the device",
                       class->name);
    vdev_init(dev, class, queues, name, host);
    if (uv_mutex_init(&dev->config_lock)) {
        int rc = mv_fail(err, MICROVM_E_NO_MEMORY, "%s: no lock can be had", dev->name);
        free(dev);
        return rc;
    }
    (void)uv_timer_init(&host->loop->uv, &dev->timer); /* never fails */
    dev->timer.data = dev;
    dev->handles = 1;
    for (unsigned q = 0; q < queues; q++) {
        dev->port[q] = (struct mv_vdev_port){dev, q};
        int rc =
            mv_bell_open(&dev->bell[q], host->loop, vdev_heard, &dev->port[q], err);
        if (rc) {
            vdev_free(dev);
            return rc;
        }
        dev->bell[q].closed = vdev_bell_closed;
        dev->handles++;
    }
    *out = dev;
    return 0;
}

int mv_vdev_open(const struct mv_vdev_class *class, size_t bytes, const char *name,
                 const struct mv_vdev_host *host, struct mv_vdev **out,
                 microvm_error *err)
{
    return mv_vdev_open_queues(class, class->queues, bytes, name, host, out, err);
}

static void vdev_stop(struct mv_vdev *dev)
{
    (void)uv_timer_stop(&dev->timer);
    if (dev->life == MV_VDEV_LIVE && dev->class->stop)
        dev->class->stop(dev);
    for (unsigned q = 0; q < dev->queues; q++)
        mv_vq_stop(&dev->vq[q]);
    dev->life = MV_VDEV_IDLE;
}

static void vdev_close(void *arg)
{
    struct mv_vdev *dev = arg;
    vdev_stop(dev);
    if (dev->class->close)
        dev->class->close(dev);
    vdev_free(dev);
}

void mv_vdev_close(struct mv_vdev *dev)
{
    if (dev)
        mv_loop_run(dev->host.loop, vdev_close, dev);
}

/* -- telling the driver -- */

static bool vdev_has_driver(const struct mv_vdev *dev)
{
    return dev->transport.transport && mv_vdev_status(dev) & MV_STATUS_DRIVER_OK;
}

void mv_vdev_signal(struct mv_vdev *dev, unsigned q)
{
    if (!mv_vq_wants_signal(&dev->vq[q]))
        return;
    dev->signals++;
    dev->transport.signal(dev->transport.transport, 1u << q);
}

void mv_vdev_signal_with(struct mv_vdev *dev, unsigned q, unsigned other)
{
    uint32_t queues = 1u << q;
    if (!mv_vq_wants_signal(&dev->vq[q]))
        return;
    if (mv_vq_wants_signal(&dev->vq[other]))
        queues |= 1u << other;
    dev->signals++;
    dev->transport.signal(dev->transport.transport, queues);
}

void mv_vdev_set_config(struct mv_vdev *dev, uint32_t offset, const void *data,
                        uint32_t length)
{
    MV_ASSERT(mv_inside(offset, length, 0, dev->class->config_size));
    uv_mutex_lock(&dev->config_lock);
    memcpy(dev->config + offset, data, length);
    dev->generation++;
    uv_mutex_unlock(&dev->config_lock);
    if (vdev_has_driver(dev))
        dev->transport.config_changed(dev->transport.transport);
}

void mv_vdev_fail(struct mv_vdev *dev, const char *why)
{
    bool known = dev->status & MV_STATUS_NEEDS_RESET;
    dev->status |= MV_STATUS_NEEDS_RESET;
    for (unsigned q = 0; q < dev->queues; q++)
        mv_vq_stop(&dev->vq[q]);
    if (known)
        return;
    mv_log_limited(dev->host.log, &dev->log_limit, MICROVM_LOG_WARNING,
                   "%s: stopped until the guest resets it: %s", dev->name, why);
    if (dev->host.failed)
        dev->host.failed(dev->host.ctx, why);
    if (vdev_has_driver(dev))
        dev->transport.config_changed(dev->transport.transport);
}

/* -- queues, for the device types -- */

bool mv_vdev_pop(struct mv_vdev *dev, unsigned q, struct mv_chain *chain)
{
    int rc = mv_vq_pop(&dev->vq[q], chain);
    if (rc < 0)
        mv_vdev_fail(dev, "impossible ring index or descriptor chain");
    return rc > 0;
}

void mv_vdev_serve_quietly(struct mv_vdev *dev, unsigned q,
                           bool (*serve)(struct mv_vdev *dev, unsigned q,
                                         const struct mv_chain *chain))
{
    struct mv_vq *vq = &dev->vq[q];
    struct mv_chain chain;
    unsigned left = vq->config.size;
    bool more = true;
    mv_vq_hush(vq);
    do {
        for (; more && left > 0 && mv_vdev_pop(dev, q, &chain); left--)
            more = serve(dev, q, &chain);
        if (dev->class->commit)
            dev->class->commit(dev);
    } while (more && left > 0 && mv_vq_listen(vq));
    if (more && left == 0)
        mv_bell_ring(&dev->bell[q]);
}

void mv_vdev_serve(struct mv_vdev *dev, unsigned q,
                   bool (*serve)(struct mv_vdev *dev, unsigned q,
                                 const struct mv_chain *chain))
{
    mv_vdev_serve_quietly(dev, q, serve);
    mv_vdev_signal(dev, q);
}

void mv_vdev_wait(struct mv_vdev *dev, uint64_t wait_ns)
{
    const uint64_t ns_per_ms = 1000000;
    uint64_t ms = wait_ns / ns_per_ms + 1;
    uv_update_time(&dev->host.loop->uv); /* else counted from when the loop woke up */
    if (uv_is_active((uv_handle_t *)&dev->timer) &&
        uv_timer_get_due_in(&dev->timer) <= ms)
        return;
    (void)uv_timer_start(&dev->timer, vdev_waited, ms, 0);
}

/* -- the life cycle -- */

static bool vdev_start_queues(struct mv_vdev *dev)
{
    for (unsigned q = 0; q < dev->queues; q++) {
        struct mv_vq *vq = &dev->vq[q];
        if (!vq->config.ready)
            continue;
        if (vq->config.size > dev->class->queue_size ||
            !mv_vq_start(vq, dev->host.ram, dev->negotiated))
            return false;
    }
    return true;
}

/* Whatever the driver offered before, while nobody listened to bells, is seen by the
 * kicks here. */
static void vdev_start(struct mv_vdev *dev)
{
    if (dev->status & MV_STATUS_NEEDS_RESET)
        return; /* only a saved state that somebody made up comes here */
    if (dev->held) {
        dev->life = MV_VDEV_ASLEEP;
        return;
    }
    if (!vdev_start_queues(dev)) {
        mv_vdev_fail(dev, "a queue's size or the place of its rings is impossible");
        return;
    }
    if (dev->class->start && dev->class->start(dev)) {
        mv_vdev_fail(dev, "it could not be started");
        return;
    }
    dev->life = MV_VDEV_LIVE;
    for (unsigned q = 0; q < dev->queues; q++) {
        if (dev->vq[q].live)
            dev->class->kick(dev, q);
    }
}

static void vdev_sleep(void *arg)
{
    struct mv_vdev *dev = arg;
    if (dev->life != MV_VDEV_LIVE)
        return;
    vdev_stop(dev);
    /* One that has failed has nothing to wake up for. stop may have failed it, too. */
    if (!(dev->status & MV_STATUS_NEEDS_RESET))
        dev->life = MV_VDEV_ASLEEP;
}

static void vdev_wake(void *arg)
{
    struct mv_vdev *dev = arg;
    if (dev->life != MV_VDEV_ASLEEP || dev->held)
        return;
    dev->life = MV_VDEV_IDLE;
    vdev_start(dev);
}

void mv_vdev_sleep(struct mv_vdev *dev)
{
    mv_loop_run(dev->host.loop, vdev_sleep, dev);
}

void mv_vdev_wake(struct mv_vdev *dev)
{
    mv_loop_run(dev->host.loop, vdev_wake, dev);
}

struct hold_call {
    struct mv_vdev *dev;
    bool held;
};

static void vdev_hold(void *arg)
{
    const struct hold_call *call = arg;
    call->dev->held = call->held;
    if (call->held)
        vdev_sleep(call->dev);
    else
        vdev_wake(call->dev);
}

void mv_vdev_hold(struct mv_vdev *dev, bool held)
{
    struct hold_call call = {dev, held};
    mv_loop_run(dev->host.loop, vdev_hold, &call);
}

static void vdev_reset(struct mv_vdev *dev)
{
    vdev_stop(dev);
    for (unsigned q = 0; q < dev->queues; q++)
        mv_vq_reset(&dev->vq[q]);
    dev->negotiated = 0;
    dev->status = 0;
    if (dev->class->reset)
        dev->class->reset(dev);
}

/* -- status and features -- */

/* 2.2.2: not a bit that was not offered; 6.1: and no legacy driver. */
static bool vdev_features_ok(const struct mv_vdev *dev)
{
    return !(dev->negotiated & ~dev->features) && dev->negotiated & MV_F_VERSION_1;
}

uint32_t mv_vdev_status(const struct mv_vdev *dev)
{
    return dev->status;
}

struct status_call {
    struct mv_vdev *dev;
    uint32_t status;
};

static void vdev_write_status(void *arg)
{
    const struct status_call *call = arg;
    struct mv_vdev *dev = call->dev;
    if (call->status == 0) {
        vdev_reset(dev);
        return;
    }
    uint32_t old = dev->status;
    uint32_t set = old | (call->status & MV_STATUS_OF_DRIVER);
    if (!(set & MV_STATUS_DRIVER) || !vdev_features_ok(dev))
        set &= ~(uint32_t)MV_STATUS_FEATURES_OK | old;
    const uint32_t given_up = MV_STATUS_FAILED | MV_STATUS_NEEDS_RESET;
    if (!(set & MV_STATUS_FEATURES_OK) || set & given_up)
        set &= ~(uint32_t)MV_STATUS_DRIVER_OK | old;
    dev->status = set;
    if (set & ~old & MV_STATUS_DRIVER_OK)
        vdev_start(dev);
}

void mv_vdev_set_status(struct mv_vdev *dev, uint32_t status)
{
    struct status_call call = {dev, status};
    mv_loop_run(dev->host.loop, vdev_write_status, &call);
}

void mv_vdev_set_features(struct mv_vdev *dev, uint64_t features)
{
    uint32_t stage = dev->status & (MV_STATUS_DRIVER | MV_STATUS_FEATURES_OK);
    if (stage == MV_STATUS_DRIVER)
        dev->negotiated = features;
}

/* -- queues, for the transport -- */

struct mv_vq_config *mv_vdev_setup(struct mv_vdev *dev, uint32_t q)
{
    uint32_t stage = dev->status & (MV_STATUS_FEATURES_OK | MV_STATUS_DRIVER_OK);
    if (stage != MV_STATUS_FEATURES_OK || q >= dev->queues)
        return NULL;
    return dev->vq[q].config.ready ? NULL : &dev->vq[q].config;
}

struct queue_call {
    struct mv_vdev *dev;
    uint32_t q;
};

static void vdev_drop_queue(void *arg)
{
    const struct queue_call *call = arg;
    struct mv_vq *vq = &call->dev->vq[call->q];
    struct mv_vq_config config = vq->config;
    bool live = call->dev->life == MV_VDEV_LIVE;
    vdev_sleep(call->dev);
    mv_vq_reset(vq);
    config.ready = false;
    vq->config = config;
    if (live)
        vdev_wake(call->dev);
}

void mv_vdev_disable_queue(struct mv_vdev *dev, uint32_t q)
{
    struct queue_call call = {dev, q};
    if (q < dev->queues)
        mv_loop_run(dev->host.loop, vdev_drop_queue, &call);
}

void mv_vdev_notify(struct mv_vdev *dev, uint32_t q)
{
    if (q < dev->queues)
        mv_bell_ring(&dev->bell[q]);
}

/* -- configuration space -- */

void mv_vdev_read_config(struct mv_vdev *dev, uint32_t offset, void *to,
                         uint32_t length)
{
    uint32_t size = dev->class->config_size;
    memset(to, 0, length);
    if (offset >= size)
        return;
    uv_mutex_lock(&dev->config_lock);
    memcpy(to, dev->config + offset, MV_MIN(length, size - offset));
    uv_mutex_unlock(&dev->config_lock);
}

struct config_call {
    struct mv_vdev *dev;
    uint32_t offset, length;
};

static void vdev_config_written(void *arg)
{
    const struct config_call *call = arg;
    call->dev->class->config_written(call->dev, call->offset, call->length);
}

void mv_vdev_write_config(struct mv_vdev *dev, uint32_t offset, const void *from,
                          uint32_t length)
{
    const struct mv_vdev_class *class = dev->class;
    if (!mv_inside(offset, length, class->writable_offset, class->writable_size))
        return;
    uv_mutex_lock(&dev->config_lock);
    memcpy(dev->config + offset, from, length);
    uv_mutex_unlock(&dev->config_lock);
    struct config_call call = {dev, offset, length};
    if (class->config_written)
        mv_loop_run(dev->host.loop, vdev_config_written, &call);
}

uint32_t mv_vdev_generation(struct mv_vdev *dev)
{
    uv_mutex_lock(&dev->config_lock);
    uint32_t generation = dev->generation;
    uv_mutex_unlock(&dev->config_lock);
    return generation;
}
