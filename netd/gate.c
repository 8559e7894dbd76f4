/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What passes. Nothing to a loopback or unspecified address, ever: libslirp would take
 * it to connect() as it is, and a guest has no business there. While there is a policy,
 * or the guest is restricted to forwards, which is one that allows nothing:
 *
 * - ARP, neighbour discovery and DHCP pass, where they end in our stack; libslirp has
 *   other addresses' DHCP and pings of multicast go out.
 * - UDP to our DNS passes when the name may be asked for; its answers are read before
 *   the guest sees them. One that points inside is refused (DNS rebinding), and so is
 *   one that cannot be read, because its addresses would belong to nobody.
 * - DNS over TCP is refused: it could not be read without putting streams together.
 *   What was not asked for is no answer; fragments of one cannot be read either.
 * - A connection is decided by its SYN: without one the stack knows no connection. UDP
 *   is decided by each datagram, but who has sent one by a forward may be answered.
 * - Fragments do not pass: their ports cannot be told, and with an MTU as large as ours
 *   no client makes them.
 */
#include "gate.h"

#include "dns.h"

#include <stdio.h>
#include <string.h>

enum {
    PORT_DNS = 53,
    PORT_DHCP_SERVER = 67,
    PORT_DHCP_CLIENT = 68,
    PORT_DHCPV6_SERVER = 547,
    DHCP_OPTIONS = 240, /* after the magic cookie; RFC 2131, 3 */
    DHCP_MTU = 26,      /* RFC 2132, 5.1 */
    DHCP_END = 255
};

static bool same(const struct mv_address *a, const struct mv_address *b)
{
    return !memcmp(a, b, sizeof *a);
}

static bool gate_is_dns(const struct gate *gate, const struct mv_address *address)
{
    return same(address, &gate->dns[0]) || same(address, &gate->dns[1]);
}

/* Listener discovery (RFC 2710, 3810) and neighbour discovery (RFC 4861): what has
 * these types is not forwarded, wherever it is sent. */
static bool gate_is_discovery(uint8_t icmp6_type)
{
    return icmp6_type == 131 || icmp6_type == 132 || icmp6_type == 143 ||
           (icmp6_type >= 133 && icmp6_type <= 136);
}

static bool gate_is_dhcp(const struct gate *gate, const struct packet *p)
{
    static const struct mv_address broadcast = {{[10] = 255, 255, 255, 255, 255, 255}};
    static const struct mv_address agents = {{0xff, 2, [13] = 1, [15] = 2}};
    return p->v6 ? p->to_port == PORT_DHCPV6_SERVER &&
                       (same(&p->to, &gate->host[1]) || same(&p->to, &agents))
                 : p->from_port == PORT_DHCP_CLIENT && p->to_port == PORT_DHCP_SERVER &&
                       (same(&p->to, &gate->host[0]) || same(&p->to, &broadcast));
}

/* Does it end in our stack? */
static bool gate_is_local(const struct gate *gate, const struct packet *p)
{
    if (p->protocol == PROTOCOL_ICMPV6)
        return gate_is_discovery(p->icmp6_type);
    return p->protocol == PROTOCOL_UDP && gate_is_dhcp(gate, p);
}

/* 127.0.0.0/8, 0.0.0.0/8, ::1, ::. Fragments have addresses, too; what has none that
 * could be read goes nowhere. */
static bool gate_is_loopback(const struct packet *p)
{
    static const struct mv_address mapped = {{[10] = 255, 255}};
    const uint8_t *to = p->to.byte;
    if (p->kind == PACKET_ARP || p->transport == 0)
        return false;
    if (!memcmp(to, mapped.byte, 12))
        return to[12] == 127 || to[12] == 0;
    return !memcmp(to, (const uint8_t[15]){0}, 15) && to[15] <= 1;
}

static enum gate_verdict gate_refuse(struct gate *gate, const uint8_t *frame,
                                     const struct packet *p, uint8_t *reply,
                                     size_t *reply_length)
{
    gate->connections++;
    *reply_length = packet_refuse(frame, p, reply);
    return *reply_length ? GATE_REPLY : GATE_DROP;
}

static bool gate_is_open(const struct gate *gate)
{
    return gate->policy.egress.rules == 0 && !gate->restricted;
}

