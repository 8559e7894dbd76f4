/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Packets to the guest. Connections with work wait in a list and take turns: one
 * control packet, or as many bytes as one read of the socket gives. The read goes
 * straight into the guest's buffers, many at once, each behind the room for its header;
 * the headers are written afterwards, when it is known how much came.
 *
 * A message is read when the credit and the buffers for all of it are there. While
 * there are too few buffers its connection waits at the end of the list, and takes all
 * that it needs when it is its turn and they are there; Linux posts many at a time.
 *
 * Receive buffers are popped in advance and kept, so that small messages do not walk
 * through descriptors that they do not use. The driver is asked for a kick only when
 * there is work and no buffer.
 */
#include "virtio/vsock_conn.h"

#include "util/assert.h"

enum { PUMP_BUFFERS = 256 }; /* of one round: then the loop's others have their turn */

static struct mv_vq *rx_queue(struct mv_vsock *v)
{
    return &v->dev.vq[MV_VSOCK_RX];
}

/* -- buffers -- */

static bool rx_take(struct mv_vsock *v)
{
    struct mv_chain chain;
    if (!mv_vdev_pop(&v->dev, MV_VSOCK_RX, &chain))
        return false;
    struct mv_vsock_buffer *b = &v->stash[v->stash_end];
    b->head = chain.head;
    b->parts = MV_MIN(chain.writable, (uint16_t)MV_VSOCK_PARTS);
    b->bytes = 0;
    for (unsigned i = 0; i < b->parts; i++) {
        b->part[i] = chain.span[chain.readable + i];
        b->bytes += (uint32_t)b->part[i].length;
    }
    if (b->bytes <= MV_VSOCK_HEADER) {
        mv_vdev_fail(&v->dev, "a receive buffer has no room for a packet");
        return false;
    }
    v->stash_end++;
    return true;
}

static bool rx_have(struct mv_vsock *v)
{
    if (v->stash_at < v->stash_end)
        return true;
    v->stash_at = v->stash_end = 0;
    while (v->stash_end < MV_VSOCK_STASH && rx_take(v))
        continue;
    if (!rx_queue(v)->live) /* it has failed */
        v->stash_end = 0;
    return v->stash_end > 0;
}

/* When there are none, a kick will come with the next. */
static bool rx_have_or_listen(struct mv_vsock *v)
{
    if (rx_have(v))
        return true;
    if (!mv_vq_listen(rx_queue(v)))
        return false;
    mv_vq_hush(rx_queue(v));
    return rx_have(v);
}

static bool rx_take_or_listen(struct mv_vsock *v)
{
    if (rx_take(v))
        return true;
    if (!mv_vq_listen(rx_queue(v)))
        return false;
    mv_vq_hush(rx_queue(v));
    return rx_take(v);
}

/* As many buffers as so many bytes need. */
static bool rx_have_for(struct mv_vsock *v, uint32_t bytes)
{
    v->stash_end -= v->stash_at;
    memmove(v->stash, v->stash + v->stash_at, v->stash_end * sizeof v->stash[0]);
    v->stash_at = 0;
    for (unsigned i = 0; bytes > 0; i++) {
        if (i == v->stash_end && (i == MV_VSOCK_STASH || !rx_take_or_listen(v))) {
            if (!rx_queue(v)->live) /* it has failed */
                v->stash_end = 0;
            return false;
        }
        bytes -= MV_MIN(v->stash[i].bytes - MV_VSOCK_HEADER, bytes);
    }
    return true;
}

void mv_vsock_unstash(struct mv_vsock *v)
{
    while (v->stash_end > v->stash_at) {
        if (rx_queue(v)->live)
            mv_vq_unpop(rx_queue(v));
        v->stash_end--;
    }
    v->stash_at = v->stash_end = 0;
}

/* The next buffer goes to the guest with this header and what was read behind it. */
static void rx_push(struct mv_vsock *v, const struct mv_vsock_header *header)
{
    const struct mv_vsock_buffer *b = &v->stash[v->stash_at++];
    uint8_t bytes[MV_VSOCK_HEADER];
    size_t done = 0;
    mv_vsock_encode(header, bytes);
    for (unsigned i = 0; i < b->parts && done < sizeof bytes; i++) {
        size_t n = MV_MIN(b->part[i].length, sizeof bytes - done);
        memcpy(b->part[i].base, bytes + done, n);
        done += n;
    }
    mv_vq_push(rx_queue(v), b->head, MV_VSOCK_HEADER + header->length);
}

/* -- packets -- */

/* Every packet of a connection carries our credit state (5.10.6.3). */
static struct mv_vsock_header rx_header(const struct mv_vsock *v,
                                        struct mv_vsock_conn *c, uint16_t op)
{
    c->told_fwd = c->fwd_cnt;
    c->owed &= (uint16_t)~MV_OWE_CREDIT;
    return (struct mv_vsock_header){.src_cid = MV_VSOCK_CID_HOST,
                                    .dst_cid = v->cid,
                                    .src_port = c->host_port,
                                    .dst_port = c->guest_port,
                                    .type = (uint16_t)c->type,
                                    .op = op,
                                    .buf_alloc = c->buf_alloc,
                                    .fwd_cnt = c->fwd_cnt};
}

