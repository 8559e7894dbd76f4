/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Rules and the addresses that names stand for.
 */
#include "policy.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* A client may connect some time after it asked. */
    GRACE_MS = 60 * 1000,
    TTL_MAX_S = 24 * 3600
};

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

struct address address_v4(const uint8_t byte[4])
{
    struct address a;
    memcpy(a.byte, mapped, sizeof mapped);
    memcpy(a.byte + 12, byte, 4);
    return a;
}

static bool address_within(const struct address *a, const struct address *range,
                           unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a->byte, range->byte, whole) != 0)
        return false;
    return rest == 0 || (a->byte[whole] ^ range->byte[whole]) >> (8 - rest) == 0;
}

/* ---- reading rules --------------------------------------------------------------- */

static bool rule_number(const char *text, unsigned long most, unsigned long *out)
{
    char *end;
    if (!isdigit((unsigned char)*text))
        return false;
    *out = strtoul(text, &end, 10);
    return !*end && *out <= most;
}

/* "/udp" or "/tcp" at the end, cut off. */
static void rule_protocol(struct policy_rule *rule, char *text)
{
    char *slash = strrchr(text, '/');
    if (!slash || (strcmp(slash, "/udp") && strcmp(slash, "/tcp")))
        return;
    rule->protocol = slash[1] == 'u' ? POLICY_UDP : POLICY_TCP;
    *slash = '\0';
}

/* ":PORT" at the end, cut off; a bare IPv6 address has none. */
static bool rule_port(struct policy_rule *rule, char *text)
{
    char *colon = strrchr(text, ':');
    bool bracket = *text == '[';
    unsigned long port;
    if (!colon || (!bracket && strchr(text, ':') != colon) ||
        (bracket && colon[-1] != ']'))
        return true;
    if (!rule_number(colon + 1, 65535, &port) || port == 0)
        return false;
    rule->port = (uint16_t)port;
    if (rule->protocol == POLICY_OTHER)
        rule->protocol = POLICY_TCP;
    *colon = '\0';
    return true;
}

/* True: it was an address. */
static bool rule_address(struct policy_rule *rule, char *text, bool *bad)
{
    char *slash = strchr(text, '/');
    unsigned long bits = 0;
    uint8_t v4[4];
    size_t length = strlen(text);
    if (*text == '[' && length > 1 && text[length - 1] == ']') {
        text[length - 1] = '\0';
        text++;
    }
    if (slash)
        *slash = '\0';
    bool is_v4 = inet_pton(AF_INET, text, v4) == 1;
    if (!is_v4 && inet_pton(AF_INET6, text, rule->address.byte) != 1) {
        *bad = slash != NULL || strchr(text, ':') != NULL;
        return false;
    }
    unsigned long most = is_v4 ? 32 : 128;
    *bad = slash && !rule_number(slash + 1, most, &bits);
    if (is_v4)
        rule->address = address_v4(v4);
    rule->bits = (uint8_t)((slash ? bits : most) + (is_v4 ? 96 : 0));
    return true;
}

/* A name as it is asked for: letters, digits, hyphens, underscores, dots between. */
static bool rule_name(struct policy_rule *rule, const char *text)
{
    size_t n = 0;
    if (!strncmp(text, "*.", 2)) {
        rule->any_below = true;
        text += 2;
    }
    for (; text[n]; n++) {
        unsigned char c = (unsigned char)text[n];
        bool dot = c == '.' && n > 0 && text[n - 1] != '.';
        if (n + 1 >= sizeof rule->name || !(isalnum(c) || c == '-' || c == '_' || dot))
            return false;
        rule->name[n] = (char)tolower(c);
    }
    if (n > 0 && rule->name[n - 1] == '.')
        n--;
    rule->name[n] = '\0';
    /* Nothing has a name that ends in a number (RFC 1123, 2.1): it is an address with a
     * mistake in it, and would be a rule about nothing. */
    const char *last = strrchr(rule->name, '.');
    last = last ? last + 1 : rule->name;
    return n > 0 && last[strspn(last, "0123456789")] != '\0';
}

const char *policy_add(struct policy *policy, bool allow, const char *text)
{
    struct policy_rule rule = {.allow = allow};
    char copy[320];
    bool bad = false;
    if (policy->rules == POLICY_RULES_MAX)
        return "there are 64 rules already";
    if (!*text || strlen(text) >= sizeof copy)
        return "it is empty or too long";
    memcpy(copy, text, strlen(text) + 1);
    rule_protocol(&rule, copy);
    if (!rule_port(&rule, copy))
        return "the port is none of 1 to 65535";
    bool is_address = rule_address(&rule, copy, &bad);
    if (bad)
        return "it is no address range (10.0.0.0/8, fc00::/7, [2001:db8::1]:443)";
    if (!is_address && !rule_name(&rule, copy))
        return "it is neither an address nor a name (example.com, *.example.com)";
    policy->rule[policy->rules++] = rule;
    policy->has_allow = policy->has_allow || allow;
    return NULL;
}