static bool gate_allows_name(const struct gate *gate, const char *name)
{
    return !gate->restricted && mv_egress_allows_name(&gate->policy.egress, name);
}

static enum gate_verdict gate_question(struct gate *gate, const uint8_t *frame,
                                       const struct packet *p, uint64_t now_ms,
                                       uint8_t *reply, size_t *reply_length)
{
    struct dns_question question;
    size_t bytes = p->end - p->payload;
    if (!dns_read_question(frame + p->payload, bytes, &question) ||
        question.is_response) {
        gate->malformed++;
        return GATE_DROP;
    }
    if (gate_allows_name(gate, question.name)) {
        recent_asked(&gate->recent, &question, p->from_port, now_ms);
        return GATE_PASS;
    }
    gate->names++;
    memcpy(reply, frame, p->end);
    bytes = dns_refuse(reply + p->payload, &question);
    *reply_length = packet_answer(reply, p, bytes);
    return GATE_REPLY;
}

static enum mv_egress_protocol gate_protocol(const struct packet *p)
{
    if (p->protocol == PROTOCOL_TCP)
        return MV_EGRESS_TCP;
    return p->protocol == PROTOCOL_UDP ? MV_EGRESS_UDP : MV_EGRESS_OTHER;
}

enum gate_verdict gate_from_guest(struct gate *gate, const uint8_t *frame,
                                  size_t length, uint64_t now_ms, uint8_t *reply,
                                  size_t *reply_length)
{
    struct packet p;
    *reply_length = 0;
    packet_read(frame, length, &p);
    if (gate_is_loopback(&p))
        return gate_refuse(gate, frame, &p, reply, reply_length);
    if (gate_is_open(gate) || p.kind == PACKET_ARP)
        return GATE_PASS;
    if (p.kind != PACKET_IP) {
        gate->malformed++;
        return GATE_DROP;
    }
    if (gate_is_local(gate, &p))
        return GATE_PASS;
    if (p.protocol == PROTOCOL_UDP && p.to_port == PORT_DNS && gate_is_dns(gate, &p.to))
        return gate_question(gate, frame, &p, now_ms, reply, reply_length);
    if (p.protocol == PROTOCOL_TCP && !p.syn)
        return GATE_PASS;
    if (!gate->restricted && !gate_is_dns(gate, &p.to) &&
        policy_allows(&gate->policy, &p.to, p.to_port, gate_protocol(&p), now_ms))
        return GATE_PASS;
    if (p.protocol == PROTOCOL_UDP && recent_is_answer(&gate->recent, &p, now_ms))
        return GATE_PASS;
    return gate_refuse(gate, frame, &p, reply, reply_length);
}

/* ---- to the guest ---------------------------------------------------------------- */

static bool gate_learn(struct gate *gate, const uint8_t *message, size_t bytes,
                       const struct dns_question *question, uint64_t now_ms)
{
    struct dns_address found[DNS_ADDRESSES_MAX];
    int count = dns_read_addresses(message, bytes, question, found, DNS_ADDRESSES_MAX);
    for (int i = 0; i < count; i++) {
        if (mv_egress_is_inside(&gate->policy.egress, &found[i].address))
            return false;
    }
    for (int i = 0; i < count; i++)
        policy_answered(&gate->policy, question->name, &found[i].address,
                        found[i].ttl_s, now_ms);
    return count >= 0;
}

static size_t gate_answer(struct gate *gate, uint8_t *frame, const struct packet *p,
                          size_t length, uint64_t now_ms)
{
    struct dns_question question;
    uint8_t *message = frame + p->payload;
    size_t bytes = p->end - p->payload;
    if (!dns_read_question(message, bytes, &question) || !question.is_response ||
        !gate_allows_name(gate, question.name) ||
        !recent_answered(&gate->recent, &question, p->to_port, now_ms)) {
        gate->malformed++;
        return 0;
    }
    if (gate_learn(gate, message, bytes, &question, now_ms))
        return length;
    gate->answers++;
    return packet_resize(frame, p, dns_refuse(message, &question));
}

