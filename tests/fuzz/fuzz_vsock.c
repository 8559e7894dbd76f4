/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The socket device under a hostile driver, with a host's end that reads, writes,
 * closes and dials as the input says. Besides rings and descriptors, the input makes
 * packets: headers that are mostly right, so that connections come about and end in
 * every order.
 */
#include "vfuzz.h"

#include "virtio/vsock_conn.h"
#include "vsockrig.h"

enum { RX = 0, TX = 1, PORTS = 4 };

/* One of the guest's ports speaks in messages. */
static uint16_t type_of(uint32_t guest_port)
{
    return guest_port == PORTS - 1 ? MV_VSOCK_SEQPACKET : MV_VSOCK_STREAM;
}

static void dial_port(struct vsockrig *v, uint32_t port, microvm_socket_type *dials)
{
    microvm_socket_type *dial = &dials[type_of(port)];
    (void)v->user.dial(v->user.device, *dial, port, dial);
}

static uint32_t any_port(struct vsockrig *v, struct fuzz *in)
{
    uint8_t pick = fuzz8(in);
    if (pick & 0x80) /* the host's port of a dial */
        return (1u << 30) + mv_vsock_of(v->rig.dev)->next_port - 1u - pick % PORTS;
    return pick & 0x40 ? 9 : VSOCK_LISTENS;
}

static void packet(struct vsockrig *v, struct fuzz *in)
{
    uint8_t op = fuzz8(in), how = fuzz8(in);
    struct mv_vsock_header h = vsockrig_header(op % 9, 1, VSOCK_LISTENS);
    uint8_t data[256] = {0};
    h.src_port = how % PORTS;
    h.type = type_of(h.src_port);
    h.dst_port = any_port(v, in);
    h.flags = fuzz8(in) % 8;
    h.fwd_cnt = how & 0x10 ? fuzz32(in) : 0;
    h.buf_alloc = how & 0x20 ? fuzz32(in) : fuzz16(in);
    h.length = h.op == MV_VSOCK_RW ? fuzz8(in) : 0;
    uint32_t length = h.length;
    if (how & 0x40)
        h.type = fuzz8(in) % 4;
    if (how == 0xff)
        h.length = fuzz32(in);
    if (how == 0xfe)
        h.dst_cid = fuzz8(in);
    vfuzz_make_room(&v->rig.driver.queue[TX], 2);
    (void)vsockrig_add(v, &h, data, length);
    if (op & 0x80)
        vdriver_kick(&v->rig.driver, TX);
}

/* The newest connections' other ends. */
static void host(struct vsockrig *v, struct fuzz *in)
{
    static const uint8_t zeros[(64 << 10) + 2];
    uint8_t op = fuzz8(in), data[512];
    if (!v->ends)
        return;
    intptr_t *end =
        &v->end[(v->ends - 1 - op / 8 % MV_MIN(v->ends, 4u)) % VSOCK_HOST_ENDS];
    if (*end == MV_SOCKET_NONE)
        return;
    switch (op % 8) {
    case 0:
    case 1:
        (void)mv_socket_read(*end, data, sizeof data);
        break;
    case 2:
    case 3:
        (void)mv_socket_write(*end, zeros, 1 + fuzz16(in) % sizeof data);
        break;
    case 4: /* also empty messages, and some that are too long */
        (void)mv_socket_write(*end, zeros, fuzz16(in) + (op & 0x80 ? 2u : 0u));
        break;
    case 5:
        mv_socket_end_write(*end);
        break;
    case 6:
        mv_socket_end_read(*end);
        break;
    case 7:
        mv_socket_close(*end);
        *end = MV_SOCKET_NONE;
        break;
    }
}

static void post(struct vsockrig *v, struct fuzz *in)
{
    unsigned buffers = 1 + fuzz8(in) % 8; /* the first byte, whoever compiles this */
    vsockrig_post(v, buffers, 45 + fuzz16(in) % 4000);
}

static void step(struct vsockrig *v, struct fuzz *in)
{
    static microvm_socket_type dial[] = {0, MICROVM_SOCKET_STREAM,
                                         MICROVM_SOCKET_SEQPACKET}; /* who: all one */
    static uint8_t first[MV_VSOCK_FIRST];
    uint8_t op = fuzz8(in);
    switch (op % 8) {
    case 0:
    case 1:
        vfuzz_step(&v->rig, in);
        break;
    case 2:
    case 3:
    case 4:
        packet(v, in);
        break;
    case 5:
        host(v, in);
        break;
    case 6:
        if (v->rig.driver.queue[RX].size > 0 && op & 0x80)
            post(v, in);
        mv_loop_turn(&v->rig.loop);
        break;
    case 7:
        v->unwanted = op & 0x80;
        v->first = (struct mv_span){first, op & 0x10 ? sizeof first : 0};
        if (op & 0x40)
            v->user.hang_up(v->user.device, &dial[1 + (op >> 5 & 1)]);
        else
            dial_port(v, fuzz8(in) % PORTS, dial);
        break;
    }
}

/* After all that, a reset makes it a device without connections, which works. */
static void check(struct vsockrig *v)
{
    struct mv_vsock *device = mv_vsock_of(v->rig.dev);
    uint8_t data[8];
    vdriver_reset(&v->rig.driver);
    for (unsigned i = 0; i < MV_MIN(v->ends, (unsigned)VSOCK_HOST_ENDS); i++) {
        mv_socket_close(v->end[i]);
        v->end[i] = MV_SOCKET_NONE;
    }
    v->ends = 0;
    vrig_turn(&v->rig);
    MV_ASSERT(device->slots_left == MV_VSOCK_SLOTS);
    MV_ASSERT(device->pool.reserved == 0 && device->pool.used == 0);
    MV_ASSERT(!device->first && device->resets == 0);
    vsockrig_start(v, UINT64_MAX, 16);
    device->reset_event = false;
    intptr_t end = vsockrig_connect(v, 1, 1000);
    MV_ASSERT(end != MV_SOCKET_NONE);
    const struct mv_vsock_header h = vsockrig_header(MV_VSOCK_RW, 1, VSOCK_LISTENS);
    vsockrig_send(v, &h, "fuzz", 4);
    MV_ASSERT(mv_socket_read(end, data, sizeof data) == 4);
    vdriver_reset(&v->rig.driver);
    mv_socket_close(end);
    v->ends = 0;
    vrig_turn(&v->rig);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct vsockrig v; /* opened once: a reset makes it new */
    struct fuzz in = {data, length};
    if (!v.rig.dev)
        vsockrig_open(&v, VRIG_MMIO);
    v.ends = 0;
    v.unwanted = false;
    vsockrig_start(&v, UINT64_MAX, fuzz8(&in) % 64);
    for (unsigned i = 0; i < VFUZZ_STEPS_MAX && fuzz_left(&in); i++)
        step(&v, &in);
    check(&v);
    return 0;
}
