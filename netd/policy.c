/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The addresses that names stand for.
 */
#include "policy.h"

#include <string.h>

enum {
    /* A client may connect some time after it asked. */
    GRACE_MS = 60 * 1000,
    TTL_MAX_S = 24 * 3600
};

/* The rules that name an address now, a bit each. */
static uint64_t answers_rules(const struct policy *policy,
                              const struct mv_address *address, uint64_t now_ms)
{
    uint64_t rules = 0;
    for (unsigned i = 0; i < policy->answers; i++) {
        const struct policy_answer *answer = &policy->answer[i];
        if (answer->until_ms > now_ms &&
            !memcmp(&answer->address, address, sizeof *address))
            rules |= answer->rules;
    }
    return rules;
}

/* That of the same address and rules, which has its own end; a free one; or that of the
 * answer which ends first. */
static struct policy_answer *answer_place(struct policy *policy,
                                          const struct mv_address *address,
                                          uint64_t rules)
{
    struct policy_answer *first = &policy->answer[0];
    for (unsigned i = 0; i < policy->answers; i++) {
        struct policy_answer *answer = &policy->answer[i];
        if (answer->rules == rules &&
            !memcmp(&answer->address, address, sizeof *address))
            return answer;
        if (answer->until_ms < first->until_ms)
            first = answer;
    }
    if (policy->answers < POLICY_ADDRESSES_MAX)
        first = &policy->answer[policy->answers++];
    first->until_ms = 0;
    return first;
}

void policy_answered(struct policy *policy, const char *name,
                     const struct mv_address *address, uint32_t ttl_s, uint64_t now_ms)
{
    uint64_t rules = mv_egress_named(&policy->egress, name);
    if (rules == 0)
        return;
    struct policy_answer *place = answer_place(policy, address, rules);
    uint32_t ttl = ttl_s < TTL_MAX_S ? ttl_s : TTL_MAX_S;
    uint64_t until_ms = now_ms + (uint64_t)ttl * 1000 + GRACE_MS;
    if (place->until_ms > until_ms)
        until_ms = place->until_ms;
    *place = (struct policy_answer){*address, rules, until_ms};
}

bool policy_allows(const struct policy *policy, const struct mv_address *to,
                   uint16_t port, enum mv_egress_protocol protocol, uint64_t now_ms)
{
    return policy->egress.rules == 0 ||
           mv_egress_allows(&policy->egress, to, port, protocol,
                            answers_rules(policy, to, now_ms));
}