/* Our link takes large packets, which DHCP is to say; libslirp's does not. */
static size_t gate_add_mtu(const struct gate *gate, uint8_t *frame,
                           const struct packet *p, size_t length)
{
    size_t bytes = p->end - p->payload, at = DHCP_OPTIONS;
    uint8_t *message = frame + p->payload;
    while (at < bytes && message[at] != DHCP_END)
        at += message[at] == 0 ? 1 : at + 1 < bytes ? 2u + message[at + 1] : bytes;
    if (at >= bytes || gate->mtu == 0 || length + 4 > GATE_FRAME_MAX)
        return length;
    const uint8_t option[5] = {DHCP_MTU, 2, (uint8_t)(gate->mtu >> 8),
                               (uint8_t)gate->mtu, DHCP_END};
    memcpy(message + at, option, sizeof option);
    if (at + sizeof option > bytes)
        bytes = at + sizeof option;
    return packet_resize(frame, p, bytes);
}

/* What is not looked at passes as it is. */
enum gate_look { LOOK_NOT, LOOK_DHCP, LOOK_DNS, LOOK_UNREADABLE, LOOK_FORWARDED };

/* Forwards lead to the guest's own address: by IPv4 the one that DHCP gives it. What
 * comes to another, which the guest may make up, came by none. */
static bool gate_forwards(const struct gate *gate, const struct packet *p)
{
    static const uint8_t leased[4] = {10, 0, 2, 15};
    const struct mv_address guest = mv_address_v4(leased);
    for (unsigned i = 0; i < gate->forwards; i++) {
        const struct gate_forward *forward = &gate->forward[i];
        if (forward->guest_port == p->to_port && forward->v6 == p->v6)
            return p->v6 || same(&p->to, &guest);
    }
    return false;
}

static enum gate_look gate_look(const struct gate *gate, const uint8_t *frame,
                                size_t length, struct packet *p)
{
    packet_read(frame, length, p);
    bool open = gate_is_open(gate), dns = gate_is_dns(gate, &p->from);
    if (!open && dns && p->kind == PACKET_FRAGMENT)
        return LOOK_UNREADABLE;
    if (p->kind != PACKET_IP || p->protocol != PROTOCOL_UDP)
        return LOOK_NOT;
    if (!p->v6 && p->from_port == PORT_DHCP_SERVER && same(&p->from, &gate->host[0]))
        return LOOK_DHCP;
    if (!open && dns && p->from_port == PORT_DNS)
        return LOOK_DNS;
    return !open && gate_forwards(gate, p) ? LOOK_FORWARDED : LOOK_NOT;
}

bool gate_looks_at(const struct gate *gate, const uint8_t *frame, size_t length)
{
    struct packet p;
    return gate_look(gate, frame, length, &p) != LOOK_NOT;
}

size_t gate_to_guest(struct gate *gate, uint8_t *frame, size_t length, uint64_t now_ms)
{
    struct packet p;
    switch (gate_look(gate, frame, length, &p)) {
    case LOOK_DHCP:
        return gate_add_mtu(gate, frame, &p, length);
    case LOOK_DNS:
        return gate_answer(gate, frame, &p, length, now_ms);
    case LOOK_UNREADABLE:
        gate->malformed++;
        return 0;
    case LOOK_FORWARDED:
        recent_sent(&gate->recent, &p, now_ms);
        break;
    case LOOK_NOT:
        break;
    }
    return length;
}

void gate_publish(struct gate *gate, const char *at, bool v6, uint16_t guest_port)
{
    struct gate_forward *forward = &gate->forward[gate->forwards++];
    (void)snprintf(forward->at, sizeof forward->at, "%s", at);
    forward->v6 = v6;
    forward->guest_port = guest_port;
}

static unsigned gate_find(const struct gate *gate, const char *at)
{
    unsigned i = 0;
    while (i < gate->forwards && strcmp(gate->forward[i].at, at) != 0)
        i++;
    return i;
}

bool gate_has(const struct gate *gate, const char *at)
{
    return gate_find(gate, at) < gate->forwards;
}

void gate_unpublish(struct gate *gate, const char *at)
{
    unsigned i = gate_find(gate, at);
    if (i == gate->forwards)
        return;
    recent_forget(&gate->recent, gate->forward[i].guest_port);
    gate->forward[i] = gate->forward[--gate->forwards];
}
