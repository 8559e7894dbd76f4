/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Frames from the guest: the header is copied and checked, the frame goes to the
 * backing from where it lies. A chain that the backing has no room for is put back, so
 * the device never holds one.
 *
 * A frame that is too short, too long, or whose header asks for what was not negotiated
 * or contradicts itself is dropped and counted, as a wire would lose it: no reason to
 * stop the device.
 */
#include "virtio/net_impl.h"

/* The offload that a kind of segmentation was negotiated as; 0: there is no such kind.
 */
static uint64_t transmit_gso_feature(uint8_t type)
{
    switch (type) {
    case NET_GSO_TCPV4:
        return NET_F_HOST_TSO4;
    case NET_GSO_TCPV6:
        return NET_F_HOST_TSO6;
    case NET_GSO_UDP_L4:
        return NET_F_HOST_USO;
    }
    return 0;
}

/* 5.1.6.2.1: what the driver must and must not. Sizes are checked against the frame, so
 * that a backing may rely on them. */
static bool transmit_header_ok(const struct net *net, const uint8_t *header,
                               size_t length)
{
    uint64_t features = net->dev.negotiated;
    uint8_t flags = header[NET_HDR_FLAGS], gso = header[NET_HDR_GSO_TYPE];
    uint8_t type = gso & (uint8_t)~NET_GSO_ECN;
    if (flags & ~NET_HDR_NEEDS_CSUM)
        return false;
    if (flags) {
        uint32_t start = mv_load16(header + NET_HDR_CSUM_START);
        uint32_t end = start + mv_load16(header + NET_HDR_CSUM_OFFSET) + 2;
        if (!(features & NET_F_CSUM) || end > length)
            return false;
    }
    if (gso == NET_GSO_NONE)
        return true;
    if (gso & NET_GSO_ECN && !(features & NET_F_HOST_ECN))
        return false;
    return flags && features & transmit_gso_feature(type) &&
           mv_load16(header + NET_HDR_HDR_LEN) <= length &&
           mv_load16(header + NET_HDR_GSO_SIZE) > 0;
}

/* The chain's bytes behind the header. */
static unsigned transmit_cut(const struct mv_chain *chain, struct mv_span *to)
{
    size_t skip = MV_NET_HEADER_BYTES;
    unsigned n = 0;
    for (unsigned i = 0; i < chain->readable; i++) {
        const struct mv_span *from = &chain->span[i];
        size_t cut = MV_MIN(skip, from->length);
        if (cut < from->length)
            to[n++] = (struct mv_span){(uint8_t *)from->base + cut, from->length - cut};
        skip -= cut;
    }
    return n;
}

/* False: the backing has no room, or the limit says later. */
static bool transmit_frame(struct net *net, const struct mv_chain *chain)
{
    struct mv_net *to = net->backing;
    uint8_t header[MV_NET_HEADER_BYTES];
    struct mv_span span[1 + NET_QUEUE_SIZE] = {{header, sizeof header}};
    size_t length = chain->read_bytes - mv_chain_read(chain, 0, header, sizeof header);
    if (length < MV_NET_FRAME_MIN || length > MV_NET_FRAME_MAX ||
        !transmit_header_ok(net, header, length)) {
        to->sent_drops++;
        return true;
    }
    if (net->unplugged) {
        to->sent_drops++;
        return true;
    }
    if (!net_limit_ok(net, NET_TRANSMIT))
        return false;
    mv_store16(header + NET_HDR_NUM_BUFFERS, 0);
    unsigned n = 1 + transmit_cut(chain, span + 1);
    bool taken = to->header ? to->ops->send(to, span, n, sizeof header + length)
                            : to->ops->send(to, span + 1, n - 1, length);
    if (!taken)
        return false;
    net_limit_take(net, NET_TRANSMIT, length);
    net->sent_large |= to->prompt && length >= NET_LARGE;
    to->sent_frames++;
    to->sent_bytes += length;
    return true;
}

/* The chains are the driver's again. A stream is acknowledged by the host's stack while
 * it takes it: the answers are there already, and reading them now saves a turn of the
 * loop and an interrupt. */
void net_transmit_commit(struct net *net)
{
    struct mv_net *to = net->backing;
    if (net->filled && to->ops->commit)
        to->ops->commit(to);
    net->filled = 0;
    mv_vq_publish(&net->dev.vq[NET_TRANSMIT]);
    if (!net->sent_large && !to->held)
        return;
    net->sent_large = false;
    net_receive_answers(net);
}

static bool transmit_serve(struct mv_vdev *dev, unsigned q,
                           const struct mv_chain *chain)
{
    if (!transmit_frame(net_of(dev), chain)) {
        mv_vq_unpop(&dev->vq[q]);
        return false; /* until net_transmit_ready, or net_waited */
    }
    struct net *net = net_of(dev);
    mv_vq_fill(&dev->vq[q], chain->head, 0);
    if (++net->filled == NET_BATCH)
        net_transmit_commit(net);
    return true;
}

void net_transmit_kick(struct net *net)
{
    mv_vdev_serve_quietly(&net->dev, NET_TRANSMIT, transmit_serve);
    mv_vdev_signal(&net->dev, NET_RECEIVE);
    mv_vdev_signal(&net->dev, NET_TRANSMIT);
}

void net_transmit_ready(void *device)
{
    struct net *net = net_of(device);
    if (net->dev.vq[NET_TRANSMIT].live)
        net_transmit_kick(net);
}
