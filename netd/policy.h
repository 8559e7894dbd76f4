/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where the guest may go: a list of rules, the first that matches decides. A rule names
 * addresses (a range, with a port and protocol or without) or a name. Names are decided
 * by what our DNS has answered: an address belongs to a name for as long as the answer
 * was good, and to nobody else; so knowing an address is no way around.
 *
 * While there is a rule at all, the private ranges and the host itself are closed
 * unless a rule about addresses opens them; and with any "allow", what no rule
 * mentions is closed. Pure: no system calls, time comes from the caller.
 */
#ifndef NETD_POLICY_H
#define NETD_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    POLICY_RULES_MAX = 64,      /* a bit each in a word */
    POLICY_ADDRESSES_MAX = 1024 /* that names stand for; what ends first goes */
};

/* An IPv4 address is written as IPv4-mapped (::ffff:a.b.c.d, RFC 4291, 2.5.5.2). */
struct address {
    uint8_t byte[16];
};

enum policy_protocol { POLICY_TCP = 6, POLICY_UDP = 17, POLICY_OTHER = 0 };

struct policy_rule {
    bool allow;
    bool any_below; /* "*.name": what ends in .name */
    char name[254]; /* lower case; "": a rule about addresses */
    struct address address;
    uint8_t bits;     /* of the address that count, up to 128 */
    uint16_t port;    /* 0: any */
    uint8_t protocol; /* POLICY_OTHER: any */
};

/* One for each address and each set of rules that a name of it matches. */
struct policy_answer {
    struct address address;
    uint64_t rules; /* bit i: rule i names it */
    uint64_t until_ms;
};

struct policy {
    struct policy_rule rule[POLICY_RULES_MAX];
    unsigned rules;
    bool has_allow;
    struct policy_answer answer[POLICY_ADDRESSES_MAX];
    unsigned answers;
};

/* Adds "NAME", "*.NAME", "ADDRESS", "ADDRESS/BITS", each with ":PORT" and "/udp" or
 * "/tcp" or without; IPv6 with a port in brackets. NULL, or what is wrong with it. */
const char *policy_add(struct policy *policy, bool allow, const char *text);

/* May the guest talk to this? With no rules: yes. */
bool policy_allows(const struct policy *policy, const struct address *to, uint16_t port,
                   enum policy_protocol protocol, uint64_t now_ms);
/* May it ask for this name (lower case, no dot at its end)? */
bool policy_allows_name(const struct policy *policy, const char *name);
/* Is the address one that names must not stand for: inside, and no rule opens it? */
bool policy_is_inside(const struct policy *policy, const struct address *address);
/* Our DNS has answered a question for `name` with this address. */
void policy_answered(struct policy *policy, const char *name,
                     const struct address *address, uint32_t ttl_s, uint64_t now_ms);

struct address address_v4(const uint8_t byte[4]);

#endif
