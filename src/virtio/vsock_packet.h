/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The header of every vsock packet (virtio 1.2, 5.10.6): 44 bytes, little-endian, and
 * its constants.
 */
#ifndef MV_VIRTIO_VSOCK_PACKET_H
#define MV_VIRTIO_VSOCK_PACKET_H

#include "util/bytes.h"

enum { MV_VSOCK_HEADER = 44 };

/* Addresses, 5.10.4. */
enum { MV_VSOCK_CID_HOST = 2, MV_VSOCK_CID_MIN = 3 };

/* Types of sockets, 5.10.6. */
enum { MV_VSOCK_STREAM = 1, MV_VSOCK_SEQPACKET = 2 };

/* Flag of RW, 5.10.6.5.1: the message ends with this packet. (Bit 1 is SEQ_EOR, the end
 * of a record of several messages.) */
enum { MV_VSOCK_SEQ_EOM = 1 };

/* Operations, 5.10.6. */
enum {
    MV_VSOCK_REQUEST = 1,
    MV_VSOCK_RESPONSE = 2,
    MV_VSOCK_RST = 3,
    MV_VSOCK_SHUTDOWN = 4,
    MV_VSOCK_RW = 5,
    MV_VSOCK_CREDIT_UPDATE = 6,
    MV_VSOCK_CREDIT_REQUEST = 7
};

/* Flags of SHUTDOWN, 5.10.6.6.1: what its sender will not do any more. */
enum { MV_VSOCK_NO_RECEIVE = 1, MV_VSOCK_NO_SEND = 2, MV_VSOCK_NEITHER = 3 };

struct mv_vsock_header {
    uint64_t src_cid, dst_cid;
    uint32_t src_port, dst_port;
    uint32_t length; /* of the payload */
    uint16_t type, op;
    uint32_t flags;
    uint32_t buf_alloc, fwd_cnt; /* the sender's credit state, 5.10.6.3 */
};

static inline struct mv_vsock_header mv_vsock_decode(const uint8_t *from)
{
    return (struct mv_vsock_header){
        .src_cid = mv_load64(from),
        .dst_cid = mv_load64(from + 8),
        .src_port = mv_load32(from + 16),
        .dst_port = mv_load32(from + 20),
        .length = mv_load32(from + 24),
        .type = mv_load16(from + 28),
        .op = mv_load16(from + 30),
        .flags = mv_load32(from + 32),
        .buf_alloc = mv_load32(from + 36),
        .fwd_cnt = mv_load32(from + 40),
    };
}

static inline void mv_vsock_encode(const struct mv_vsock_header *h, uint8_t *to)
{
    mv_store64(to, h->src_cid);
    mv_store64(to + 8, h->dst_cid);
    mv_store32(to + 16, h->src_port);
    mv_store32(to + 20, h->dst_port);
    mv_store32(to + 24, h->length);
    mv_store16(to + 28, h->type);
    mv_store16(to + 30, h->op);
    mv_store32(to + 32, h->flags);
    mv_store32(to + 36, h->buf_alloc);
    mv_store32(to + 40, h->fwd_cnt);
}

#endif
