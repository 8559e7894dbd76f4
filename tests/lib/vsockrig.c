/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Packets and sockets.
 */
#include "vsockrig.h"

#include "util/assert.h"
#include "util/bytes.h"

enum { RX = 0, TX = 1 };
enum { TX_GPA = 0x10000, RX_GPA = 0x200000, TX_BYTES = 0x100000 };

static intptr_t host_make(struct vsockrig *v, microvm_socket_type type)
{
    intptr_t pair[2];
    int rc = mv_socket_pair(type, pair, NULL);
    MV_ASSERT(rc == 0);
    unsigned at = v->ends++ % VSOCK_HOST_ENDS;
    if (v->ends > VSOCK_HOST_ENDS)
        mv_socket_close(v->end[at]);
    v->end[at] = pair[0];
    return pair[1];
}

static intptr_t host_arrived(void *ctx, microvm_socket_type type, uint32_t port,
                             uint32_t from)
{
    struct vsockrig *v = ctx;
    (void)from;
    bool takes = port == VSOCK_LISTENS && (!v->takes || v->takes == type);
    return takes ? host_make(v, type) : MV_SOCKET_NONE;
}

static intptr_t host_answered(void *ctx, void *dial, uint32_t host_port,
                              struct mv_span *first)
{
    struct vsockrig *v = ctx;
    microvm_socket_type type = *(const microvm_socket_type *)dial;
    v->answers++;
    v->answered_port = host_port;
    if (type == MICROVM_SOCKET_STREAM)
        *first = v->first;
    return v->unwanted ? MV_SOCKET_NONE : host_make(v, type);
}

static void host_refused(void *ctx, void *dial, enum mv_vsock_answer answer)
{
    struct vsockrig *v = ctx;
    (void)dial;
    if (answer == MV_VSOCK_REFUSED)
        v->refusals++;
    else
        v->lost++;
}

static void host_ready(void *ctx)
{
    struct vsockrig *v = ctx;
    v->readies++;
}

static void host_closed(void *ctx, intptr_t socket, bool cut)
{
    struct vsockrig *v = ctx;
    MV_ASSERT(socket != MV_SOCKET_NONE);
    v->closed++;
    v->cut += cut;
}

static struct mv_vdev *host_device(struct vsockrig *v)
{
    const struct mv_vsock_host host = {host_arrived, host_answered, host_refused,
                                       host_ready,   host_closed,   v};
    struct mv_vdev *dev = NULL;
    int rc = mv_vsock_open(&v->rig.host, VSOCK_CID, &host, &v->user, &dev, NULL);
    MV_ASSERT(rc == 0);
    return dev;
}

void vsockrig_replace(struct vsockrig *v)
{
    vrig_detach(&v->rig);
    vrig_replace(&v->rig, host_device(v));
}

void vsockrig_open(struct vsockrig *v, enum vrig_transport transport)
{
    *v = (struct vsockrig){.tx_gpa = TX_GPA, .rx_gpa = RX_GPA};
    vrig_open_on(&v->rig, transport);
    vrig_attach(&v->rig, host_device(v));
}

void vsockrig_start(struct vsockrig *v, uint64_t features, unsigned rx_buffers)
{
    v->rig.driver.heap.at = VRIG_LOW_BYTES / 2;
    bool ok = vdriver_start(&v->rig.driver, features);
    MV_ASSERT(ok);
    v->rx_gpa = RX_GPA;
    vsockrig_post(v, rx_buffers, VSOCK_RX_BYTES);
    vrig_turn(&v->rig);
}

void vsockrig_close(struct vsockrig *v)
{
    vrig_close(&v->rig);
    for (unsigned i = 0; i < MV_MIN(v->ends, (unsigned)VSOCK_HOST_ENDS); i++)
        mv_socket_close(v->end[i]);
}

struct mv_vsock_header vsockrig_header(uint16_t op, uint32_t guest_port,
                                       uint32_t host_port)
{
    return (struct mv_vsock_header){.src_cid = VSOCK_CID,
                                    .dst_cid = MV_VSOCK_CID_HOST,
                                    .src_port = guest_port,
                                    .dst_port = host_port,
                                    .type = MV_VSOCK_STREAM,
                                    .op = op,
                                    .buf_alloc = 256 << 10};
}

struct mv_vsock_header vsockrig_message(uint16_t op, uint32_t guest_port,
                                        uint32_t host_port)
{
    struct mv_vsock_header h = vsockrig_header(op, guest_port, host_port);
    h.type = MV_VSOCK_SEQPACKET;
    return h;
}

