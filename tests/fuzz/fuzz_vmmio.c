/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The registers of the MMIO transport, before, during and after the driver's start, at
 * any width, with a device behind them that returns what it is given. What the status
 * and interrupt registers may show is checked at every step.
 */
#include "echo.h"
#include "vfuzz.h"

static void check(struct vrig *rig)
{
    const struct vdriver *d = &rig->driver;
    uint32_t status = vdriver_read(d, VREG_STATUS);
    MV_ASSERT(!(status & ~0xcfu));
    MV_ASSERT(!(status & 4) || status & 8); /* DRIVER_OK needs FEATURES_OK */
    MV_ASSERT(!(status & 8) || status & 2);
    if (status & 8)
        MV_ASSERT(!(rig->dev->negotiated & ~rig->dev->features) &&
                  rig->dev->negotiated & MV_F_VERSION_1);
    MV_ASSERT(!(vdriver_read(d, VREG_INTERRUPT_STATUS) & ~3u));
    MV_ASSERT((rig->dev->life == MV_VDEV_LIVE) == ((status & 0x44) == 4) ||
              status & 0x40);
    for (unsigned q = 0; q < 2; q++) {
        const struct mv_vq *vq = &rig->dev->vq[q];
        MV_ASSERT(!vq->live || (vq->config.ready && vq->config.size <= 16));
        MV_ASSERT(!vq->live || (status & 0x44) == 4);
    }
}

static void reg_access(struct vrig *rig, struct fuzz *in)
{
    static const uint16_t writable[] = {0x014, 0x020, 0x024, 0x030, 0x038, 0x044,
                                        0x050, 0x064, 0x070, 0x080, 0x084, 0x090,
                                        0x094, 0x0a0, 0x0a4, 0x100, 0x104, 0x108};
    static const uint8_t status[] = {0, 1, 3, 11, 15};
    const struct vdriver *d = &rig->driver;
    uint8_t how = fuzz8(in);
    uint32_t reg = writable[how / 8 % MV_ARRAY_LEN(writable)];
    uint32_t value = how & 1 ? fuzz32(in) : fuzz8(in) % 32u;
    if (reg == VREG_STATUS && how & 2)
        value = status[value % MV_ARRAY_LEN(status)];
    vdriver_write(d, reg, value);
    if (reg == VREG_STATUS && value == 0)
        MV_ASSERT(vdriver_read(d, VREG_STATUS) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct vrig rig; /* opened once: a reset makes it new */
    struct fuzz in = {data, length};
    if (!rig.dev) {
        vrig_open(&rig);
        vrig_attach(&rig, echo_open(&rig.host));
    }
    vfuzz_start(&rig, UINT64_MAX);
    if (fuzz8(&in) & 1)
        vdriver_reset(&rig.driver);
    for (unsigned i = 0; i < VFUZZ_STEPS_MAX && fuzz_left(&in); i++) {
        uint8_t op = fuzz8(&in);
        if (op & 3)
            reg_access(&rig, &in);
        else if (op & 4)
            vfuzz_step(&rig, &in);
        else
            mv_vdev_set_config(rig.dev, op / 16, "\1\2\3\4", 1);
        check(&rig);
    }
    vrig_turn(&rig);
    return 0;
}
