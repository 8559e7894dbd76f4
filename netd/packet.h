/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What an Ethernet frame carries, as far as a gate must know, and the frames that a
 * gate answers with. Pure; every byte is hostile.
 */
#ifndef NETD_PACKET_H
#define NETD_PACKET_H

#include "policy.h"

#include <stddef.h>

enum {
    PACKET_ETHERNET = 14,
    PACKET_REPLY_MAX = 128 /* bytes of a reply that we make */
};

enum packet_kind {
    PACKET_ARP,
    PACKET_IP,       /* all below is filled in */
    PACKET_FRAGMENT, /* of IP: ports cannot be told */
    PACKET_OTHER     /* malformed, or none of ours */
};

struct packet {
    enum packet_kind kind;
    bool v6;
    struct mv_address from, to;
    uint8_t protocol;            /* IANA's number */
    uint16_t from_port, to_port; /* TCP, UDP */
    bool syn;                    /* TCP: opens a connection */
    uint8_t icmp6_type;
    size_t network, transport; /* offsets of the headers */
    size_t payload, end;       /* what UDP carries; the end of the packet */
};

enum { PROTOCOL_ICMP = 1, PROTOCOL_TCP = 6, PROTOCOL_UDP = 17, PROTOCOL_ICMPV6 = 58 };

void packet_read(const uint8_t *frame, size_t length, struct packet *out);

/* To the sender of a TCP segment: the connection is refused (RST). To the sender of
 * anything else: it is prohibited (ICMP, RFC 1812, 5.2.7.1; RFC 4443, 3.1). Bytes of
 * the reply, of PACKET_REPLY_MAX; 0: none is due. */
size_t packet_refuse(const uint8_t *frame, const struct packet *packet, uint8_t *reply);

/* A frame that carries UDP from `packet`'s receiver back to its sender: the headers
 * before `bytes` of payload that stand at `frame` + packet->payload already are made in
 * place. The frame's new length. */
size_t packet_answer(uint8_t *frame, const struct packet *packet, size_t bytes);

/* The same packet with a payload of another length: lengths and checksums are made
 * anew. UDP only. */
size_t packet_resize(uint8_t *frame, const struct packet *packet, size_t bytes);

/* Are both nothing but acknowledgements of the same connection, the newer one of more?
 * Duplicates, which ask for something, are not, nor are those with options. */
bool packet_ack_replaces(const uint8_t *newer, size_t newer_length,
                         const uint8_t *older, size_t older_length);

#endif
