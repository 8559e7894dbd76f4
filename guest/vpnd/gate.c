/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The rules, in the order in which the kernel asks them, for IPv4 and IPv6 alike:
 *
 *   700  fwmark the VPN's own          lookup main, without interfaces of group 0, the
 *                                      tunnel's
 *   701  fwmark the VPN's own          lookup 1025: the gateway as it was before the
 *                                      tunnel's routes covered it
 *   702  to the address zero           lookup main: no packet goes there, but OpenVPN
 *                                      asks for the gateway so
 *   703  uid 0, destination port 53    lookup main, only while it is open
 *   710  everything                    lookup main, without interfaces of group 1025
 *   720  everything                    unreachable
 *
 * Interfaces are of group 0 unless somebody puts them into another, as this program
 * does with all but the tunnel's: it must not be the tunnel's, because OpenVPN adds its
 * routes right after its interface, and the kernel looks for their gateway by these
 * rules. Before all of them is the table `local`, so programs of the guest reach each
 * other.
 *
 * OpenVPN cannot add a route to its server here (the kernel asks the rules for that
 * route's gateway, without a mark) and says ROUTE_ERROR: rule 701 is in its place.
 */
#define _GNU_SOURCE
#include "gate.h"

#include "netlink.h"

#include <errno.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    PRIORITY_MARK = 700,
    PRIORITY_GATEWAY,
    PRIORITY_ZERO,
    PRIORITY_NAMES,
    PRIORITY_TUNNEL = 710,
    PRIORITY_END = 720,
    TABLE = 1025,
    TUNNEL_GROUP = 0,
    OUTSIDE_GROUP = 1025,
    INTERFACES_MAX = 64,
    DNS_PORT = 53,
    IPV4_BITS = 32,
    IPV6_BITS = 128
};

static const char *tunnel_name;
static bool closed;

/* ---- rules ----------------------------------------------------------------------- */

static void rule_begin(struct netlink *m, int type, int family, uint32_t priority)
{
    netlink_begin(m, type, type == RTM_NEWRULE ? NLM_F_CREATE | NLM_F_EXCL : 0,
                  sizeof m->rule);
    m->rule.family = (uint8_t)family;
    m->rule.action = FR_ACT_TO_TBL;
    m->rule.table = RT_TABLE_MAIN;
    netlink_put32(m, FRA_PRIORITY, priority);
}

/* What is there already is as good, and what is gone is gone. */
static bool rule_send(struct netlink *m)
{
    int rc = netlink_send(m, NULL, NULL);
    if (rc == 0 || rc == EEXIST ||
        (m->header.nlmsg_type == RTM_DELRULE && rc == ENOENT))
        return true;
    errno = rc;
    return false;
}

static bool rule_names(int type, int family)
{
    const struct fib_rule_uid_range root = {0, 0};
    const struct fib_rule_port_range port = {DNS_PORT, DNS_PORT};
    struct netlink m;
    rule_begin(&m, type, family, PRIORITY_NAMES);
    netlink_put(&m, FRA_UID_RANGE, &root, sizeof root);
    netlink_put(&m, FRA_DPORT_RANGE, &port, sizeof port);
    return rule_send(&m);
}

/* All but that for names. */
static bool rules_put(int type, int family)
{
    static const uint8_t zero[16];
    struct netlink m;
    rule_begin(&m, type, family, PRIORITY_END);
    m.rule.action = FR_ACT_UNREACHABLE;
    m.rule.table = RT_TABLE_UNSPEC;
    if (!rule_send(&m))
        return false;
    rule_begin(&m, type, family, PRIORITY_TUNNEL);
    netlink_put32(&m, FRA_SUPPRESS_IFGROUP, OUTSIDE_GROUP);
    if (!rule_send(&m))
        return false;
    rule_begin(&m, type, family, PRIORITY_ZERO);
    m.rule.dst_len = family == AF_INET ? IPV4_BITS : IPV6_BITS;
    netlink_put(&m, FRA_DST, zero, m.rule.dst_len / 8u);
    if (!rule_send(&m))
        return false;
    rule_begin(&m, type, family, PRIORITY_MARK);
    netlink_put32(&m, FRA_FWMARK, GATE_MARK);
    netlink_put32(&m, FRA_SUPPRESS_IFGROUP, TUNNEL_GROUP);
    if (!rule_send(&m))
        return false;
    rule_begin(&m, type, family, PRIORITY_GATEWAY);
    m.rule.table = RT_TABLE_UNSPEC;
    netlink_put32(&m, FRA_TABLE, TABLE);
    netlink_put32(&m, FRA_FWMARK, GATE_MARK);
    return rule_send(&m);
}

static bool rules_close(int family)
{
    return rules_put(RTM_NEWRULE, family) && rule_names(RTM_DELRULE, family);
}

static bool has_no_rules(void)
{
    return errno == EOPNOTSUPP || errno == EAFNOSUPPORT;
}

/* A kernel without IPv6 sends nothing there. */
static bool rules_close6(void)
{
    return rules_close(AF_INET6) ||
           (has_no_rules() && access("/proc/net/if_inet6", F_OK) < 0);
}

