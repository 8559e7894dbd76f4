/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The bytes of connections that a guest makes by way of its host (outbound.md), for
 * both ends. Pure: no I/O, no allocation, and nothing is kept that has not to be: what
 * a socket has not taken stays in the other one, so that a connection that waits costs
 * a struct. A reader is given what has come and says what of it is payload; a writer
 * says which headers stand between payload that is still to be sent.
 */
#ifndef PROTO_OUTBOUND_H
#define PROTO_OUTBOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    OUTBOUND_PORT = 7601, /* of the host */
    OUTBOUND_HEAD = 13,
    OUTBOUND_ADDRESS_MAX = 255,
    OUTBOUND_CONNECT_LEAST = 4 + 2, /* without its address */
    OUTBOUND_CONNECT_MAX =
        OUTBOUND_HEAD + OUTBOUND_CONNECT_LEAST + OUTBOUND_ADDRESS_MAX,
    OUTBOUND_RESPONSE = OUTBOUND_HEAD + 4,
    OUTBOUND_DATA_MAX = 8192, /* of a packet that is written; read is any length */
    OUTBOUND_PACKETS = 16     /* that are written at once */
};

enum outbound_type {
    OUTBOUND_CONNECT = 1,
    OUTBOUND_RESPOND = 2,
    OUTBOUND_DATA = 3,
    OUTBOUND_CLOSE = 4
};

enum outbound_address { OUTBOUND_IPV4 = 1, OUTBOUND_NAME = 3, OUTBOUND_IPV6 = 4 };

enum outbound_status {
    OUTBOUND_OK = 0,
    OUTBOUND_FAILURE = 1,
    OUTBOUND_REFUSED = 2,
    OUTBOUND_HOST_UNREACHABLE = 3,
    OUTBOUND_NETWORK_UNREACHABLE = 4,
    OUTBOUND_TIMED_OUT = 5,
    OUTBOUND_NO_NAME = 6,
    OUTBOUND_NOT_ALLOWED = 7
};

/* What a guest asks for. */
struct outbound_target {
    uint64_t key; /* the guest's, in all packets of the connection */
    enum outbound_address type;
    uint8_t length; /* of the address: 4, 16, or a name's, printable without spaces */
    uint8_t address[OUTBOUND_ADDRESS_MAX + 1]; /* a zero byte behind it */
    uint16_t port;
};

/* These three read what stands at the beginning of `size` bytes: its length, 0 when
 * more is needed, -1 when it is nothing of its kind. A Connect that names a type of
 * address that is unknown, or one that cannot be, is whole, and *status is what to
 * answer. */
int outbound_connect_read(const uint8_t *bytes, size_t size,
                          struct outbound_target *out, enum outbound_status *status);
int outbound_response_read(const uint8_t *bytes, size_t size, uint64_t key,
                           enum outbound_status *status);
size_t outbound_connect_write(uint8_t out[OUTBOUND_CONNECT_MAX],
                              const struct outbound_target *target);
void outbound_response_write(uint8_t out[OUTBOUND_RESPONSE], uint64_t key,
                             enum outbound_status status);

/* -- a stream in packets -- */

struct outbound_reader {
    uint64_t key;
    uint32_t left; /* payload to come */
    bool ended;    /* Close has come: no more of this direction */
    uint8_t have, head[OUTBOUND_HEAD];
};

/* How many of the bytes are heads, which are understood now; *payload of those behind
 * them are payload, and are to be taken off `left` as they are passed on. -1: this is
 * no packet of the connection, or one after its end. */
int outbound_read(struct outbound_reader *reader, const uint8_t *bytes, size_t size,
                  size_t *payload);

struct outbound_writer {
    uint64_t key;
    uint32_t length; /* payload of the packet that is under way; 0: none is */
    uint32_t sent;   /* of its bytes, with the head */
    bool closing;    /* the last packet is a Close */
};

struct outbound_piece {
    const uint8_t *base;
    size_t length;
};
struct outbound_pieces {
    struct outbound_piece piece[2 * OUTBOUND_PACKETS];
    unsigned count;
    uint8_t head[OUTBOUND_PACKETS][OUTBOUND_HEAD];
};

/* What is to be sent for `size` bytes of payload, which must begin with those that the
 * packet under way has not had yet; at most OUTBOUND_PACKETS packets. With no payload
 * and `closing`: the Close, as far as it is not out. */
void outbound_write(const struct outbound_writer *writer, const uint8_t *bytes,
                    size_t size, struct outbound_pieces *out);
/* So many bytes of that are out: how many were payload. */
size_t outbound_wrote(struct outbound_writer *writer, size_t size, size_t bytes_out);
/* All of the Close is. */
bool outbound_closed(const struct outbound_writer *writer);

#endif
