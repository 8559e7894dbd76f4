/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Routes to servers carry this program's own number (rtm_protocol), so that they are
 * found again whoever has made them: the kernel knows what is to be taken away, no
 * file. Routes into the interface go with it.
 */
#define _GNU_SOURCE
#include "wglink.h"

#include "netlink.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>

enum { PROTOCOL = 0x76 /* of no routing daemon */, WAYS_MAX = 16, HALVES = 2 };

static const struct {
    struct rtattr header;
    char kind[12];
} info = {{sizeof info.header + 9, IFLA_INFO_KIND}, "wireguard"};

/* ---- the interface --------------------------------------------------------------- */

int wglink_make(void)
{
    struct netlink m;
    netlink_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof m.link);
    netlink_put(&m, IFLA_IFNAME, WGLINK_NAME, sizeof WGLINK_NAME);
    netlink_put(&m, IFLA_LINKINFO, &info, sizeof info);
    return netlink_send(&m, NULL, NULL);
}

/* IFLA_LINKINFO has attributes of its own, of which the kind is the first. */
static void kind_heard(const struct nlmsghdr *answer, void *data)
{
    const struct rtattr *has = netlink_find(answer, sizeof(struct ifinfomsg),
                                            IFLA_LINKINFO, info.header.rta_len);
    *(bool *)data |=
        has && has->rta_type == IFLA_INFO_KIND && !memcmp(has + 1, info.kind, 9);
}

static void link_remove(void)
{
    struct netlink m;
    bool ours = false;
    netlink_begin(&m, RTM_GETLINK, 0, sizeof m.link);
    netlink_put(&m, IFLA_IFNAME, WGLINK_NAME, sizeof WGLINK_NAME);
    (void)netlink_send(&m, kind_heard, &ours);
    m.header.nlmsg_type = RTM_DELLINK;
    if (ours)
        (void)netlink_send(&m, NULL, NULL);
}

int wglink_address(const struct wg_prefix *address)
{
    size_t size = address->family == AF_INET ? 4 : 16;
    struct netlink m;
    netlink_begin(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof m.address);
    m.address.ifa_family = (uint8_t)address->family;
    m.address.ifa_prefixlen = address->bits;
    m.address.ifa_flags = address->family == AF_INET6 ? IFA_F_NODAD : 0;
    m.address.ifa_index = if_nametoindex(WGLINK_NAME);
    netlink_put(&m, IFA_LOCAL, address->bytes, size);
    netlink_put(&m, IFA_ADDRESS, address->bytes, size);
    return netlink_send(&m, NULL, NULL);
}

int wglink_up(unsigned mtu)
{
    struct netlink m;
    netlink_begin(&m, RTM_NEWLINK, 0, sizeof m.link);
    m.link.ifi_index = (int)if_nametoindex(WGLINK_NAME);
    m.link.ifi_flags = m.link.ifi_change = IFF_UP;
    if (mtu)
        netlink_put32(&m, IFLA_MTU, mtu);
    return netlink_send(&m, NULL, NULL);
}

/* ---- routes ---------------------------------------------------------------------- */

static void route_begin(struct netlink *m, int type, const struct wg_prefix *to)
{
    netlink_begin(m, type, type == RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_EXCL : 0,
                  sizeof m->route);
    m->route.rtm_family = (uint8_t)to->family;
    m->route.rtm_dst_len = to->bits;
    netlink_put(m, RTA_DST, to->bytes, to->family == AF_INET ? 4 : 16);
}

/* Of the main table, through an interface. */
static int route_add(struct netlink *m, uint32_t index, int protocol)
{
    m->route.rtm_table = RT_TABLE_MAIN;
    m->route.rtm_type = RTN_UNICAST;
    m->route.rtm_protocol = (uint8_t)protocol;
    netlink_put32(m, RTA_OIF, index);
    return netlink_send(m, NULL, NULL);
}

int wglink_route(const struct wg_prefix *to)
{
    unsigned count = to->bits ? 1 : HALVES;
    int rc = 0;
    for (unsigned i = 0; i < count && (!rc || rc == EEXIST); i++) {
        struct wg_prefix part = *to;
        struct netlink m;
        if (count == HALVES) {
            part.bits = 1;
            part.bytes[0] = i ? 0x80 : 0;
        }
        route_begin(&m, RTM_NEWROUTE, &part);
        m.route.rtm_scope = to->family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
        rc = route_add(&m, if_nametoindex(WGLINK_NAME), RTPROT_STATIC);
    }
    return rc;
}

struct way {
    int family;
    bool found, gate;
    uint32_t index;
    uint8_t gateway[16];
};

static void way_heard(const struct nlmsghdr *answer, void *data)
{
    struct way *way = data;
    const struct rtmsg *route = NLMSG_DATA(answer);
    size_t size = way->family == AF_INET ? 4 : 16;
    const void *index = netlink_find(answer, sizeof *route, RTA_OIF, sizeof way->index);
    const void *gateway = netlink_find(answer, sizeof *route, RTA_GATEWAY, size);
    if (!index || route->rtm_type != RTN_UNICAST)
        return;
    way->found = true;
    memcpy(&way->index, index, sizeof way->index);
    if (gateway) {
        way->gate = true;
        memcpy(way->gateway, gateway, size);
    }
}

/* A server on this computer needs none. */
int wglink_keep_way(const struct wg_prefix *server)
{
    struct way way = {.family = server->family};
    struct netlink m;
    route_begin(&m, RTM_GETROUTE, server);
    int rc = netlink_send(&m, way_heard, &way);
    if (rc || !way.found)
        return rc;
    route_begin(&m, RTM_NEWROUTE, server);
    if (way.gate)
        netlink_put(&m, RTA_GATEWAY, way.gateway, server->family == AF_INET ? 4 : 16);
    else if (server->family == AF_INET)
        m.route.rtm_scope = RT_SCOPE_LINK;
    rc = route_add(&m, way.index, PROTOCOL);
    return rc == EEXIST ? 0 : rc;
}

struct ways {
    struct netlink message[WAYS_MAX];
    unsigned count;
};

static void ways_heard(const struct nlmsghdr *answer, void *data)
{
    struct ways *ways = data;
    const struct rtmsg *route = NLMSG_DATA(answer);
    if (answer->nlmsg_type != RTM_NEWROUTE || route->rtm_protocol != PROTOCOL ||
        answer->nlmsg_len > sizeof ways->message[0] || ways->count == WAYS_MAX)
        return;
    struct netlink *m = &ways->message[ways->count++];
    memset(m, 0, sizeof *m);
    memcpy(m, answer, answer->nlmsg_len);
    m->header.nlmsg_type = RTM_DELROUTE;
    m->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
}

/* The kernel's own messages, sent back to it. */
static void ways_remove(int family)
{
    struct ways ways;
    struct netlink m;
    unsigned gone;
    do {
        ways.count = gone = 0;
        netlink_begin(&m, RTM_GETROUTE, NLM_F_DUMP, sizeof m.route);
        m.route.rtm_family = (uint8_t)family;
        (void)netlink_send(&m, ways_heard, &ways);
        for (unsigned i = 0; i < ways.count; i++)
            gone += netlink_send(&ways.message[i], NULL, NULL) == 0;
    } while (gone > 0);
}

void wglink_remove(void)
{
    link_remove();
    ways_remove(AF_INET);
    ways_remove(AF_INET6);
}
