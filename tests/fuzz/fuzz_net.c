/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The network device under a hostile driver, over a backing in memory that checks every
 * frame it is given and brings frames of every length, with headers or without (the
 * first byte says), and has room or has not.
 */
#include "vfuzz.h"

#include "netdouble.h"

#include "virtio/devices.h"

enum { RECEIVE = 0, TRANSMIT = 1, CONTROL = 2, HEADER = MV_NET_HEADER_BYTES };

/* A frame, a little wrong here and there. */
static void transmit(struct vrig *rig, struct fuzz *in)
{
    struct vdriver_queue *vq = &rig->driver.queue[TRANSMIT];
    struct vdriver_buffer buffer[] = {{VFUZZ_DATA, HEADER, false},
                                      {VFUZZ_DATA + HEADER, 1, false}};
    uint8_t *header = vrig_at(rig, VFUZZ_DATA, HEADER), pick = fuzz8(in);
    memset(header, 0, HEADER);
    header[0] = pick & 3;
    header[1] = (uint8_t[]){0, 0, 1, 4, 5, 0x81, 3, 0xff}[pick >> 2 & 7];
    header[2] = 40;
    header[4] = fuzz8(in);
    header[6] = fuzz8(in);
    header[8] = fuzz8(in) % 32;
    buffer[1].length = 1u + fuzz8(in) * (pick & 0x80 ? 300u : 1u);
    if (vq->free >= 2)
        (void)vdriver_add(vq, buffer, 2);
    vdriver_kick(&rig->driver, TRANSMIT);
}

static void offer(struct vrig *rig, struct fuzz *in)
{
    struct vdriver_queue *vq = &rig->driver.queue[RECEIVE];
    uint32_t bytes = HEADER + fuzz8(in) * 40u;
    for (unsigned n = fuzz8(in) % 32u; n > 0 && vq->free >= 2; n--) {
        const struct vdriver_buffer buffer[] = {
            {VFUZZ_DATA + (n * 0x800u & 0xffff), bytes, true},
            {VFUZZ_DATA, 1 + n, true}};
        (void)vdriver_add(vq, buffer, 1 + n % 2);
    }
    vdriver_kick(&rig->driver, RECEIVE);
}

static void control(struct vrig *rig, struct fuzz *in)
{
    struct vdriver_queue *vq = &rig->driver.queue[CONTROL];
    uint8_t length = 2 + fuzz8(in) % 64u;
    const struct vdriver_buffer buffer[] = {{VFUZZ_DATA, length, false},
                                            {VFUZZ_DATA + 0x200, 1, true}};
    uint8_t *bytes = vrig_at(rig, VFUZZ_DATA, length);
    fuzz_bytes(in, bytes, length);
    bytes[0] %= 7;
    if (vq->free >= 2)
        (void)vdriver_add(vq, buffer, 2);
    vdriver_kick(&rig->driver, CONTROL);
}

static void arrive(struct netdouble *d, struct fuzz *in)
{
    static uint8_t frame[HEADER + MV_NET_FRAME_MAX];
    size_t header = d->net.header ? HEADER : 0;
    size_t length = MV_NET_FRAME_MIN + fuzz16(in);
    length = MV_MIN(length, (size_t)MV_NET_FRAME_MAX);
    frame[header] = fuzz8(in);
    netdouble_put(d, frame, header + length);
}

static void step(struct vrig *rig, struct netdouble *d, struct fuzz *in)
{
    uint8_t op = fuzz8(in);
    switch (op % 8) {
    case 0:
        transmit(rig, in);
        break;
    case 1:
        offer(rig, in);
        break;
    case 2:
        control(rig, in);
        break;
    case 3:
        arrive(d, in);
        break;
    case 4:
        d->room = op >> 4;
        netdouble_make_room(d, op >> 6);
        break;
    case 5:
        mv_net_device_set_link(rig->dev, op & 0x80);
        break;
    default:
        vfuzz_step(rig, in);
        break;
    }
    vrig_turn(rig);
}

/* After all that, a reset makes it a network device again. */
static void check(struct vrig *rig, struct netdouble *d)
{
    uint16_t head;
    uint32_t written;
    const struct vdriver_buffer out = {VFUZZ_DATA, HEADER + 60, false},
                                in = {VFUZZ_DATA + 0x1000, 1536, true};
    d->in_count = 0;
    d->room = 8;
    d->refused = false;
    mv_net_device_set_link(rig->dev, true);
    vfuzz_start(rig, UINT64_MAX);
    memset(vrig_at(rig, VFUZZ_DATA, 100), 0, 100);
    (void)vdriver_add(&rig->driver.queue[TRANSMIT], &out, 1);
    (void)vdriver_add(&rig->driver.queue[RECEIVE], &in, 1);
    vdriver_kick(&rig->driver, TRANSMIT);
    vdriver_kick(&rig->driver, RECEIVE);
    vrig_turn(rig);
    MV_ASSERT(d->room == 7);
    netdouble_put(d, d->out, d->out_length);
    vrig_turn(rig);
    MV_ASSERT(vdriver_reap(&rig->driver.queue[RECEIVE], &head, &written));
    MV_ASSERT(written == HEADER + 60);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct vrig rig[2]; /* without and with headers; a reset makes them new */
    static struct netdouble net[2];
    struct fuzz in = {data, length};
    unsigned which = fuzz8(&in) & 1;
    if (!rig[which].dev) {
        struct mv_vdev *dev;
        vrig_open(&rig[which]);
        netdouble_open(&net[which], &rig[which], which, &dev);
        vrig_attach(&rig[which], dev);
    }
    vfuzz_start(&rig[which], fuzz8(&in) & 1 ? UINT64_MAX : ~(1ull << 15));
    for (unsigned i = 0; i < VFUZZ_STEPS_MAX && fuzz_left(&in); i++)
        step(&rig[which], &net[which], &in);
    check(&rig[which], &net[which]);
    return 0;
}