/* ---- the gateway ----------------------------------------------------------------- */

static void gateway_put(int family, const void *address, const char *interface)
{
    struct netlink m;
    netlink_begin(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof m.route);
    m.route.rtm_family = (uint8_t)family;
    m.route.rtm_protocol = RTPROT_STATIC;
    m.route.rtm_type = RTN_UNICAST;
    m.route.rtm_flags = RTNH_F_ONLINK;
    netlink_put32(&m, RTA_TABLE, TABLE);
    netlink_put32(&m, RTA_OIF, if_nametoindex(interface));
    netlink_put(&m, RTA_GATEWAY, address, family == AF_INET ? 4 : 16);
    (void)netlink_send(&m, NULL, NULL);
}

/* /proc/net/route: interface, destination, gateway (in the host's byte order), flags,
 * three counters, mask. The first default route is the one that counts. */
static void gateway_keep(void)
{
    char line[256], name[IFNAMSIZ];
    unsigned to, gateway, mask;
    FILE *file = fopen("/proc/net/route", "re");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%15s %x %x %*x %*d %*d %*d %x", name, &to, &gateway, &mask) !=
                4 ||
            to || mask || !gateway || !strcmp(name, tunnel_name))
            continue;
        gateway_put(AF_INET, &(uint32_t){gateway}, name);
        break;
    }
    if (file)
        (void)fclose(file);
}

/* /proc/net/ipv6_route: destination, its length, source, its length, gateway, four
 * numbers, interface. */
static void gateway6_keep(void)
{
    char line[256], name[IFNAMSIZ], to[33], gateway[33];
    uint8_t address[16];
    unsigned length;
    FILE *file = fopen("/proc/net/ipv6_route", "re");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%32s %x %*s %*x %32s %*x %*x %*x %*x %15s", to, &length,
                   gateway, name) != 4 ||
            length || strspn(gateway, "0") == 32 || strlen(gateway) != 32 ||
            !strcmp(name, tunnel_name))
            continue;
        for (unsigned i = 0; i < sizeof address; i++) {
            unsigned byte = 0;
            (void)sscanf(gateway + 2 * i, "%2x", &byte);
            address[i] = (uint8_t)byte;
        }
        gateway_put(AF_INET6, address, name);
        break;
    }
    if (file)
        (void)fclose(file);
}

/* ---- what is asked for ----------------------------------------------------------- */

static bool outside_put(unsigned index)
{
    struct netlink m;
    netlink_begin(&m, RTM_NEWLINK, 0, sizeof m.link);
    m.link.ifi_index = (int)index;
    netlink_put32(&m, IFLA_GROUP, OUTSIDE_GROUP);
    int rc = netlink_send(&m, NULL, NULL);
    if (rc == 0 || rc == ENODEV) /* it may have gone */
        return true;
    errno = rc;
    return false;
}

/* Each once: to change one is news again. False: one was refused, or there are more. */
static bool outside_put_all(void)
{
    static unsigned known[INTERFACES_MAX];
    struct if_nameindex *all = if_nameindex();
    unsigned seen[INTERFACES_MAX], count = 0;
    bool well = all;
    for (unsigned i = 0; all && all[i].if_index; i++) {
        bool is_known = false;
        if (!strcmp(all[i].if_name, tunnel_name) || !strcmp(all[i].if_name, "lo"))
            continue;
        for (unsigned k = 0; k < INTERFACES_MAX; k++)
            is_known |= known[k] == all[i].if_index;
        well = (is_known || outside_put(all[i].if_index)) && well;
        if (count < INTERFACES_MAX) {
            seen[count++] = all[i].if_index;
        } else {
            errno = E2BIG;
            well = false;
        }
    }
    int error = errno;
    memset(known, 0, sizeof known);
    memcpy(known, seen, count * sizeof seen[0]);
    if (all)
        if_freenameindex(all);
    errno = error;
    return well;
}

void gate_links(void)
{
    if (closed)
        (void)outside_put_all();
}

bool gate_close(const char *tunnel, bool if_possible)
{
    tunnel_name = tunnel;
    closed = outside_put_all() && rules_close6() && rules_close(AF_INET);
    if (closed || !has_no_rules())
        return closed;
    int error = errno;
    (void)rules_put(RTM_DELRULE, AF_INET6); /* the one half would hold nobody */
    (void)fprintf(stderr,
                  "vpnd: %sthis kernel has no rules of routing "
                  "(CONFIG_IP_MULTIPLE_TABLES, CONFIG_IPV6_MULTIPLE_TABLES): %s\n",
                  if_possible ? "WARNING: " : "",
                  if_possible ? "what does not go through the VPN leaves this guest "
                                "without it"
                              : "nothing can be held in this guest");
    errno = error;
    return if_possible;
}

bool gate_is_closed(void)
{
    return closed;
}

void gate_names(bool open)
{
    if (!closed)
        return;
    if (open) {
        gateway_keep();
        gateway6_keep();
    }
    (void)rule_names(open ? RTM_NEWRULE : RTM_DELRULE, AF_INET);
    (void)rule_names(open ? RTM_NEWRULE : RTM_DELRULE, AF_INET6);
}