bool vsockrig_add(struct vsockrig *v, const struct mv_vsock_header *header,
                  const void *data, uint32_t length)
{
    struct vdriver_queue *vq = &v->rig.driver.queue[TX];
    uint8_t bytes[MV_VSOCK_HEADER];
    if (vq->free < 2)
        return false;
    if (v->tx_gpa + MV_VSOCK_HEADER + length > TX_GPA + TX_BYTES)
        v->tx_gpa = TX_GPA;
    uint64_t gpa = v->tx_gpa;
    v->tx_gpa += mv_align_up((uint64_t)MV_VSOCK_HEADER + length, 16);
    mv_vsock_encode(header, bytes);
    memcpy(vrig_at(&v->rig, gpa, MV_VSOCK_HEADER), bytes, sizeof bytes);
    if (length)
        memcpy(vrig_at(&v->rig, gpa + MV_VSOCK_HEADER, length), data, length);
    const struct vdriver_buffer buffer[] = {{gpa, MV_VSOCK_HEADER, false},
                                            {gpa + MV_VSOCK_HEADER, length, false}};
    (void)vdriver_add(vq, buffer, length ? 2 : 1);
    return true;
}

unsigned vsockrig_reap(struct vsockrig *v)
{
    uint16_t head;
    uint32_t written;
    unsigned n = 0;
    while (vdriver_reap(&v->rig.driver.queue[TX], &head, &written))
        n++;
    return n;
}

void vsockrig_send(struct vsockrig *v, const struct mv_vsock_header *header,
                   const void *data, uint32_t length)
{
    struct mv_vsock_header h = *header;
    h.length = length;
    (void)vsockrig_reap(v);
    bool added = vsockrig_add(v, &h, data, length);
    MV_ASSERT(added);
    vdriver_kick(&v->rig.driver, TX);
    vrig_turn(&v->rig);
    (void)vsockrig_reap(v);
}

void vsockrig_post(struct vsockrig *v, unsigned buffers, uint32_t bytes)
{
    struct vdriver_queue *vq = &v->rig.driver.queue[RX];
    for (; buffers > 0 && vq->free > 0; buffers--) {
        const struct vdriver_buffer buffer = {v->rx_gpa, bytes, true};
        uint16_t head = vdriver_add(vq, &buffer, 1);
        v->rx_buffer[head] = v->rx_gpa;
        v->rx_gpa += 4096;
        if (v->rx_gpa >= RX_GPA + 2 * VSOCK_RX_BUFFERS * 4096)
            v->rx_gpa = RX_GPA;
    }
    vdriver_kick(&v->rig.driver, RX);
}

bool vsockrig_receive(struct vsockrig *v, struct mv_vsock_header *header, uint8_t *data,
                      bool keep)
{
    uint16_t head;
    uint32_t written;
    vrig_turn(&v->rig);
    if (!vdriver_reap(&v->rig.driver.queue[RX], &head, &written))
        return false;
    MV_ASSERT(written >= MV_VSOCK_HEADER);
    const uint8_t *bytes = vrig_at(&v->rig, v->rx_buffer[head], written);
    *header = mv_vsock_decode(bytes);
    MV_ASSERT(header->length == written - MV_VSOCK_HEADER);
    if (data)
        memcpy(data, bytes + MV_VSOCK_HEADER, header->length);
    if (!keep) {
        vsockrig_post(v, 1, VSOCK_RX_BYTES);
        vrig_turn(&v->rig);
    }
    return true;
}

intptr_t vsockrig_connect_type(struct vsockrig *v, uint16_t type, uint32_t guest_port,
                               uint32_t buf_alloc)
{
    struct mv_vsock_header h =
        vsockrig_header(MV_VSOCK_REQUEST, guest_port, VSOCK_LISTENS);
    h.type = type;
    h.buf_alloc = buf_alloc;
    vsockrig_send(v, &h, NULL, 0);
    if (!vsockrig_receive(v, &h, NULL, false) || h.op != MV_VSOCK_RESPONSE ||
        h.dst_port != guest_port)
        return MV_SOCKET_NONE;
    v->response = h;
    return v->end[(v->ends - 1) % VSOCK_HOST_ENDS];
}

intptr_t vsockrig_connect(struct vsockrig *v, uint32_t guest_port, uint32_t buf_alloc)
{
    return vsockrig_connect_type(v, MV_VSOCK_STREAM, guest_port, buf_alloc);
}
