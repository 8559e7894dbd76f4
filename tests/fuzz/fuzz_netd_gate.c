/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The gate of the user network: the first byte says from whom a frame comes, the second
 * which rules there are, the rest is the frame. What is answered must be a frame, what
 * the gate does not look at stays as it is, and nothing that names an address inside
 * may open it. What passes ends in our stack or goes where a rule allows, and never to
 * a loopback.
 */
#include "gate.h"
#include "util/assert.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static const char *const rules[] = {"example.com", "*.example.org:443", "1.2.3.0/24",
                                    "10.0.2.15:80", "[2001:db8::]/32/udp"};

static bool is(const struct mv_address *address, const char *text)
{
    struct mv_address other;
    if (!strchr(text, ':')) {
        MV_ASSERT(inet_pton(AF_INET, text, other.byte) == 1);
        other = mv_address_v4(other.byte);
    } else {
        MV_ASSERT(inet_pton(AF_INET6, text, other.byte) == 1);
    }
    return !memcmp(address, &other, sizeof other);
}

/* Is it for DHCP, DNS or neighbour discovery of our own? */
static bool ends_here(const struct packet *p)
{
    const struct mv_address *to = &p->to;
    if (p->protocol == PROTOCOL_ICMPV6)
        return (p->icmp6_type >= 131 && p->icmp6_type <= 136) || p->icmp6_type == 143;
    if (p->protocol != PROTOCOL_UDP)
        return false;
    if (p->to_port == 53)
        return is(to, "10.0.2.3") || is(to, "fec0::3");
    if (p->to_port == 67)
        return is(to, "255.255.255.255") || is(to, "10.0.2.2");
    return p->to_port == 547 && (is(to, "ff02::1:2") || is(to, "fec0::2"));
}

static bool is_open(const struct gate *gate)
{
    return gate->policy.egress.rules == 0 && !gate->restricted;
}

static void passed(const struct gate *gate, const uint8_t *frame, size_t length)
{
    struct packet p;
    packet_read(frame, length, &p);
    if (p.kind == PACKET_ARP || (p.kind != PACKET_IP && is_open(gate)))
        return;
    MV_ASSERT(p.kind == PACKET_IP);
    MV_ASSERT(!is(&p.to, "127.0.0.1") && !is(&p.to, "0.0.0.0") && !is(&p.to, "::1"));
    if ((p.protocol == PROTOCOL_TCP && !p.syn) || ends_here(&p))
        return;
    enum mv_egress_protocol protocol = p.protocol == PROTOCOL_TCP   ? MV_EGRESS_TCP
                                       : p.protocol == PROTOCOL_UDP ? MV_EGRESS_UDP
                                                                    : MV_EGRESS_OTHER;
    MV_ASSERT(!gate->restricted &&
              policy_allows(&gate->policy, &p.to, p.to_port, protocol, 0));
}

static void from_guest(struct gate *gate, const uint8_t *frame, size_t length,
                       uint8_t *reply)
{
    size_t reply_length = 0;
    switch (gate_from_guest(gate, frame, length, 0, reply, &reply_length)) {
    case GATE_PASS:
        passed(gate, frame, length);
        break;
    case GATE_REPLY:
        MV_ASSERT(reply_length >= PACKET_ETHERNET && reply_length <= GATE_FRAME_MAX);
        break;
    case GATE_DROP:
        break;
    }
}

/* As if the guest had asked for it. */
static void ask(struct gate *gate, const uint8_t *frame, size_t length)
{
    struct packet p;
    struct dns_question question;
    packet_read(frame, length, &p);
    if (p.kind == PACKET_IP && p.protocol == PROTOCOL_UDP &&
        dns_read_question(frame + p.payload, p.end - p.payload, &question))
        recent_asked(&gate->recent, &question, p.to_port, 0);
}

static void to_guest(struct gate *gate, uint8_t *frame, size_t length,
                     const uint8_t *before)
{
    ask(gate, frame, length);
    bool looked = gate_looks_at(gate, frame, length);
    size_t n = gate_to_guest(gate, frame, length, 0);
    MV_ASSERT(n <= GATE_FRAME_MAX);
    MV_ASSERT(looked || (n == length && !memcmp(frame, before, length)));
    MV_ASSERT(!packet_ack_replaces(frame, n, before, length)); /* the same */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gate *gate = calloc(1, sizeof *gate);
    uint8_t *frame = malloc(GATE_FRAME_MAX), *reply = malloc(GATE_FRAME_MAX);
    struct mv_address inside = mv_address_v4((const uint8_t[4]){192, 168, 1, 1});
    MV_ASSERT(gate && frame && reply);
    gate->host[0] = mv_address_v4((const uint8_t[4]){10, 0, 2, 2});
    gate->dns[0] = mv_address_v4((const uint8_t[4]){10, 0, 2, 3});
    MV_ASSERT(inet_pton(AF_INET6, "fec0::2", gate->host[1].byte) == 1 &&
              inet_pton(AF_INET6, "fec0::3", gate->dns[1].byte) == 1);
    gate->mtu = 65520;
    if (size >= 2 && size - 2 <= GATE_FRAME_MAX) {
        for (unsigned i = 0; i < sizeof rules / sizeof rules[0]; i++) {
            if (data[1] >> i & 1)
                (void)mv_egress_add(&gate->policy.egress, data[1] & 0x80, rules[i]);
        }
        gate->restricted = data[1] & 0x40;
        memcpy(frame, data + 2, size - 2);
        if (data[0] & 1)
            to_guest(gate, frame, size - 2, data + 2);
        else
            from_guest(gate, frame, size - 2, reply);
        MV_ASSERT(gate->policy.egress.rules == 0 ||
                  !policy_allows(&gate->policy, &inside, 1, MV_EGRESS_TCP, 0));
    }
    free(reply);
    free(frame);
    free(gate);
    return 0;
}
