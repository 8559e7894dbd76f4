/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Ethernet, IPv4 (RFC 791), IPv6 (RFC 8200), TCP, UDP, ICMP.
 */
#include "packet.h"

#include <string.h>

enum {
    TYPE_IPV4 = 0x0800,
    TYPE_ARP = 0x0806,
    TYPE_IPV6 = 0x86dd,
    IPV4_BYTES = 20,
    IPV6_BYTES = 40,
    UDP_BYTES = 8,
    TCP_BYTES = 20,
    ICMP_BYTES = 8,  /* of which 4 are never missing: RFC 4443, 2.1 */
    ICMP_QUOTED = 8, /* bytes behind the IP header that an ICMP error quotes */
    NEXT_FRAGMENT = 44,
    TCP_FIN = 1,
    TCP_SYN = 2,
    TCP_RST = 4,
    TCP_ACK = 16
};

static uint16_t load16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)load16(p) << 16 | load16(p + 2);
}

static void store16(uint8_t *p, size_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static void store32(uint8_t *p, uint32_t value)
{
    store16(p, value >> 16);
    store16(p + 2, value & 0xffff);
}

/* ---- reading --------------------------------------------------------------------- */

static bool read_v4(const uint8_t *frame, size_t length, struct packet *p)
{
    const uint8_t *ip = frame + PACKET_ETHERNET;
    size_t room = length - PACKET_ETHERNET;
    if (room < IPV4_BYTES || ip[0] >> 4 != 4)
        return false;
    size_t header = 4u * (ip[0] & 15u), total = load16(ip + 2);
    if (header < IPV4_BYTES || total < header || total > room)
        return false;
    p->from = mv_address_v4(ip + 12);
    p->to = mv_address_v4(ip + 16);
    p->protocol = ip[9];
    p->transport = PACKET_ETHERNET + header;
    p->end = PACKET_ETHERNET + total;
    p->kind = load16(ip + 6) & 0x3fff ? PACKET_FRAGMENT : PACKET_IP;
    return true;
}

/* Extension headers are none of a client's business: their protocol is not TCP's. */
static bool read_v6(const uint8_t *frame, size_t length, struct packet *p)
{
    const uint8_t *ip = frame + PACKET_ETHERNET;
    size_t room = length - PACKET_ETHERNET;
    if (room < IPV6_BYTES || ip[0] >> 4 != 6)
        return false;
    size_t total = IPV6_BYTES + (size_t)load16(ip + 4);
    if (total > room)
        return false;
    memcpy(p->from.byte, ip + 8, 16);
    memcpy(p->to.byte, ip + 24, 16);
    p->v6 = true;
    p->protocol = ip[6];
    p->transport = PACKET_ETHERNET + IPV6_BYTES;
    p->end = PACKET_ETHERNET + total;
    p->kind = p->protocol == NEXT_FRAGMENT ? PACKET_FRAGMENT : PACKET_IP;
    return true;
}

/* Ports, and where the payload begins. */
static bool read_transport(const uint8_t *frame, struct packet *p)
{
    const uint8_t *header = frame + p->transport;
    size_t room = p->end - p->transport;
    if (p->protocol == PROTOCOL_UDP) {
        if (room < UDP_BYTES || load16(header + 4) < UDP_BYTES ||
            load16(header + 4) > room)
            return false;
        p->payload = p->transport + UDP_BYTES;
        p->end = p->transport + load16(header + 4);
    } else if (p->protocol == PROTOCOL_TCP) {
        if (room < TCP_BYTES)
            return false;
        p->syn = (header[13] & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
        p->payload = p->end;
    } else if (p->protocol == PROTOCOL_ICMPV6) {
        if (room < ICMP_BYTES / 2)
            return false;
        p->icmp6_type = header[0];
        return true;
    } else {
        return true;
    }
    p->from_port = load16(header);
    p->to_port = load16(header + 2);
    return true;
}

void packet_read(const uint8_t *frame, size_t length, struct packet *out)
{
    *out = (struct packet){.kind = PACKET_OTHER, .network = PACKET_ETHERNET};
    if (length < PACKET_ETHERNET)
        return;
    unsigned type = load16(frame + 12);
    bool good = false;
    if (type == TYPE_ARP)
        out->kind = PACKET_ARP;
    else if (type == TYPE_IPV4)
        good = read_v4(frame, length, out);
    else if (type == TYPE_IPV6)
        good = read_v6(frame, length, out);
    if (good && out->kind == PACKET_IP && !read_transport(frame, out))
        out->kind = PACKET_OTHER;
}

/* ---- making ---------------------------------------------------------------------- */

static uint32_t sum_bytes(uint32_t sum, const uint8_t *data, size_t length)
{
    size_t i = 0;
    for (; i + 1 < length; i += 2)
        sum += load16(data + i);
    if (i < length)
        sum += (uint32_t)data[i] << 8;
    return sum;
}

static uint16_t sum_fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* Checksum over the pseudo header (RFC 9293, 3.1; RFC 8200, 8.1) and what follows. */
static uint16_t sum_transport(const uint8_t *ip, bool v6, uint8_t protocol,
                              const uint8_t *data, size_t length)
{
    uint32_t sum = sum_bytes(0, v6 ? ip + 8 : ip + 12, v6 ? 32 : 8);
    sum += protocol + (uint32_t)(length >> 16) + (uint32_t)(length & 0xffff);
    return sum_fold(sum_bytes(sum, data, length));
}

/* IP with nothing but addresses, lengths and a protocol; returns where it ends. */
static uint8_t *put_ip(uint8_t *ip, const struct packet *p,
                       const struct mv_address *from, const struct mv_address *to,
                       uint8_t protocol, size_t length)
{
    memset(ip, 0, p->v6 ? IPV6_BYTES : IPV4_BYTES);
    if (p->v6) {
        ip[0] = 0x60;
        store16(ip + 4, length);
        ip[6] = protocol;
        ip[7] = 64;
        memcpy(ip + 8, from->byte, 16);
        memcpy(ip + 24, to->byte, 16);
        return ip + IPV6_BYTES;
    }
    ip[0] = 0x45;
    store16(ip + 2, IPV4_BYTES + length);
    ip[8] = 64;
    ip[9] = protocol;
    memcpy(ip + 12, from->byte + 12, 4);
    memcpy(ip + 16, to->byte + 12, 4);
    store16(ip + 10, sum_fold(sum_bytes(0, ip, IPV4_BYTES)));
    return ip + IPV4_BYTES;
}

static void put_ethernet_back(uint8_t *reply, const uint8_t *frame)
{
    uint8_t from[6], to[6];
    memcpy(to, frame + 6, 6);
    memcpy(from, frame, 6);
    memmove(reply + 12, frame + 12, 2);
    memcpy(reply, to, 6);
    memcpy(reply + 6, from, 6);
}

static size_t refuse_tcp(const uint8_t *frame, const struct packet *p, uint8_t *reply)
{
    const uint8_t *old = frame + p->transport;
    uint8_t *ip = reply + PACKET_ETHERNET;
    if (old[13] & TCP_RST)
        return 0;
    uint8_t *tcp = put_ip(ip, p, &p->to, &p->from, PROTOCOL_TCP, TCP_BYTES);
    memset(tcp, 0, TCP_BYTES);
    store16(tcp, p->to_port);
    store16(tcp + 2, p->from_port);
    if (old[13] & TCP_ACK) /* RFC 9293, 3.5.2, group 1 */
        store32(tcp + 4, load32(old + 8));
    else
        store32(tcp + 8, load32(old + 4) + !!(old[13] & TCP_SYN) +
                             !!(old[13] & TCP_FIN) +
                             (uint32_t)(p->end - p->transport - 4u * (old[12] >> 4)));
    tcp[12] = TCP_BYTES / 4 << 4;
    tcp[13] = old[13] & TCP_ACK ? TCP_RST : TCP_RST | TCP_ACK;
    store16(tcp + 16, sum_transport(ip, p->v6, PROTOCOL_TCP, tcp, TCP_BYTES));
    return (size_t)(tcp + TCP_BYTES - reply);
}

static size_t refuse_other(const uint8_t *frame, const struct packet *p, uint8_t *reply)
{
    size_t quoted = p->transport - p->network + ICMP_QUOTED;
    size_t there = p->end - p->network;
    uint8_t protocol = p->v6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP;
    uint8_t *ip = reply + PACKET_ETHERNET;
    if (p->protocol == PROTOCOL_ICMP || p->protocol == PROTOCOL_ICMPV6)
        return 0; /* no errors about errors */
    if (quoted > there)
        quoted = there;
    if (quoted > PACKET_REPLY_MAX - PACKET_ETHERNET - IPV6_BYTES - ICMP_BYTES)
        return 0; /* IP options: nobody's client */
    uint8_t *icmp = put_ip(ip, p, &p->to, &p->from, protocol, ICMP_BYTES + quoted);
    memset(icmp, 0, ICMP_BYTES);
    icmp[0] = p->v6 ? 1 : 3;  /* destination unreachable */
    icmp[1] = p->v6 ? 1 : 13; /* communication administratively prohibited */
    memcpy(icmp + ICMP_BYTES, frame + p->network, quoted);
    size_t length = ICMP_BYTES + quoted;
    store16(icmp + 2, p->v6 ? sum_transport(ip, true, protocol, icmp, length)
                            : sum_fold(sum_bytes(0, icmp, length)));
    return (size_t)(icmp + length - reply);
}

size_t packet_refuse(const uint8_t *frame, const struct packet *packet, uint8_t *reply)
{
    if (packet->kind != PACKET_IP || frame[0] & 1)
        return 0; /* RFC 1122, 3.2.2: never to a multicast */
    put_ethernet_back(reply, frame);
    return packet->protocol == PROTOCOL_TCP ? refuse_tcp(frame, packet, reply)
                                            : refuse_other(frame, packet, reply);
}

static size_t put_udp(uint8_t *frame, const struct packet *p,
                      const struct mv_address *from, const struct mv_address *to,
                      uint16_t from_port, uint16_t to_port, size_t bytes)
{
    size_t length = UDP_BYTES + bytes;
    uint8_t *ip = frame + PACKET_ETHERNET;
    uint8_t *end = ip + (p->v6 ? IPV6_BYTES : IPV4_BYTES);
    memmove(end + UDP_BYTES, frame + p->payload, bytes);
    uint8_t *udp = put_ip(ip, p, from, to, PROTOCOL_UDP, length);
    store16(udp, from_port);
    store16(udp + 2, to_port);
    store16(udp + 4, length);
    store16(udp + 6, 0);
    uint16_t sum = sum_transport(ip, p->v6, PROTOCOL_UDP, udp, length);
    store16(udp + 6, sum ? sum : 0xffff); /* 0 would mean: none */
    return (size_t)(udp + length - frame);
}

size_t packet_answer(uint8_t *frame, const struct packet *packet, size_t bytes)
{
    put_ethernet_back(frame, frame);
    return put_udp(frame, packet, &packet->to, &packet->from, packet->to_port,
                   packet->from_port, bytes);
}

size_t packet_resize(uint8_t *frame, const struct packet *packet, size_t bytes)
{
    return put_udp(frame, packet, &packet->from, &packet->to, packet->from_port,
                   packet->to_port, bytes);
}

/* ---- acknowledgements ------------------------------------------------------------ */

enum { ACK_FRAME_MAX = PACKET_ETHERNET + IPV6_BYTES + TCP_BYTES };

static bool read_ack(const uint8_t *frame, size_t length, struct packet *p)
{
    if (length > ACK_FRAME_MAX)
        return false;
    packet_read(frame, length, p);
    return p->kind == PACKET_IP && p->protocol == PROTOCOL_TCP &&
           p->end == p->transport + TCP_BYTES &&
           frame[p->transport + 12] >> 4 == TCP_BYTES / 4 &&
           frame[p->transport + 13] == TCP_ACK;
}

bool packet_ack_replaces(const uint8_t *newer, size_t newer_length,
                         const uint8_t *older, size_t older_length)
{
    struct packet n, o;
    if (newer_length != older_length || !read_ack(newer, newer_length, &n) ||
        !read_ack(older, older_length, &o))
        return false;
    const uint8_t *new_tcp = newer + n.transport, *old_tcp = older + o.transport;
    return n.v6 == o.v6 && n.from_port == o.from_port && n.to_port == o.to_port &&
           !memcmp(&n.from, &o.from, sizeof n.from) &&
           !memcmp(&n.to, &o.to, sizeof n.to) &&
           load32(new_tcp + 4) == load32(old_tcp + 4) &&
           (int32_t)(load32(new_tcp + 8) - load32(old_tcp + 8)) > 0;
}
