/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where a guest may go: a list of rules, the first that matches decides. A rule names
 * addresses (a range, with a port and protocol or without) or a name. Which addresses
 * a name stands for is the caller's knowledge, never the guest's word.
 *
 * While there is a rule at all, the private ranges are closed unless a rule about
 * addresses opens them (127.0.0.0/8 and ::1 only one within these); and with any
 * "allow", what no rule mentions is closed. Pure. For the user network (netd/policy.h)
 * and for connections by way of the host (backing/outbound.c).
 */
#ifndef MV_CORE_EGRESS_H
#define MV_CORE_EGRESS_H

#include "os/address.h"

enum { MV_EGRESS_RULES_MAX = 64 /* a bit each in a word */ };

enum mv_egress_protocol { MV_EGRESS_TCP = 6, MV_EGRESS_UDP = 17, MV_EGRESS_OTHER = 0 };

struct mv_egress_rule {
    bool allow;
    bool any_below; /* "*.name": what ends in .name */
    char name[254]; /* lower case; "": a rule about addresses */
    struct mv_address address;
    uint8_t bits;     /* of the address that count, up to 128 */
    uint16_t port;    /* 0: any */
    uint8_t protocol; /* MV_EGRESS_OTHER: any */
};

struct mv_egress {
    struct mv_egress_rule rule[MV_EGRESS_RULES_MAX];
    unsigned rules;
    bool has_allow;
};

/* Adds "NAME", "*.NAME", "ADDRESS", "ADDRESS/BITS", each with ":PORT" and "/udp" or
 * "/tcp" or without; IPv6 with a port in brackets. NULL, or what is wrong with it. */
const char *mv_egress_add(struct mv_egress *egress, bool allow, const char *text);

/* The rules that mention this name (lower case, no dot at its end): bit i is rule i. */
uint64_t mv_egress_named(const struct mv_egress *egress, const char *name);
/* May the guest ask for it? */
bool mv_egress_allows_name(const struct mv_egress *egress, const char *name);
/* May it talk to this address, for which the rules of `named` are known to stand, too?
 * With no rules: yes. */
bool mv_egress_allows(const struct mv_egress *egress, const struct mv_address *to,
                      uint16_t port, enum mv_egress_protocol protocol, uint64_t named);
/* Is the address one that names must not stand for: inside, and no rule opens it? */
bool mv_egress_is_inside(const struct mv_egress *egress,
                         const struct mv_address *address);

#endif
