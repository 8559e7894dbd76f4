/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The connections of a vsock device, and what its files share. A connection has two
 * halves, which end separately:
 *
 *     guest <--packets-- the guest's half: ports in the table, credit both ways
 *                        the host's half: a socket, bytes that it has not taken yet
 *
 * When the guest's half ends (RST either way, a driver's reset) the host's half stays
 * until the socket has taken what the guest had sent: then its reader gets the end of
 * file. When the host's half ends the guest is told (SHUTDOWN, RST) and its half stays
 * until it has answered. A slot is free when both have ended.
 *
 *   vsock.c        the device type: queues, life cycle, event queue
 *   vsock_tx.c     packets from the guest
 *   vsock_rx.c     packets to the guest: control packets owed, data from sockets
 *   vsock_conn.c   the table and both halves
 *   vsock_timer.c  what is done a little later
 *   vsock_pool.c   where bytes wait for slow sockets
 *
 * A message from the guest is sent to the socket when it is there to its end; one to
 * the guest is read when the guest's credit and its buffers hold all of it. One that
 * can never be passed on resets its connection.
 *
 * Bounds. Nothing here allocates after open. A control packet that cannot be sent yet
 * is a bit in its connection; resets that belong to no connection have a ring of their
 * own, and when that is full no more packets of the guest are looked at until it takes
 * some (5.10.6.1.1 allows for such resources, and for their exhaustion).
 */
#ifndef MV_VIRTIO_VSOCK_CONN_H
#define MV_VIRTIO_VSOCK_CONN_H

#include "backing/vsock.h"
#include "os/watch.h"
#include "virtio/vdev.h"
#include "virtio/vsock_packet.h"
#include "virtio/vsock_pool.h"

enum { MV_VSOCK_RX = 0, MV_VSOCK_TX = 1, MV_VSOCK_EVENT = 2, MV_VSOCK_QUEUES = 3 };

#define MV_VSOCK_F_SEQPACKET (1ull << 1) /* 5.10.3 */
_Static_assert((int)MV_VSOCK_STREAM == (int)MICROVM_SOCKET_STREAM &&
                   (int)MV_VSOCK_SEQPACKET == (int)MICROVM_SOCKET_SEQPACKET,
               "types are the same numbers everywhere");

/* Packets that are to be sent to the guest, in this order. */
enum {
    MV_OWE_REQUEST = 1,
    MV_OWE_RESPONSE = 2,
    MV_OWE_CREDIT = 4,    /* our credit state, in whatever packet goes out next */
    MV_OWE_ASK = 8,       /* CREDIT_REQUEST: we have bytes and no credit */
    MV_OWE_SHUTDOWN = 16, /* what is in tell and not in told */
    MV_OWE_RST = 32       /* and then the guest's half has ended */
};

enum mv_vsock_life {
    MV_CONN_DIALLING, /* we have sent REQUEST */
    MV_CONN_OPEN,
    MV_CONN_RESETTING /* RST is owed; packets of the guest are ignored */
};

struct mv_vsock_conn {
    struct mv_watch watch;
    struct mv_vsock *owner;
    struct mv_vsock_conn *next;           /* in its bucket, or of the free ones */
    struct mv_vsock_conn *after, *before; /* in the list of those with work */
    bool listed;
    microvm_socket_type type;

    /* The guest's half, while keyed. */
    bool keyed;
    enum mv_vsock_life life;
    uint32_t guest_port, host_port;
    uint16_t owed;
    uint8_t tell, told; /* flags of our SHUTDOWN: to be said, said */
    uint8_t guest_ends; /* flags of the guest's */
    void *dial;         /* the host's word for it, while DIALLING */
    /* Credit, 5.10.6.3; sequence numbers that wrap. Ours for what the guest sends: */
    uint32_t buf_alloc, rx_cnt, fwd_cnt, told_fwd;
    /* and the guest's for what we send. */
    uint32_t peer_buf_alloc, peer_fwd, tx_cnt;
    uint32_t needs; /* credit to go on: 1, or the next message's when it is known */
    bool asked;     /* for credit, since the guest's was last heard of */

    /* The host's half, while there is a socket. */
    intptr_t socket;
    bool readable;   /* bytes or an end may wait in the socket */
    bool ended;      /* the peer writes no more: there is an end to be read */
    bool gone;       /* it has closed both directions */
    bool read_ended; /* nothing more is read from it */
    bool closing;    /* to be closed when the fifo is empty */
    bool write_ended;
    bool cut;      /* the guest's half ended without its end of what it sends */
    bool said_all; /* the guest ended what it sends while it went on to receive */
    struct mv_vsock_fifo fifo;

    /* What the guest gets before the socket's bytes. */
    uint16_t first_at, first_end;
    uint8_t first[MV_VSOCK_FIRST];
};

enum {
    MV_VSOCK_BUCKETS = 1024,
    MV_VSOCK_RESETS = 256, /* as many as the guest's largest queue can cause at once */
    MV_VSOCK_STASH = 32,   /* receive buffers taken in advance: 120 KiB of Linux's */
    MV_VSOCK_PARTS = 4     /* descriptors of a receive buffer that we use */
};

/* A receive buffer that was popped: its first parts, at least a header long. */
struct mv_vsock_buffer {
    uint16_t head, parts;
    uint32_t bytes;
    struct mv_span part[MV_VSOCK_PARTS];
};