static void rx_reset(struct mv_vsock *v)
{
    const struct mv_vsock_reset *r = &v->reset[v->reset_at];
    struct mv_vsock_header h = {.src_cid = r->cid,
                                .dst_cid = v->cid,
                                .src_port = r->host_port,
                                .dst_port = r->guest_port,
                                .type = r->type,
                                .op = MV_VSOCK_RST};
    v->reset_at = (v->reset_at + 1) % MV_VSOCK_RESETS;
    v->resets--;
    rx_push(v, &h);
}

static uint16_t rx_take_owed(struct mv_vsock_conn *c)
{
    static const struct {
        uint16_t owed, op;
    } order[] = {{MV_OWE_REQUEST, MV_VSOCK_REQUEST},
                 {MV_OWE_RESPONSE, MV_VSOCK_RESPONSE},
                 {MV_OWE_SHUTDOWN, MV_VSOCK_SHUTDOWN},
                 {MV_OWE_ASK, MV_VSOCK_CREDIT_REQUEST},
                 {MV_OWE_CREDIT, MV_VSOCK_CREDIT_UPDATE}};
    for (unsigned i = 0; i < MV_ARRAY_LEN(order); i++) {
        if (c->owed & order[i].owed) {
            c->owed &= (uint16_t)~order[i].owed;
            return order[i].op;
        }
    }
    return 0;
}

static void rx_control(struct mv_vsock *v, struct mv_vsock_conn *c)
{
    if (c->owed & MV_OWE_RST) {
        struct mv_vsock_header rst = rx_header(v, c, MV_VSOCK_RST);
        rx_push(v, &rst);
        mv_conn_unkey(v, c);
        return;
    }
    uint16_t op = rx_take_owed(c);
    struct mv_vsock_header h = rx_header(v, c, op);
    if (op == MV_VSOCK_SHUTDOWN) {
        h.flags = c->tell;
        c->told = c->tell;
    }
    rx_push(v, &h);
    mv_conn_list(v, c);
}

/* The room behind a buffer's header, as spans. */
static unsigned rx_room(const struct mv_vsock_buffer *b, uint32_t most,
                        struct mv_span *to)
{
    size_t skip = MV_VSOCK_HEADER;
    unsigned n = 0;
    for (unsigned i = 0; i < b->parts && most > 0; i++) {
        size_t from = MV_MIN(skip, b->part[i].length);
        size_t bytes = MV_MIN(b->part[i].length - from, most);
        skip -= from;
        most -= (uint32_t)bytes;
        if (bytes)
            to[n++] = (struct mv_span){(uint8_t *)b->part[i].base + from, bytes};
    }
    return n;
}

static void rx_push_data(struct mv_vsock *v, struct mv_vsock_conn *c, uint32_t got)
{
    struct mv_vsock_header h = rx_header(v, c, MV_VSOCK_RW);
    c->tx_cnt += got;
    v->in_bytes += got;
    while (got > 0) {
        h.length = MV_MIN(v->stash[v->stash_at].bytes - MV_VSOCK_HEADER, got);
        got -= h.length;
        if (got == 0 && c->type == MICROVM_SOCKET_SEQPACKET)
            h.flags = MV_VSOCK_SEQ_EOM;
        rx_push(v, &h);
    }
}

/* The room of the buffers that are there, up to `most` bytes: how many. */
static uint32_t rx_rooms(const struct mv_vsock *v, uint32_t most, struct mv_span *span,
                         unsigned *spans)
{
    uint32_t room = 0;
    *spans = 0;
    for (unsigned i = v->stash_at; i < v->stash_end && room < most; i++) {
        uint32_t bytes = MV_MIN(v->stash[i].bytes - MV_VSOCK_HEADER, most - room);
        *spans += rx_room(&v->stash[i], bytes, span + *spans);
        room += bytes;
    }
    MV_ASSERT(room > 0);
    return room;
}
_Static_assert(MV_SOCKET_SPANS >= MV_VSOCK_STASH * MV_VSOCK_PARTS, "all at once");

/* What comes before the socket's bytes. */
static void rx_first(struct mv_vsock *v, struct mv_vsock_conn *c)
{
    struct mv_span span[MV_SOCKET_SPANS];
    unsigned n;
    uint32_t left = (uint32_t)(c->first_end - c->first_at);
    uint32_t room = rx_rooms(v, MV_MIN(mv_conn_credit(c), left), span, &n);
    for (unsigned i = 0; i < n; i++) {
        memcpy(span[i].base, c->first + c->first_at, span[i].length);
        c->first_at += (uint16_t)span[i].length;
    }
    rx_push_data(v, c, room);
}

