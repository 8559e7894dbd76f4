/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The table of connections and the life of their halves.
 */
#include "virtio/vsock_conn.h"

#include "util/assert.h"

/* Ports of ours: above those that people name, below Linux's "any" (2^32 - 1). */
enum { PORT_FIRST = 1 << 30, PORT_COUNT = 1 << 30 };

/* -- the table -- */

static struct mv_vsock_conn **conn_bucket(struct mv_vsock *v, uint32_t guest_port,
                                          uint32_t host_port)
{
    uint32_t hash = (guest_port ^ host_port * 0x9e3779b1u) * 0x85ebca6bu;
    return &v->bucket[hash >> 22];
}
_Static_assert(MV_VSOCK_BUCKETS == 1u << (32 - 22), "the hash's upper bits");

struct mv_vsock_conn *mv_conn_find(struct mv_vsock *v, uint32_t guest_port,
                                   uint32_t host_port)
{
    struct mv_vsock_conn *c = *conn_bucket(v, guest_port, host_port);
    while (c && (c->guest_port != guest_port || c->host_port != host_port))
        c = c->next;
    return c;
}

/* Counts through a quarter of all ports before one is used again, so that a late packet
 * of an old connection does not meet a new one. */
uint32_t mv_conn_new_port(struct mv_vsock *v, uint32_t guest_port)
{
    uint32_t port;
    do
        port = PORT_FIRST + v->next_port++ % PORT_COUNT;
    while (mv_conn_find(v, guest_port, port));
    return port;
}

/* Memory that no connection has needed yet is not touched. */
static struct mv_vsock_conn *conn_take_slot(struct mv_vsock *v)
{
    struct mv_vsock_conn *c = v->free;
    if (c)
        v->free = c->next;
    else if (v->made < MV_VSOCK_SLOTS)
        c = &v->conn[v->made++];
    return c;
}

struct mv_vsock_conn *mv_conn_new(struct mv_vsock *v, microvm_socket_type type,
                                  uint32_t guest_port, uint32_t host_port)
{
    struct mv_vsock_conn *c = conn_take_slot(v);
    if (!c)
        return NULL;
    struct mv_vsock_conn **bucket = conn_bucket(v, guest_port, host_port);
    v->slots_left--;
    *c = (struct mv_vsock_conn){.next = *bucket,
                                .owner = v,
                                .type = type,
                                .keyed = true,
                                .life = MV_CONN_OPEN,
                                .guest_port = guest_port,
                                .host_port = host_port,
                                .needs = 1,
                                .socket = MV_SOCKET_NONE};
    bool messages = type == MICROVM_SOCKET_SEQPACKET;
    c->buf_alloc = mv_vsock_fifo_open(&v->pool, &c->fifo, messages, v->slots_left);
    *bucket = c;
    return c;
}

static void conn_free_if_over(struct mv_vsock *v, struct mv_vsock_conn *c)
{
    if (c->keyed || c->socket != MV_SOCKET_NONE)
        return;
    mv_vsock_fifo_close(&v->pool, &c->fifo);
    c->next = v->free;
    v->free = c;
    v->slots_left++;
}

/* -- the list of those with work -- */

void mv_conn_unlist(struct mv_vsock *v, struct mv_vsock_conn *c)
{
    if (!c->listed)
        return;
    c->listed = false;
    *(c->before ? &c->before->after : &v->first) = c->after;
    *(c->after ? &c->after->before : &v->last) = c->before;
}

uint32_t mv_conn_credit(const struct mv_vsock_conn *c)
{
    uint32_t flying = c->tx_cnt - c->peer_fwd;
    return flying < c->peer_buf_alloc ? c->peer_buf_alloc - flying : 0;
}

static bool conn_has_data(const struct mv_vsock_conn *c)
{
    return c->life == MV_CONN_OPEN && !c->read_ended &&
           (c->readable || c->first_at < c->first_end);
}

bool mv_conn_can_send(const struct mv_vsock_conn *c)
{
    return conn_has_data(c) && mv_conn_credit(c) >= c->needs;
}

void mv_conn_list(struct mv_vsock *v, struct mv_vsock_conn *c)
{
    bool can = mv_conn_can_send(c);
    if (!can && conn_has_data(c) && !c->asked)
        mv_vsock_ask_later(v);
    if (!c->keyed || (!c->owed && !can)) {
        mv_conn_unlist(v, c);
        return;
    }
    if (c->listed)
        return;
    c->listed = true;
    c->after = NULL;
    c->before = v->last;
    *(v->last ? &v->last->after : &v->first) = c;
    v->last = c;
}

/* -- the host's half -- */

static void conn_close_socket(struct mv_vsock *v, struct mv_vsock_conn *c)
{
    bool cut = c->cut || (c->fifo.bytes && !c->gone);
    mv_watch_remove(&c->watch);
    if (v->host.closed)
        v->host.closed(v->host.ctx, c->socket, cut);
    mv_socket_close(c->socket);
    c->socket = MV_SOCKET_NONE;
    c->readable = false;
    mv_vsock_fifo_drop(&v->pool, &c->fifo, c->fifo.bytes);
}

