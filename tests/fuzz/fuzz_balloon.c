/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The balloon under a hostile driver: lists of page numbers, well-formed and not, and
 * reported ranges; rings themselves may be given away. Nothing beside guest memory is.
 */
#include "vfuzz.h"

#include "virtio/devices.h"

/* Page numbers in and around memory, in runs and alone. */
static void pages(struct vrig *rig, struct fuzz *in)
{
    static const uint32_t nearby[] = {0, 0x7f0, 0x800, 0xffff0, 0x100000, 0x100100};
    uint32_t pfn[64];
    uint8_t how = fuzz8(in);
    struct vdriver_queue *vq = &rig->driver.queue[how % 2u];
    unsigned n = 1 + fuzz8(in) % 64u;
    uint32_t at = nearby[how / 2 % MV_ARRAY_LEN(nearby)] + fuzz8(in);
    for (unsigned i = 0; i < n; i++) {
        pfn[i] = at;
        at += how & 0x80 ? 1 : how & 0x40 ? UINT32_MAX : fuzz8(in);
    }
    const struct vdriver_buffer buffer = {VFUZZ_DATA, 4 * n, false};
    memcpy(vrig_at(rig, VFUZZ_DATA, sizeof pfn), pfn, 4ull * n);
    if (vq->free == 0)
        vfuzz_start(rig, UINT64_MAX);
    (void)vdriver_add(vq, &buffer, 1);
    vdriver_kick(&rig->driver, how % 2u);
    vrig_turn(rig);
}

static void check(struct vrig *rig)
{
    const struct vdriver_buffer list = {VFUZZ_DATA, 4, false};
    vfuzz_start(rig, UINT64_MAX);
    MV_ASSERT(mv_balloon_bytes(rig->dev) == 0);
    mv_store32(vrig_at(rig, VFUZZ_DATA, 4), 0x300);
    (void)vdriver_add(&rig->driver.queue[0], &list, 1);
    vdriver_kick(&rig->driver, 0);
    vrig_turn(rig);
    MV_ASSERT(mv_balloon_bytes(rig->dev) == 4096);
    MV_ASSERT(vdriver_read(&rig->driver, VREG_STATUS) == 15);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct vrig rigs[VRIG_TRANSPORTS]; /* opened once: a reset makes it new */
    struct vrig *rig = vfuzz_rig(rigs, length);
    struct fuzz in = {data, length};
    if (!rig->dev) {
        struct mv_vdev *dev = NULL;
        int rc = mv_balloon_open(&rig->host, &dev, NULL);
        MV_ASSERT(rc == 0);
        vrig_attach(rig, dev);
    }
    vfuzz_start(rig, UINT64_MAX);
    for (unsigned i = 0; i < VFUZZ_STEPS_MAX && fuzz_left(&in); i++) {
        uint8_t op = fuzz8(&in);
        if (op & 3)
            vfuzz_step(rig, &in);
        else if (op & 4)
            pages(rig, &in);
        else
            mv_balloon_set_target(rig->dev, fuzz16(&in));
    }
    check(rig);
    return 0;
}
