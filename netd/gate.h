/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The gate between guest and network stack: every frame passes it, in both directions.
 * With no policy it adds what the stack's DHCP leaves out, and keeps the guest
 * from the loopback of the process that it runs in. With one, it lets
 * through what the policy allows, answers what it refuses so that nobody waits, and
 * looks at what our DNS is asked and answers. Pure, but for the clock it is given.
 */
#ifndef NETD_GATE_H
#define NETD_GATE_H

#include "packet.h"
#include "recent.h"

#include <stddef.h>

enum {
    GATE_FRAME_MAX = 65535 + 18,
    GATE_FORWARDS = 256, /* of UDP, at a time */
    GATE_AT_MAX = 64
};

/* Datagrams that come to `at`, of the host's, go to this port of the guest's. */
struct gate_forward {
    char at[GATE_AT_MAX];
    bool v6;
    uint16_t guest_port;
};

struct gate {
    struct policy policy;
    bool restricted; /* nothing is allowed but to answer */
    struct recent recent;
    struct gate_forward forward[GATE_FORWARDS];
    unsigned forwards;
    struct mv_address host[2], dns[2]; /* our own, IPv4 and IPv6 */
    uint16_t mtu;
    /* What was refused. */
    uint64_t connections, names, answers, malformed;
};

enum gate_verdict {
    GATE_PASS,
    GATE_DROP,
    GATE_REPLY /* drop it, and send reply back */
};

/* A frame from the guest. `reply` has room for PACKET_REPLY_MAX or `length` bytes,
 * whichever is more. */
enum gate_verdict gate_from_guest(struct gate *gate, const uint8_t *frame,
                                  size_t length, uint64_t now_ms, uint8_t *reply,
                                  size_t *reply_length);

/* Who sends by this forward may be answered; fewer than GATE_FORWARDS are there. */
void gate_publish(struct gate *gate, const char *at, bool v6, uint16_t guest_port);
void gate_unpublish(struct gate *gate, const char *at);
bool gate_has(const struct gate *gate, const char *at);

/* Could gate_to_guest change or drop this frame? */
bool gate_looks_at(const struct gate *gate, const uint8_t *frame, size_t length);

/* A frame for the guest, in a buffer of GATE_FRAME_MAX bytes; may be changed. Its
 * length, 0: it is dropped. */
size_t gate_to_guest(struct gate *gate, uint8_t *frame, size_t length, uint64_t now_ms);

#endif