static void rx_stream(struct mv_vsock *v, struct mv_vsock_conn *c)
{
    struct mv_span span[MV_SOCKET_SPANS];
    unsigned n;
    uint32_t room = rx_rooms(v, mv_conn_credit(c), span, &n);
    int64_t got = mv_socket_readv(c->socket, span, n);
    if (got == MV_SOCKET_GONE) {
        mv_conn_abort(v, c);
        return;
    }
    if (got > 0)
        rx_push_data(v, c, (uint32_t)got);
    if (got == (int64_t)room) /* while we read on, the guest begins */
        mv_vsock_signal_rx(v);
    if (got == 0) {
        mv_conn_read_ended(v, c);
    } else if (got < (int64_t)room && !(c->ended && got > 0)) {
        c->readable = false;
        mv_watch_again(&c->watch, MV_WATCH_READ);
    }
}

/* The guest can take it, now or later. */
static bool rx_message_fits(const struct mv_vsock_conn *c, int64_t length)
{
    return length > 0 && length <= MV_VSOCK_MESSAGE && length <= c->peer_buf_alloc;
}

/* False: there are too few buffers for it. */
static bool rx_message(struct mv_vsock *v, struct mv_vsock_conn *c)
{
    struct mv_span span[MV_SOCKET_SPANS];
    int64_t length = mv_socket_next(c->socket);
    c->needs = 1;
    if (length == MV_SOCKET_AGAIN) {
        c->readable = false;
        mv_watch_again(&c->watch, MV_WATCH_READ);
    } else if (length == 0) {
        mv_conn_read_ended(v, c);
    } else if (!rx_message_fits(c, length)) {
        mv_conn_abort(v, c);
    } else if (length > mv_conn_credit(c)) {
        c->needs = (uint32_t)length;
    } else if (rx_have_for(v, (uint32_t)length)) {
        unsigned n;
        (void)rx_rooms(v, (uint32_t)length, span, &n);
        int64_t got = mv_socket_readv(c->socket, span, n);
        if (got > 0) /* all of it */
            rx_push_data(v, c, (uint32_t)got);
        else
            mv_conn_abort(v, c); /* it was there: no way to go on */
    } else if (v->stash_end ==
               MV_MIN((unsigned)MV_VSOCK_STASH, rx_queue(v)->config.size)) {
        mv_conn_abort(v, c); /* there can never be enough */
    } else {
        return false;
    }
    return true;
}

static bool rx_data(struct mv_vsock *v, struct mv_vsock_conn *c)
{
    if (c->type == MICROVM_SOCKET_SEQPACKET)
        return rx_message(v, c);
    if (c->first_at < c->first_end)
        rx_first(v, c);
    else
        rx_stream(v, c);
    return true;
}

/* One turn of whoever is next. False: it could do nothing, for want of buffers. */
static bool rx_turn(struct mv_vsock *v)
{
    if (v->resets > 0) {
        rx_reset(v);
        return true;
    }
    struct mv_vsock_conn *c = v->first;
    bool done = false;
    mv_conn_unlist(v, c); /* to be listed again at the end, if it has more */
    if (!(c->owed & ~MV_OWE_CREDIT) && mv_conn_can_send(c))
        done = rx_data(v, c); /* which carries the credit state */
    if (!done && c->owed && rx_queue(v)->live) {
        rx_control(v, c);
        return true;
    }
    mv_conn_list(v, c);
    return done;
}

static void rx_pump(struct mv_vsock *v)
{
    struct mv_vq *vq = rx_queue(v);
    uint16_t from = vq->used_at;
    bool work = false;
    const struct mv_vsock_conn *stuck = NULL; /* the first that could do nothing */
    while ((work = v->resets > 0 || (v->first && v->first != stuck)) &&
           (uint16_t)(vq->used_at - from) < PUMP_BUFFERS && rx_have_or_listen(v)) {
        const struct mv_vsock_conn *next = v->first;
        if (rx_turn(v))
            stuck = NULL;
        else if (!stuck)
            stuck = next;
    }
    mv_vsock_signal_rx(v);
    if (work && v->stash_at < v->stash_end)
        mv_bell_ring(&v->dev.bell[MV_VSOCK_RX]);
    if (v->tx_waits && v->resets < MV_VSOCK_RESETS / 2) {
        v->tx_waits = false;
        mv_bell_ring(&v->dev.bell[MV_VSOCK_TX]);
    }
}

/* A device that has failed does nothing any more; who is connected to it must know. */
void mv_vsock_pump(struct mv_vsock *v)
{
    v->urgent = false;
    if (rx_queue(v)->live)
        rx_pump(v);
    if (mv_vdev_status(&v->dev) & MV_STATUS_NEEDS_RESET)
        mv_conn_unkey_all(v);
}
