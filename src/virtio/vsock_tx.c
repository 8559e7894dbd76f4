/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Packets from the guest (virtio 1.2, 5.10.6). The payload goes from the guest's
 * buffers into the socket directly.
 *
 * Two kinds of nonsense: what is no packet at all (shorter than a header, or than its
 * header says) stops the device; what no connection allows for (more bytes than credit,
 * packets after the end, unknown types and operations) resets that connection.
 */
#include "virtio/vsock_conn.h"

#include "util/assert.h"

/* 5.10.6: a packet for nobody is answered by RST; an RST is answered by nothing. */
static void tx_reset(struct mv_vsock *v, const struct mv_vsock_header *h)
{
    if (h->op == MV_VSOCK_RST)
        return;
    MV_ASSERT(v->resets < MV_VSOCK_RESETS);
    unsigned at = (v->reset_at + v->resets++) % MV_VSOCK_RESETS;
    v->reset[at] =
        (struct mv_vsock_reset){h->dst_cid, h->src_port, h->dst_port, h->type};
}

static void tx_take_credit(struct mv_vsock_conn *c, const struct mv_vsock_header *h)
{
    c->peer_buf_alloc = h->buf_alloc;
    c->peer_fwd = h->fwd_cnt;
    c->asked = false;
}

/* The guest wants a new connection. */
static void tx_request(struct mv_vsock *v, const struct mv_vsock_header *h)
{
    struct mv_vsock_conn *c =
        mv_conn_new(v, (microvm_socket_type)h->type, h->src_port, h->dst_port);
    if (!c) {
        tx_reset(v, h);
        return;
    }
    intptr_t socket = v->host.arrived(v->host.ctx, c->type, h->dst_port, h->src_port);
    if (socket == MV_SOCKET_NONE || !mv_conn_give_socket(v, c, socket)) {
        mv_conn_unkey(v, c);
        tx_reset(v, h);
        return;
    }
    tx_take_credit(c, h);
    c->owed |= MV_OWE_RESPONSE;
    mv_conn_list(v, c);
}

/* The guest has taken a dial of ours. */
static void tx_response(struct mv_vsock *v, struct mv_vsock_conn *c)
{
    if (c->life != MV_CONN_DIALLING) {
        mv_conn_abort(v, c);
        return;
    }
    void *dial = c->dial;
    c->dial = NULL;
    c->life = MV_CONN_OPEN;
    struct mv_span first = {NULL, 0};
    intptr_t socket = v->host.answered(v->host.ctx, dial, c->host_port, &first);
    if (socket == MV_SOCKET_NONE || !mv_conn_give_socket(v, c, socket)) {
        mv_conn_abort(v, c);
        return;
    }
    MV_ASSERT(first.length <= sizeof c->first);
    MV_ASSERT(first.length == 0 || c->type == MICROVM_SOCKET_STREAM);
    if (first.length > 0)
        memcpy(c->first, first.base, first.length);
    c->first_end = (uint16_t)first.length;
    if (c->guest_ends)
        mv_conn_guest_ends(v, c, 0); /* said before there was a socket to end */
}

/* The chain's bytes behind the header, as far as the header says. */
static unsigned tx_payload(const struct mv_chain *chain, uint32_t length,
                           struct mv_span *to)
{
    size_t skip = MV_VSOCK_HEADER;
    unsigned n = 0;
    for (unsigned i = 0; i < chain->readable && length > 0; i++) {
        const struct mv_span *span = &chain->span[i];
        size_t from = MV_MIN(skip, span->length);
        size_t bytes = MV_MIN(span->length - from, length);
        skip -= from;
        length -= (uint32_t)bytes;
        if (bytes)
            to[n++] = (struct mv_span){(uint8_t *)span->base + from, bytes};
    }
    return n;
}

/* No message is longer than the credit, because none of it is consumed before its end
 * has come. */
