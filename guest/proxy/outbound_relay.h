/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A client's bytes to the host and back, in packets (proto/outbound.md). Nothing is
 * kept of them: what one socket does not take stays in the other. Each direction ends
 * by itself; a socket that fails, or the host's without a Close, cuts both off.
 */
#ifndef GUEST_OUTBOUND_RELAY_H
#define GUEST_OUTBOUND_RELAY_H

#include "guest/lib/loop.h"
#include "proto/outbound.h"

struct outbound_relay {
    struct watch client; /* its first member */
    struct watch host;
    struct outbound_reader reader; /* from the host, */
    struct outbound_writer writer; /* and to it */
    bool client_ended, host_ended; /* nothing more is read from there */
    bool client_full, host_full;   /* no room there now */
    bool client_told, host_told;   /* of the other's end */
};

/* The watches are there already. `first`: bytes of the client that were read before;
 * false: the host does not take them. */
bool outbound_relay_open(struct outbound_relay *relay, uint64_t key,
                         const uint8_t *first, size_t length);
/* 1: it goes on; 0: it is over, all is said; -1: it is to be cut off. */
int outbound_relay_turn(struct outbound_relay *relay);

#endif