/* A reset for a packet that belongs to no connection. */
struct mv_vsock_reset {
    uint64_t cid; /* that the guest sent to */
    uint32_t guest_port, host_port;
    uint16_t type;
};

struct mv_vsock {
    struct mv_vdev dev;
    struct mv_vsock_host host;
    uint64_t cid; /* the guest's */
    struct mv_watch_set *watches;

    struct mv_vsock_conn *conn; /* MV_VSOCK_SLOTS, of which `made` have been in use */
    struct mv_vsock_conn *free, *bucket[MV_VSOCK_BUCKETS];
    unsigned made, slots_left;
    struct mv_vsock_conn *first, *last; /* with work for the guest's rx queue */
    uint32_t next_port;                 /* for the next dial */

    struct mv_vsock_reset reset[MV_VSOCK_RESETS];
    unsigned reset_at, resets;
    bool tx_waits;      /* for room in that ring */
    uint32_t tx_bytes;  /* of used tx buffers, since their last signal */
    uint16_t tx_untold; /* used buffers whose signal a stop has put off */
    bool urgent;        /* somebody is owed credit, and may be waiting for it */

    struct mv_vsock_buffer stash[MV_VSOCK_STASH]; /* [stash_at, stash_end) are left */
    unsigned stash_at, stash_end;

    uint64_t connections, out_bytes, in_bytes; /* counters */
    struct mv_vsock_timers *timers;
    bool reset_event; /* TRANSPORT_RESET is to be sent, 5.10.6.7 */
    struct mv_vsock_pool pool;
};

static inline struct mv_vsock *mv_vsock_of(struct mv_vdev *dev)
{
    return MV_CONTAINER(dev, struct mv_vsock, dev);
}

/* The driver knows sockets of that type. */
static inline bool mv_vsock_has(const struct mv_vsock *v, uint16_t type)
{
    return type == MV_VSOCK_STREAM ||
           (type == MV_VSOCK_SEQPACKET && v->dev.negotiated & MV_VSOCK_F_SEQPACKET);
}

/* -- vsock_conn.c -- */

/* A new connection that is keyed, or NULL: there is no slot. */
struct mv_vsock_conn *mv_conn_new(struct mv_vsock *v, microvm_socket_type type,
                                  uint32_t guest_port, uint32_t host_port);
struct mv_vsock_conn *mv_conn_find(struct mv_vsock *v, uint32_t guest_port,
                                   uint32_t host_port);
/* A port of ours for a dial to the guest's. */
uint32_t mv_conn_new_port(struct mv_vsock *v, uint32_t guest_port);

/* Takes the socket; false: it could not be watched, and is closed. */
bool mv_conn_give_socket(struct mv_vsock *v, struct mv_vsock_conn *c, intptr_t socket);
/* Bytes from the guest into the socket, what it does not take into the fifo. `end`: a
 * message ends with them. */
void mv_conn_write(struct mv_vsock *v, struct mv_vsock_conn *c,
                   const struct mv_span *span, unsigned spans, uint32_t length,
                   bool end);
/* The guest has sent SHUTDOWN. */
void mv_conn_guest_ends(struct mv_vsock *v, struct mv_vsock_conn *c, uint32_t flags);
/* The socket gives no more bytes. */
void mv_conn_read_ended(struct mv_vsock *v, struct mv_vsock_conn *c);

/* Owes the guest an RST; the host's half ends when its bytes are out. A dial has been
 * refused. */
void mv_conn_abort(struct mv_vsock *v, struct mv_vsock_conn *c);
/* The guest's half has ended. The slot may be gone after this. */
void mv_conn_unkey(struct mv_vsock *v, struct mv_vsock_conn *c);
/* All of them, as a driver's reset does; and: sockets closed at once. */
void mv_conn_unkey_all(struct mv_vsock *v);
void mv_conn_close_all(struct mv_vsock *v);

/* How much the guest's credit allows to be sent; and: the socket may have something to
 * send, and credit allows for it. */
uint32_t mv_conn_credit(const struct mv_vsock_conn *c);
bool mv_conn_can_send(const struct mv_vsock_conn *c);
/* After every change: into the list of those with work, or out of it. */
void mv_conn_list(struct mv_vsock *v, struct mv_vsock_conn *c);
void mv_conn_unlist(struct mv_vsock *v, struct mv_vsock_conn *c);

/* -- vsock_timer.c -- */

int mv_vsock_timers_open(struct mv_vsock *v, microvm_error *err);
void mv_vsock_timers_close(struct mv_vsock *v);
void mv_vsock_timers_stop(struct mv_vsock *v);
/* Tells the driver now of rx buffers that are used, and of tx buffers with them; and:
 * soon of tx buffers. */
void mv_vsock_signal_rx(struct mv_vsock *v);
void mv_vsock_signal_tx(struct mv_vsock *v);
/* A connection has bytes and no credit. Most guests say by themselves when they have
 * room; after a while they are asked. */
void mv_vsock_ask_later(struct mv_vsock *v);

/* -- vsock_tx.c -- */

/* A kick of the tx queue. */
void mv_vsock_transmit(struct mv_vsock *v);

/* -- vsock_rx.c -- */

/* Sends what is owed and what sockets have, as far as the guest has buffers. Of a
 * device that has failed: ends all connections. */
void mv_vsock_pump(struct mv_vsock *v);
/* Gives the buffers that were taken in advance back to the queue. */
void mv_vsock_unstash(struct mv_vsock *v);

#endif