static void tx_data(struct mv_vsock *v, struct mv_vsock_conn *c,
                    const struct mv_vsock_header *h, const struct mv_chain *chain)
{
    struct mv_span span[MV_VQ_SIZE_MAX];
    const uint32_t length = h->length;
    bool end = c->type == MICROVM_SOCKET_SEQPACKET && h->flags & MV_VSOCK_SEQ_EOM;
    bool ended = c->guest_ends & MV_VSOCK_NO_SEND;
    if (c->life != MV_CONN_OPEN || ended || length > c->buf_alloc - c->fifo.bytes) {
        mv_conn_abort(v, c);
        return;
    }
    if (length > 0 || end)
        mv_conn_write(v, c, span, tx_payload(chain, length, span), length, end);
}

static void tx_rst(struct mv_vsock *v, struct mv_vsock_conn *c)
{
    void *dial = c->life == MV_CONN_DIALLING ? c->dial : NULL;
    mv_conn_unkey(v, c);
    if (dial)
        v->host.refused(v->host.ctx, dial, MV_VSOCK_REFUSED);
}

static void tx_packet(struct mv_vsock *v, struct mv_vsock_conn *c,
                      const struct mv_vsock_header *h, const struct mv_chain *chain)
{
    if (h->op == MV_VSOCK_RST) {
        tx_rst(v, c);
        return;
    }
    if (c->life == MV_CONN_RESETTING)
        return;
    tx_take_credit(c, h);
    switch (h->op) {
    case MV_VSOCK_RESPONSE:
        tx_response(v, c);
        break;
    case MV_VSOCK_SHUTDOWN:
        mv_conn_guest_ends(v, c, h->flags);
        break;
    case MV_VSOCK_RW:
        tx_data(v, c, h, chain);
        break;
    case MV_VSOCK_CREDIT_UPDATE:
        break;
    case MV_VSOCK_CREDIT_REQUEST:
        c->owed |= MV_OWE_CREDIT;
        break;
    default: /* a REQUEST for what is there already, and what does not exist */
        mv_conn_abort(v, c);
        break;
    }
    mv_conn_list(v, c);
}

static void tx_header(struct mv_vsock *v, const struct mv_vsock_header *h,
                      const struct mv_chain *chain)
{
    if (h->src_cid != v->cid)
        return; /* an answer would reach nobody */
    bool ours = h->dst_cid == MV_VSOCK_CID_HOST && mv_vsock_has(v, h->type);
    struct mv_vsock_conn *c = ours ? mv_conn_find(v, h->src_port, h->dst_port) : NULL;
    if (c && c->type == (microvm_socket_type)h->type)
        tx_packet(v, c, h, chain);
    else if (ours && !c && h->op == MV_VSOCK_REQUEST)
        tx_request(v, h);
    else
        tx_reset(v, h);
}

static bool tx_serve(struct mv_vdev *dev, unsigned q, const struct mv_chain *chain)
{
    struct mv_vsock *v = mv_vsock_of(dev);
    uint8_t bytes[MV_VSOCK_HEADER];
    if (v->resets == MV_VSOCK_RESETS) {
        mv_vq_unpop(&dev->vq[q]);
        v->tx_waits = true; /* the pump rings */
        return false;
    }
    if (mv_chain_read(chain, 0, bytes, sizeof bytes) < sizeof bytes) {
        mv_vdev_fail(dev, "a packet is shorter than its header");
        return false;
    }
    struct mv_vsock_header header = mv_vsock_decode(bytes);
    if (header.length > chain->read_bytes - MV_VSOCK_HEADER) {
        mv_vdev_fail(dev, "a packet is shorter than its header says");
        return false;
    }
    tx_header(v, &header, chain);
    mv_vq_push(&dev->vq[q], chain->head, 0);
    v->tx_bytes += MV_MIN(chain->read_bytes, 1u << 20); /* enough to be told */
    if (v->urgent) /* while we go on here, the guest goes on there */
        mv_vsock_pump(v);
    if (header.length > 0)
        mv_vsock_signal_tx(v);
    return true;
}

void mv_vsock_transmit(struct mv_vsock *v)
{
    if (!v->tx_waits)
        mv_vdev_serve_quietly(&v->dev, MV_VSOCK_TX, tx_serve);
    mv_vsock_signal_tx(v);
}
