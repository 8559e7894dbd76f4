/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where the guest of a user network may go: rules (core/egress.h), and the addresses
 * that names stand for, which is what our DNS has answered: an address belongs to a
 * name for as long as the answer was good, and to nobody else; so knowing an address is
 * no way around. Pure: no system calls, time comes from the caller.
 */
#ifndef NETD_POLICY_H
#define NETD_POLICY_H

#include "core/egress.h"

enum { POLICY_ADDRESSES_MAX = 1024 /* that names stand for; what ends first goes */ };

/* One for each address and each set of rules that a name of it matches. */
struct policy_answer {
    struct mv_address address;
    uint64_t rules; /* bit i: rule i names it */
    uint64_t until_ms;
};

struct policy {
    struct mv_egress egress;
    struct policy_answer answer[POLICY_ADDRESSES_MAX];
    unsigned answers;
};

/* May the guest talk to this? With no rules: yes. */
bool policy_allows(const struct policy *policy, const struct mv_address *to,
                   uint16_t port, enum mv_egress_protocol protocol, uint64_t now_ms);
/* Our DNS has answered a question for `name` with this address. */
void policy_answered(struct policy *policy, const char *name,
                     const struct mv_address *address, uint32_t ttl_s, uint64_t now_ms);

#endif