/* ---- names ----------------------------------------------------------------------- */

static bool rule_names(const struct policy_rule *rule, const char *name)
{
    size_t n = strlen(name), m = strlen(rule->name);
    if (m == 0)
        return false;
    if (!rule->any_below)
        return !strcmp(name, rule->name);
    return n > m + 1 && name[n - m - 1] == '.' && !strcmp(name + n - m, rule->name);
}

bool policy_allows_name(const struct policy *policy, const char *name)
{
    for (unsigned i = 0; i < policy->rules; i++) {
        if (rule_names(&policy->rule[i], name))
            return policy->rule[i].allow;
    }
    return !policy->has_allow;
}

/* The rules that name an address now, a bit each. */
static uint64_t answers_rules(const struct policy *policy,
                              const struct address *address, uint64_t now_ms)
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
                                          const struct address *address, uint64_t rules)
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
                     const struct address *address, uint32_t ttl_s, uint64_t now_ms)
{
    uint64_t rules = 0;
    for (unsigned i = 0; i < policy->rules; i++)
        rules |= (uint64_t)rule_names(&policy->rule[i], name) << i;
    if (rules == 0)
        return;
    struct policy_answer *place = answer_place(policy, address, rules);
    uint32_t ttl = ttl_s < TTL_MAX_S ? ttl_s : TTL_MAX_S;
    uint64_t until_ms = now_ms + (uint64_t)ttl * 1000 + GRACE_MS;
    if (place->until_ms > until_ms)
        until_ms = place->until_ms;
    *place = (struct policy_answer){*address, rules, until_ms};
}

/* ---- addresses ------------------------------------------------------------------- */

/* What is not the Internet: RFC 6890's registries, and multicast. */
static bool address_is_private(const struct address *a)
{
    static const struct {
        uint8_t byte[4], bits;
    } v4[] = {{{0}, 8},         {{10}, 8},       {{100, 64}, 10},   {{127}, 8},
              {{169, 254}, 16}, {{172, 16}, 12}, {{192, 0, 0}, 24}, {{192, 168}, 16},
              {{198, 18}, 15},  {{224}, 4},      {{240}, 4}};
    static const struct {
        uint8_t byte[2], bits;
    } v6[] = {{{0xfc}, 7}, {{0xfe, 0x80}, 10}, {{0xfe, 0xc0}, 10},
              {{0xff}, 8}, {{0, 0x64}, 16},    {{0x20, 0x02}, 16}};
    struct address range;
    for (unsigned i = 0; i < sizeof v4 / sizeof v4[0]; i++) {
        range = address_v4(v4[i].byte);
        if (address_within(a, &range, 96u + v4[i].bits))
            return true;
    }
    for (unsigned i = 0; i < sizeof v6 / sizeof v6[0]; i++) {
        range = (struct address){{v6[i].byte[0], v6[i].byte[1]}};
        if (address_within(a, &range, v6[i].bits))
            return true;
    }
    range = address_v4((const uint8_t[4]){0});
    bool is_mapped = address_within(a, &range, 96);
    range = (struct address){{0}};
    return !is_mapped && address_within(a, &range, 64); /* :: ::1, IPv4-compatible */
}

static bool rule_covers(const struct policy_rule *rule, const struct address *to,
                        uint16_t port, enum policy_protocol protocol)
{
    return (rule->protocol == POLICY_OTHER || rule->protocol == protocol) &&
           (rule->port == 0 || rule->port == port) &&
           (*rule->name || address_within(to, &rule->address, rule->bits));
}

bool policy_is_inside(const struct policy *policy, const struct address *address)
{
    if (!address_is_private(address))
        return false;
    for (unsigned i = 0; i < policy->rules; i++) {
        const struct policy_rule *rule = &policy->rule[i];
        if (!*rule->name && address_within(address, &rule->address, rule->bits))
            return !rule->allow;
    }
    return true;
}

bool policy_allows(const struct policy *policy, const struct address *to, uint16_t port,
                   enum policy_protocol protocol, uint64_t now_ms)
{
    bool closed = address_is_private(to);
    if (policy->rules == 0)
        return true;
    uint64_t named = answers_rules(policy, to, now_ms);
    for (unsigned i = 0; i < policy->rules; i++) {
        const struct policy_rule *rule = &policy->rule[i];
        bool about = *rule->name ? named >> i & 1 && (!closed || !rule->allow) : true;
        if (about && rule_covers(rule, to, port, protocol))
            return rule->allow;
    }
    return !policy->has_allow && !closed;
}