static void conn_tell(struct mv_vsock_conn *c, unsigned flags)
{
    c->tell |= (uint8_t)flags;
    if (c->tell & ~c->told && c->life == MV_CONN_OPEN)
        c->owed |= MV_OWE_SHUTDOWN;
}

/* The peer will read nothing more: what waits for it and what the guest goes on to send
 * is consumed by nobody. */
static void conn_write_failed(struct mv_vsock *v, struct mv_vsock_conn *c)
{
    c->fwd_cnt += c->fifo.bytes;
    mv_vsock_fifo_drop(&v->pool, &c->fifo, c->fifo.bytes);
    c->write_ended = true;
    conn_tell(c, MV_VSOCK_NO_RECEIVE);
}

/* We owe the guest our credit state when it has not heard of half of its window; the
 * other half keeps it busy until it hears. The window is our credit, but no more than
 * its own buffer: Linux keeps to that, too (since 2026), and would wait for ever for a
 * word that is due only later. While messages wait here at once: the rest of the last
 * may need all the credit there is. */
static void conn_consumed(struct mv_vsock_conn *c, uint32_t bytes)
{
    c->fwd_cnt += bytes;
    uint32_t window = MV_MIN(c->buf_alloc, c->peer_buf_alloc);
    uint32_t untold = c->fwd_cnt - c->told_fwd;
    bool rest = c->fifo.messages && c->fifo.bytes > 0;
    if (untold == 0 || (untold < window / 2 && !rest))
        return;
    c->owed |= MV_OWE_CREDIT;
    c->owner->urgent = true;
}

/* Bytes are there that the socket has not taken, though it could have: not of a message
 * whose rest is missing. */
static bool conn_waits(const struct mv_vsock_conn *c)
{
    return c->fifo.bytes > c->fifo.begun;
}

/* What is to be done when all that the guest has sent is out. */
static void conn_flushed(struct mv_vsock *v, struct mv_vsock_conn *c)
{
    if (c->said_all && !c->write_ended) {
        c->write_ended = true;
        mv_socket_end_write(c->socket);
    }
    if (c->closing)
        conn_close_socket(v, c);
}

static void conn_flush(struct mv_vsock *v, struct mv_vsock_conn *c)
{
    struct mv_span span[MV_VSOCK_STASH];
    _Static_assert(MV_VSOCK_STASH > MV_VSOCK_MESSAGE / MV_VSOCK_CHUNK, "all at once");
    while (conn_waits(c)) {
        uint32_t length = mv_vsock_fifo_first(&v->pool, &c->fifo);
        unsigned n =
            mv_vsock_fifo_spans(&v->pool, &c->fifo, length, span, MV_ARRAY_LEN(span));
        int64_t moved = mv_socket_writev(c->socket, span, n);
        if (moved == MV_SOCKET_AGAIN) {
            mv_watch_again(&c->watch, MV_WATCH_WRITE);
            return;
        }
        if (moved < 0) {
            conn_write_failed(v, c);
            break;
        }
        mv_vsock_fifo_drop(&v->pool, &c->fifo, (size_t)moved);
        conn_consumed(c, (uint32_t)moved);
    }
    conn_flushed(v, c);
}

/* What is in the fifo goes first. A message goes as one, or not at all. */
static bool conn_goes_straight(const struct mv_vsock_conn *c, unsigned spans, bool end)
{
    if (c->fifo.messages && (!end || spans > MV_SOCKET_SPANS))
        return false;
    return c->fifo.bytes == 0;
}

void mv_conn_write(struct mv_vsock *v, struct mv_vsock_conn *c,
                   const struct mv_span *span, unsigned spans, uint32_t length,
                   bool end)
{
    int64_t moved = 0;
    c->rx_cnt += length;
    v->out_bytes += length;
    if (c->socket == MV_SOCKET_NONE || c->write_ended) {
        conn_consumed(c, length);
        return;
    }
    bool before = conn_waits(c);
    if (length > 0 && conn_goes_straight(c, spans, end))
        moved = mv_socket_writev(c->socket, span, spans);
    if (moved == MV_SOCKET_GONE) {
        conn_write_failed(v, c);
        conn_consumed(c, length);
        return;
    }
    size_t done = moved > 0 ? (size_t)moved : 0, skip = done;
    for (unsigned i = 0; i < spans; i++) {
        size_t n = MV_MIN(skip, span[i].length);
        skip -= n;
        mv_vsock_fifo_put(&v->pool, &c->fifo, (uint8_t *)span[i].base + n,
                          span[i].length - n);
    }
    if (end)
        mv_vsock_fifo_end(&v->pool, &c->fifo);
    conn_consumed(c, (uint32_t)done);
    if (conn_waits(c) && c->fifo.messages && !before)
        conn_flush(v, c); /* it was put together in the fifo */
    else if (conn_waits(c))
        mv_watch_again(&c->watch, MV_WATCH_WRITE);
}

