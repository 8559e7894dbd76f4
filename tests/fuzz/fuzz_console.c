/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The console under a hostile driver, with a host's end that takes and gives as little
 * as the input says. A chardev that has said no is not asked again before it has
 * called.
 */
#include "vfuzz.h"

#include "virtio/devices.h"

enum { RECEIVE = 0, TRANSMIT = 1 };

struct host {
    struct mv_chardev_user user;
    size_t may_put, may_get;
    uint64_t put;
    uint8_t byte;
};

static size_t host_put(void *ctx, const void *data, size_t length)
{
    struct host *host = ctx;
    size_t n = MV_MIN(length, host->may_put);
    const uint8_t *bytes = data;
    for (size_t i = 0; i < n; i++)
        host->byte ^= bytes[i]; /* reads all of it */
    host->may_put -= n;
    host->put += n;
    return n;
}

static size_t host_get(void *ctx, void *data, size_t length)
{
    struct host *host = ctx;
    size_t n = MV_MIN(length, host->may_get);
    memset(data, host->byte++, n);
    host->may_get -= n;
    return n;
}

static void step(struct vrig *rig, struct host *host, struct fuzz *in)
{
    uint8_t op = fuzz8(in);
    if (op & 3) {
        vfuzz_step(rig, in);
    } else if (op & 4) {
        host->may_put += op;
        host->user.room(host->user.device);
    } else if (op & 8) {
        host->may_get += op;
        host->user.input(host->user.device);
    } else {
        mv_console_resize(rig->dev, op, fuzz8(in));
    }
}

/* After all that, a reset makes it a console again. */
static void check(struct vrig *rig, struct host *host)
{
    const struct vdriver_buffer hello = {VFUZZ_DATA, 5, false};
    vfuzz_start(rig, UINT64_MAX);
    host->may_put = 5;
    host->put = 0;
    (void)vdriver_add(&rig->driver.queue[TRANSMIT], &hello, 1);
    vdriver_kick(&rig->driver, TRANSMIT);
    vrig_turn(rig);
    MV_ASSERT(host->put == 5);
    MV_ASSERT(vdriver_read(&rig->driver, VREG_STATUS) == 15);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct vrig rigs[VRIG_TRANSPORTS]; /* opened once: a reset makes it new */
    static struct host hosts[VRIG_TRANSPORTS];
    struct vrig *rig = vfuzz_rig(rigs, length);
    struct host *host = &hosts[rig->transport];
    struct fuzz in = {data, length};
    if (!rig->dev) {
        const struct mv_chardev chardev = {
            .put = host_put, .get = host_get, .ctx = host};
        struct mv_vdev *dev = NULL;
        int rc = mv_console_open(&rig->host, &chardev, &host->user, &dev, NULL);
        MV_ASSERT(rc == 0);
        vrig_attach(rig, dev);
    }
    host->may_put = host->may_get = 0;
    vfuzz_start(rig, UINT64_MAX);
    for (unsigned i = 0; i < VFUZZ_STEPS_MAX && fuzz_left(&in); i++)
        step(rig, host, &in);
    check(rig, host);
    return 0;
}
