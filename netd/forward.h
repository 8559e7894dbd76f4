/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A forward from the host to the guest, "[ADDR:]HOST:GUEST[/udp]". Pure.
 *
 * libslirp knows no connection of two families: what listens on an IPv6 address leads
 * to the guest's IPv6 address. The guest's address is zero: where it is, by DHCP's
 * lease, or what neighbour discovery has found when a connection comes.
 */
#ifndef NETD_FORWARD_H
#define NETD_FORWARD_H

#include "gate.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

union forward_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct forward {
    union forward_address host, guest;
    socklen_t bytes; /* of each */
    bool v6, udp;
};

/* NULL, or what is wrong. */
const char *forward_parse(struct forward *f, const char *text);

uint16_t forward_guest_port(const struct forward *f);

/* Where it listens, always written in one way: "127.0.0.1:8080/tcp". */
enum { FORWARD_AT_MAX = GATE_AT_MAX };
void forward_show(const struct forward *f, char at[FORWARD_AT_MAX]);

#endif
