/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Rules: how they are read, and what they say.
 */
#include "core/egress.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static bool address_within(const struct mv_address *a, const struct mv_address *range,
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
static void rule_protocol(struct mv_egress_rule *rule, char *text)
{
    char *slash = strrchr(text, '/');
    if (!slash || (strcmp(slash, "/udp") && strcmp(slash, "/tcp")))
        return;
    rule->protocol = slash[1] == 'u' ? MV_EGRESS_UDP : MV_EGRESS_TCP;
    *slash = '\0';
}

/* ":PORT" at the end, cut off; a bare IPv6 address has none. */
static bool rule_port(struct mv_egress_rule *rule, char *text)
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
    if (rule->protocol == MV_EGRESS_OTHER)
        rule->protocol = MV_EGRESS_TCP;
    *colon = '\0';
    return true;
}

/* True: it was an address. */
static bool rule_address(struct mv_egress_rule *rule, char *text, bool *bad)
{
    char *slash = strchr(text, '/');
    unsigned long bits = 0;
    size_t length = strlen(text);
    if (*text == '[' && length > 1 && text[length - 1] == ']') {
        text[length - 1] = '\0';
        text++;
    }
    if (slash)
        *slash = '\0';
    if (!mv_address_parse(text, &rule->address)) {
        *bad = slash != NULL || strchr(text, ':') != NULL;
        return false;
    }
    bool is_v4 = !strchr(text, ':');
    unsigned long most = is_v4 ? 32 : 128;
    *bad = slash && !rule_number(slash + 1, most, &bits);
    rule->bits = (uint8_t)((slash ? bits : most) + (is_v4 ? 96 : 0));
    return true;
}

/* A name as it is asked for: letters, digits, hyphens, underscores, dots between. */
static bool rule_name(struct mv_egress_rule *rule, const char *text)
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

const char *mv_egress_add(struct mv_egress *egress, bool allow, const char *text)
{
    struct mv_egress_rule rule = {.allow = allow};
    char copy[320];
    bool bad = false;
    if (egress->rules == MV_EGRESS_RULES_MAX)
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
    egress->rule[egress->rules++] = rule;
    egress->has_allow = egress->has_allow || allow;
    return NULL;
}

static bool rule_names(const struct mv_egress_rule *rule, const char *name)
{
    size_t n = strlen(name), m = strlen(rule->name);
    if (m == 0)
        return false;
    if (!rule->any_below)
        return !strcmp(name, rule->name);
    return n > m + 1 && name[n - m - 1] == '.' && !strcmp(name + n - m, rule->name);
}

/* Who may go everywhere may ask for every name. */
static bool rule_is_everywhere(const struct mv_egress_rule *rule)
{
    return !*rule->name && rule->allow &&
           (rule->bits == 0 || (rule->bits == 96 && mv_address_is_v4(&rule->address)));
}

bool mv_egress_allows_name(const struct mv_egress *egress, const char *name)
{
    for (unsigned i = 0; i < egress->rules; i++) {
        if (rule_names(&egress->rule[i], name) || rule_is_everywhere(&egress->rule[i]))
            return egress->rule[i].allow;
    }
    return !egress->has_allow;
}

uint64_t mv_egress_named(const struct mv_egress *egress, const char *name)
{
    uint64_t rules = 0;
    for (unsigned i = 0; i < egress->rules; i++)
        rules |= (uint64_t)rule_names(&egress->rule[i], name) << i;
    return rules;
}

/* ---- addresses ------------------------------------------------------------------- */

/* What is not the Internet: RFC 6890's registries, and multicast. */
static bool address_is_private(const struct mv_address *a)
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
    struct mv_address range;
    for (unsigned i = 0; i < sizeof v4 / sizeof v4[0]; i++) {
        range = mv_address_v4(v4[i].byte);
        if (address_within(a, &range, 96u + v4[i].bits))
            return true;
    }
    for (unsigned i = 0; i < sizeof v6 / sizeof v6[0]; i++) {
        range = (struct mv_address){{v6[i].byte[0], v6[i].byte[1]}};
        if (address_within(a, &range, v6[i].bits))
            return true;
    }
    range = (struct mv_address){{0}};
    return !mv_address_is_v4(a) &&
           address_within(a, &range, 64); /* :: ::1, IPv4-compatible */
}

/* This computer, for who connects from here. */
static bool address_is_self(const struct mv_address *a)
{
    static const struct mv_address v6 = {{[15] = 1}};
    bool v4 = mv_address_is_v4(a) && (a->byte[12] == 127 || a->byte[12] == 0);
    return v4 || !memcmp(a->byte, v6.byte, 15);
}

/* It is opened by who means it, not by "everything". */
static bool rule_means_self(const struct mv_egress_rule *rule)
{
    return !rule->allow || (address_is_self(&rule->address) && rule->bits >= 96 + 8);
}

static bool rule_covers(const struct mv_egress_rule *rule, const struct mv_address *to,
                        uint16_t port, enum mv_egress_protocol protocol)
{
    return (rule->protocol == MV_EGRESS_OTHER || rule->protocol == protocol) &&
           (rule->port == 0 || rule->port == port) &&
           (*rule->name || (address_within(to, &rule->address, rule->bits) &&
                            (rule_means_self(rule) || !address_is_self(to))));
}

bool mv_egress_is_inside(const struct mv_egress *egress,
                         const struct mv_address *address)
{
    if (!address_is_private(address))
        return false;
    for (unsigned i = 0; i < egress->rules; i++) {
        const struct mv_egress_rule *rule = &egress->rule[i];
        if (!*rule->name && address_within(address, &rule->address, rule->bits))
            return !rule->allow;
    }
    return true;
}

bool mv_egress_allows(const struct mv_egress *egress, const struct mv_address *to,
                      uint16_t port, enum mv_egress_protocol protocol, uint64_t named)
{
    bool closed = address_is_private(to);
    if (egress->rules == 0)
        return true;
    for (unsigned i = 0; i < egress->rules; i++) {
        const struct mv_egress_rule *rule = &egress->rule[i];
        bool about = *rule->name ? named >> i & 1 && (!closed || !rule->allow) : true;
        if (about && rule_covers(rule, to, port, protocol))
            return rule->allow;
    }
    return !egress->has_allow && !closed;
}
