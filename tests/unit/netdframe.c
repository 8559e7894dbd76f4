/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Frames as RFC 791, 8200, 768, 9293 and 1035 have them, without checksums: the gate
 * does not look at those.
 */
#include "netdframe.h"

#include "check.h"

#include <arpa/inet.h>
#include <string.h>

struct gate gate;
uint8_t frame[GATE_FRAME_MAX], reply[GATE_FRAME_MAX];
size_t length, reply_length;

int begin(void **state)
{
    (void)state;
    memset(&gate, 0, sizeof gate);
    gate.host[0] = mv_address_v4((const uint8_t[4]){10, 0, 2, 2});
    assert_int_equal(inet_pton(AF_INET6, "fec0::2", gate.host[1].byte), 1);
    gate.dns[0] = mv_address_v4((const uint8_t[4]){10, 0, 2, 3});
    assert_int_equal(inet_pton(AF_INET6, "fec0::3", gate.dns[1].byte), 1);
    gate.mtu = 65520;
    return 0;
}

void allow(const char *text)
{
    assert_null(mv_egress_add(&gate.policy.egress, true, text));
}

void put16(uint8_t *p, size_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

uint8_t *put_v4(const char *from, const char *to, uint8_t protocol, size_t bytes)
{
    uint8_t *ip = frame + 14;
    memset(frame, 0, 14 + 20 + bytes);
    memcpy(frame, "\x52\x55\x0a\x00\x02\x02\x52\x54\x00\x12\x34\x56\x08\x00", 14);
    ip[0] = 0x45;
    put16(ip + 2, 20 + bytes);
    ip[9] = protocol;
    assert_int_equal(inet_pton(AF_INET, from, ip + 12), 1);
    assert_int_equal(inet_pton(AF_INET, to, ip + 16), 1);
    length = 14 + 20 + bytes;
    return ip + 20;
}

uint8_t *put_v6(const char *from, const char *to, uint8_t protocol, size_t bytes)
{
    uint8_t *ip = frame + 14;
    memset(frame, 0, 14 + 40 + bytes);
    memcpy(frame, "\x52\x55\x0a\x00\x02\x02\x52\x54\x00\x12\x34\x56\x86\xdd", 14);
    ip[0] = 0x60;
    put16(ip + 4, bytes);
    ip[6] = protocol;
    assert_int_equal(inet_pton(AF_INET6, from, ip + 8), 1);
    assert_int_equal(inet_pton(AF_INET6, to, ip + 24), 1);
    length = 14 + 40 + bytes;
    return ip + 40;
}

uint8_t *put_udp(const char *from, uint16_t from_port, const char *to, uint16_t to_port,
                 size_t bytes)
{
    bool v6 = strchr(to, ':') != NULL;
    uint8_t *udp = (v6 ? put_v6 : put_v4)(from, to, PROTOCOL_UDP, 8 + bytes);
    put16(udp, from_port);
    put16(udp + 2, to_port);
    put16(udp + 4, 8 + bytes);
    return udp + 8;
}

void put_syn(const char *to, uint16_t port)
{
    bool v6 = strchr(to, ':') != NULL;
    uint8_t *tcp = v6 ? put_v6("fec0::15", to, PROTOCOL_TCP, 20)
                      : put_v4("10.0.2.15", to, PROTOCOL_TCP, 20);
    put16(tcp, 40000);
    put16(tcp + 2, port);
    memcpy(tcp + 4, "\x01\x02\x03\x04", 4);
    tcp[12] = 0x50;
    tcp[13] = 2;
}

/* A DNS message: header, question; its length. */
size_t put_question(uint8_t *m, const char *name, bool response)
{
    size_t at = 12;
    memset(m, 0, 12);
    m[1] = 7;
    m[2] = response ? 0x81 : 0x01;
    m[5] = 1;
    while (*name) {
        size_t n = strcspn(name, ".");
        m[at++] = (uint8_t)n;
        memcpy(m + at, name, n);
        at += n;
        name += n + (name[n] == '.');
    }
    m[at++] = 0;
    put16(m + at, 1);
    put16(m + at + 2, 1);
    return at + 4;
}

void ask(const char *name)
{
    uint8_t message[512];
    size_t n = put_question(message, name, false);
    memcpy(put_udp("10.0.2.15", 5000, "10.0.2.3", 53, n), message, n);
}

/* An answer with a CNAME and one address, as our DNS gives it. */
void answer(const char *name, const char *address)
{
    uint8_t message[512], raw[16];
    size_t n = put_question(message, name, true);
    bool v6 = strchr(address, ':') != NULL;
    memcpy(message + n, "\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x04\x01x\xc0\x0c",
           16);
    n += 16;
    memcpy(message + n, "\xc0\x2b\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04", 12);
    assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, address, raw), 1);
    message[n + 3] = v6 ? 28 : 1;
    message[n + 11] = v6 ? 16 : 4;
    n += 12;
    memcpy(message + n, raw, v6 ? 16 : 4);
    n += v6 ? 16 : 4;
    message[7] = 2;
    memcpy(put_udp("10.0.2.3", 53, "10.0.2.15", 5000, n), message, n);
}

enum gate_verdict from_guest(void)
{
    return gate_from_guest(&gate, frame, length, 0, reply, &reply_length);
}

void resolve(const char *name, const char *address)
{
    ask(name);
    assert_int_equal(from_guest(), GATE_PASS);
    answer(name, address);
}

bool reaches(const char *to, uint16_t port)
{
    put_syn(to, port);
    return from_guest() == GATE_PASS;
}

/* The one's complement sum over a packet with a good checksum is all ones. */
static uint16_t sum(const uint8_t *data, size_t n, uint32_t with)
{
    for (size_t i = 0; i < n; i++)
        with += (uint32_t)data[i] << (i % 2 ? 0 : 8);
    while (with >> 16)
        with = (with & 0xffff) + (with >> 16);
    return (uint16_t)with;
}

void assert_good_packet(const uint8_t *f, size_t n, uint8_t protocol)
{
    const uint8_t *ip = f + 14;
    bool v6 = ip[0] >> 4 == 6;
    size_t header = v6 ? 40 : 20, rest = n - 14 - header;
    if (!v6)
        assert_int_equal(sum(ip, 20, 0), 0xffff);
    uint32_t pseudo = (uint32_t)sum(v6 ? ip + 8 : ip + 12, v6 ? 32 : 8, 0) + protocol +
                      (uint32_t)rest;
    if (!v6 && protocol == PROTOCOL_ICMP)
        pseudo = 0;
    assert_int_equal(sum(ip + header, rest, pseudo), 0xffff);
    assert_int_equal(ip[v6 ? 6 : 9], protocol);
}