void mv_conn_read_ended(struct mv_vsock *v, struct mv_vsock_conn *c)
{
    c->read_ended = true;
    conn_tell(c, MV_VSOCK_NO_SEND | (c->gone ? MV_VSOCK_NO_RECEIVE : 0));
    if (c->gone)
        conn_close_socket(v, c);
}

/* Tells the pump; what can be written is written now. */
static void conn_ready(struct mv_watch *watch, unsigned events)
{
    struct mv_vsock_conn *c = MV_CONTAINER(watch, struct mv_vsock_conn, watch);
    struct mv_vsock *v = c->owner;
    if (events & MV_WATCH_READ && c->readable) /* it waits for the guest */
        mv_watch_mute(watch, MV_WATCH_READ);
    if (events & MV_WATCH_READ)
        c->readable = true;
    c->ended |= (events & MV_WATCH_END) != 0;
    c->gone |= (events & MV_WATCH_GONE) != 0;
    if (events & MV_WATCH_WRITE && conn_waits(c))
        conn_flush(v, c);
    else if (events & MV_WATCH_WRITE)
        mv_watch_mute(watch, MV_WATCH_WRITE);
    if (c->gone && c->read_ended && c->socket != MV_SOCKET_NONE) {
        conn_tell(c, MV_VSOCK_NEITHER);
        conn_close_socket(v, c);
    }
    mv_conn_list(v, c);
    conn_free_if_over(v, c);
}

bool mv_conn_give_socket(struct mv_vsock *v, struct mv_vsock_conn *c, intptr_t socket)
{
    c->watch.ready = conn_ready;
    if (mv_watch_add(v->watches, &c->watch, socket)) {
        mv_socket_close(socket);
        return false;
    }
    c->socket = socket;
    v->connections++;
    return true;
}

/* -- ends -- */

/* No more is read; closed when what the guest has sent is out. */
static void conn_close_soon(struct mv_vsock *v, struct mv_vsock_conn *c)
{
    c->read_ended = c->closing = true;
    if (c->socket != MV_SOCKET_NONE && !conn_waits(c))
        conn_close_socket(v, c);
}

/* Before the guest's half ends. */
static void conn_note_cut(struct mv_vsock_conn *c)
{
    c->cut |= c->life == MV_CONN_OPEN && !(c->guest_ends & MV_VSOCK_NO_SEND);
}

void mv_conn_abort(struct mv_vsock *v, struct mv_vsock_conn *c)
{
    conn_note_cut(c);
    void *dial = c->life == MV_CONN_DIALLING ? c->dial : NULL;
    c->life = MV_CONN_RESETTING;
    c->owed = MV_OWE_RST;
    conn_close_soon(v, c);
    mv_conn_list(v, c);
    if (dial)
        v->host.refused(v->host.ctx, dial, MV_VSOCK_REFUSED);
}

void mv_conn_guest_ends(struct mv_vsock *v, struct mv_vsock_conn *c, uint32_t flags)
{
    c->guest_ends |= (uint8_t)(flags & MV_VSOCK_NEITHER);
    c->said_all |= c->guest_ends == MV_VSOCK_NO_SEND;
    if (c->guest_ends == MV_VSOCK_NEITHER) {
        mv_conn_abort(v, c); /* 5.10.6.6.1: RST is the answer */
        return;
    }
    if (c->socket == MV_SOCKET_NONE)
        return;
    if (c->guest_ends & MV_VSOCK_NO_RECEIVE && !c->read_ended) {
        c->read_ended = true;
        mv_socket_end_read(c->socket);
    }
    if (!conn_waits(c))
        conn_flushed(v, c);
}

void mv_conn_unkey(struct mv_vsock *v, struct mv_vsock_conn *c)
{
    struct mv_vsock_conn **at = conn_bucket(v, c->guest_port, c->host_port);
    MV_ASSERT(c->keyed);
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    mv_conn_unlist(v, c);
    c->keyed = false;
    c->owed = 0;
    conn_note_cut(c);
    c->life = MV_CONN_RESETTING;
    conn_close_soon(v, c);
    conn_free_if_over(v, c);
}

void mv_conn_unkey_all(struct mv_vsock *v)
{
    for (unsigned i = 0; i < v->made; i++) {
        struct mv_vsock_conn *c = &v->conn[i];
        if (!c->keyed)
            continue;
        void *dial = c->life == MV_CONN_DIALLING ? c->dial : NULL;
        mv_conn_unkey(v, c);
        if (dial)
            v->host.refused(v->host.ctx, dial, MV_VSOCK_LOST);
    }
}

void mv_conn_close_all(struct mv_vsock *v)
{
    for (unsigned i = 0; i < v->made; i++) {
        struct mv_vsock_conn *c = &v->conn[i];
        if (c->keyed)
            mv_conn_unkey(v, c);
        if (c->socket == MV_SOCKET_NONE)
            continue;
        conn_close_socket(v, c);
        conn_free_if_over(v, c);
    }
}
