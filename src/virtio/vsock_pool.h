/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where bytes wait that the guest has sent and the host's sockets have not taken yet. A
 * connection's credit (virtio 1.2, 5.10.6.3) is a promise that so many bytes will find
 * room, so each connection reserves its credit here when it is made, and the pool never
 * promises more than it has: a machine's whole limit. The first connections get
 * MV_VSOCK_CREDIT each; as the pool runs low later ones get less, and MV_VSOCK_SLOTS
 * connections all get MV_VSOCK_CREDIT_LEAST.
 *
 * Where a message of a SOCK_SEQPACKET connection ends is a mark, a bit for each byte,
 * beside the bytes: so messages of one byte need no more room than their credit, and a
 * fifo of messages is read as one of a stream is. No message is longer than its
 * connection's credit, which for messages is MV_VSOCK_MESSAGE at most.
 *
 * The pool is address space; pages are touched only when a peer is slow, and go back to
 * the system when nothing waits.
 */
#ifndef MV_VIRTIO_VSOCK_POOL_H
#define MV_VIRTIO_VSOCK_POOL_H

#include "util/err.h"
#include "util/span.h"

#include <stdbool.h>

enum {
    MV_VSOCK_SLOTS = 1024,   /* connections of a machine: each is a descriptor, too */
    MV_VSOCK_CHUNK = 4096,   /* bytes are kept in such pieces */
    MV_VSOCK_CHUNKS = 16384, /* 64 MiB */
    MV_VSOCK_CREDIT = 1 << 20,
    MV_VSOCK_CREDIT_LEAST = 16 << 10,
    /* In either direction: a third of what a socket of Linux takes at once unless told
     * otherwise, so that one is on its way while one is read, and half of what the
     * receive buffers that are taken in advance hold (Linux's are of 3.7 KiB). */
    MV_VSOCK_MESSAGE = 64 << 10
};

/* Bytes of one connection, in order. */
struct mv_vsock_fifo {
    uint32_t bytes;
    uint32_t begun;                   /* of them, of a message that has not ended */
    uint32_t reserved;                /* chunks */
    bool messages;                    /* their ends are marked */
    uint16_t first, last, start, end; /* chunks, where bytes begin and end in them */
};

struct mv_vsock_pool {
    uint8_t *data;     /* chunks, and behind them their marks */
    uint32_t reserved; /* chunks promised */
    uint32_t used,
        touched;   /* chunks in use; [0, touched) have been since the last trim */
    uint16_t free; /* list through next[] */
    uint16_t next[MV_VSOCK_CHUNKS];
};

int mv_vsock_pool_open(struct mv_vsock_pool *pool, microvm_error *err);
void mv_vsock_pool_close(struct mv_vsock_pool *pool);

/* Makes the fifo of a new connection, of which `slots_left` more can come. Returns its
 * credit in bytes. */
uint32_t mv_vsock_fifo_open(struct mv_vsock_pool *pool, struct mv_vsock_fifo *fifo,
                            bool messages, unsigned slots_left);
void mv_vsock_fifo_close(struct mv_vsock_pool *pool, struct mv_vsock_fifo *fifo);

/* Appends; the caller has kept within the credit. Of a message it is a part. */
void mv_vsock_fifo_put(struct mv_vsock_pool *pool, struct mv_vsock_fifo *fifo,
                       const void *data, size_t length);
/* The message whose parts have been put ends here. One without bytes is none. */
void mv_vsock_fifo_end(struct mv_vsock_pool *pool, struct mv_vsock_fifo *fifo);
/* How many bytes may be sent at once: the first message, which is there to its end; of
 * a stream all. */
uint32_t mv_vsock_fifo_first(const struct mv_vsock_pool *pool,
                             const struct mv_vsock_fifo *fifo);
/* The first `length` bytes, as up to `most` spans; and: that many are done with. */
unsigned mv_vsock_fifo_spans(const struct mv_vsock_pool *pool,
                             const struct mv_vsock_fifo *fifo, uint32_t length,
                             struct mv_span *span, unsigned most);
void mv_vsock_fifo_drop(struct mv_vsock_pool *pool, struct mv_vsock_fifo *fifo,
                        size_t length);

#endif
