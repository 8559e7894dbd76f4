/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The gate of the user network, with frames as a guest sends them: what passes, what is
 * answered, and what DNS answers do to the policy.
 */
#include "check.h"
#include "netdframe.h"

#include <string.h>

/* ---- cases ----------------------------------------------------------------------- */

static void without_a_policy_all_pass(void **state)
{
    (void)state;
    assert_true(reaches("192.168.0.1", 22));
    memset(frame, 0xff, 60);
    length = 60;
    assert_int_equal(from_guest(), GATE_PASS);
}

static void a_refused_connection_is_reset(void **state)
{
    (void)state;
    allow("1.1.1.1");
    assert_true(reaches("1.1.1.1", 443));
    put_syn("9.9.9.9", 443);
    assert_int_equal(from_guest(), GATE_REPLY);
    assert_int_equal(reply_length, 14 + 20 + 20);
    assert_good_packet(reply, reply_length, PROTOCOL_TCP);
    assert_memory_equal(reply, frame + 6, 6);
    assert_memory_equal(reply + 14 + 12, "\x09\x09\x09\x09\x0a\x00\x02\x0f", 8);
    assert_int_equal(reply[14 + 20 + 13], 0x14);                     /* RST, ACK */
    assert_memory_equal(reply + 14 + 20 + 8, "\x01\x02\x03\x05", 4); /* its SYN */
    put_syn("2606:4700::1111", 443);
    assert_int_equal(from_guest(), GATE_REPLY);
    assert_good_packet(reply, reply_length, PROTOCOL_TCP);
    assert_int_equal(gate.connections, 2);
}

static void a_refused_datagram_is_prohibited(void **state)
{
    (void)state;
    allow("1.1.1.1");
    (void)put_udp("10.0.2.15", 5000, "9.9.9.9", 123, 48);
    assert_int_equal(from_guest(), GATE_REPLY);
    assert_good_packet(reply, reply_length, PROTOCOL_ICMP);
    assert_memory_equal(reply + 34, "\x03\x0d", 2);
    assert_memory_equal(reply + 42, frame + 14, 28);
    (void)put_udp("fec0::15", 5000, "2001:db8::1", 123, 48);
    assert_int_equal(from_guest(), GATE_REPLY);
    assert_good_packet(reply, reply_length, PROTOCOL_ICMPV6);
    assert_memory_equal(reply + 54, "\x01\x01", 2);
}

static void what_ends_in_our_stack_passes(void **state)
{
    (void)state;
    allow("1.1.1.1");
    (void)put_udp("0.0.0.0", 68, "255.255.255.255", 67, 300);
    assert_int_equal(from_guest(), GATE_PASS);
    memset(frame, 0, 42);
    memcpy(frame + 12, "\x08\x06", 2);
    length = 42;
    assert_int_equal(from_guest(), GATE_PASS);
    *put_v6("fe80::1", "ff02::2", PROTOCOL_ICMPV6, 8) = 133;
    assert_int_equal(from_guest(), GATE_PASS);
    *put_v6("fec0::15", "2001:db8::1", PROTOCOL_ICMPV6, 8) = 128; /* a ping */
    assert_int_equal(from_guest(), GATE_DROP);
}

static void tricks_do_not_pass(void **state)
{
    (void)state;
    allow("1.1.1.1");
    put_syn("1.1.1.1", 443);
    frame[14 + 6] = 0x20; /* more fragments */
    assert_int_equal(from_guest(), GATE_DROP);
    put_syn("1.1.1.1", 443);
    frame[14 + 3] = 30; /* the header does not fit in the packet */
    assert_int_equal(from_guest(), GATE_DROP);
    put_syn("1.1.1.1", 443);
    frame[14] = 0x4f; /* nor do these options */
    assert_int_equal(from_guest(), GATE_DROP);
    put_syn("1.1.1.1", 443);
    memcpy(frame + 12, "\x81\x00", 2); /* VLAN */
    assert_int_equal(from_guest(), GATE_DROP);
    (void)put_v6("fec0::15", "2001:db8::1", 0, 40); /* hop-by-hop options */
    assert_int_not_equal(from_guest(), GATE_PASS);
    for (size_t n = 0; n < 54; n++) {
        put_syn("1.1.1.1", 443);
        length = n;
        assert_int_equal(from_guest(), GATE_DROP);
    }
    assert_false(reaches("10.0.2.3", 53)); /* DNS over TCP */
    assert_false(reaches("10.0.2.2", 22)); /* the host */
}

static void names_are_refused_by_our_dns(void **state)
{
    (void)state;
    allow("example.com");
    ask("example.com");
    assert_int_equal(from_guest(), GATE_PASS);
    ask("EXAMPLE.com");
    assert_int_equal(from_guest(), GATE_PASS);
    ask("evil.net");
    assert_int_equal(from_guest(), GATE_REPLY);
    assert_good_packet(reply, reply_length, PROTOCOL_UDP);
    assert_memory_equal(reply + 26, "\x0a\x00\x02\x03\x0a\x00\x02\x0f", 8);
    assert_int_equal(reply[42 + 3] & 15, 5);
    assert_int_equal(reply[42 + 2] & 0x80, 0x80);
    assert_memory_equal(reply + 42 + 12,
                        "\x04"
                        "evil\x03net",
                        10);
    assert_int_equal(gate.names, 1);
    (void)put_udp("10.0.2.15", 5000, "8.8.8.8", 53, 40); /* another server is no way */
    assert_int_equal(from_guest(), GATE_REPLY);
}

static void answers_open_addresses(void **state)
{
    (void)state;
    allow("example.com:443");
    assert_false(reaches("93.184.216.34", 443));
    resolve("example.com", "93.184.216.34");
    assert_int_equal(gate_to_guest(&gate, frame, length, 0), length);
    assert_true(reaches("93.184.216.34", 443));
    resolve("example.com", "2606:2800::1");
    assert_int_equal(gate_to_guest(&gate, frame, length, 0), length);
    assert_true(reaches("2606:2800::1", 443));
    answer("evil.net", "6.6.6.6"); /* nobody may have asked for it */
    assert_int_equal(gate_to_guest(&gate, frame, length, 0), 0);
    assert_false(reaches("6.6.6.6", 443));
}

static void rebinding_is_refused(void **state)
{
    static const char *const inside[] = {
        "192.168.1.1", "127.0.0.1", "10.0.2.2", "169.254.169.254",
        "::1",         "fe80::1",   "fd00::1",  "::ffff:192.168.1.1"};
    (void)state;
    allow("example.com");
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        resolve("example.com", inside[i]);
        size_t n = gate_to_guest(&gate, frame, length, 0);
        assert_true(n > 0 && n < length);
        assert_good_packet(frame, n, PROTOCOL_UDP);
        assert_int_equal(frame[42 + 3] & 15, 5);
        assert_memory_equal(frame + 42 + 6, "\0\0\0\0\0\0", 6);
        assert_int_equal(gate.answers, i + 1);
    }
}

static void answers_that_cannot_be_read_are_refused(void **state)
{
    (void)state;
    allow("example.com");
    answer("example.com", "93.184.216.34");
    size_t whole = length;
    for (size_t cut = 1; cut < 44; cut++) {
        resolve("example.com", "93.184.216.34");
        length = whole - cut;
        put16(frame + 16, length - 14);
        put16(frame + 38, length - 34);
        (void)gate_to_guest(&gate, frame, length, 0);
        assert_false(reaches("93.184.216.34", 443));
    }
}

static void a_hint_counts_as_an_address(void **state)
{
    static const uint8_t https[] = "\xc0\x0c\x00\x41\x00\x01\x00\x00\x00\x3c\x00\x0b"
                                   "\x00\x01\x00\x00\x04\x00\x04\xc0\xa8\x01\x01";
    uint8_t message[256];
    (void)state;
    allow("example.com");
    size_t n = put_question(message, "example.com", true);
    message[7] = 1;
    memcpy(message + n, https, sizeof https - 1);
    n += sizeof https - 1;
    ask("example.com");
    assert_int_equal(from_guest(), GATE_PASS);
    memcpy(put_udp("10.0.2.3", 53, "10.0.2.15", 5000, n), message, n);
    assert_true(gate_to_guest(&gate, frame, length, 0) < length);
    assert_int_equal(gate.answers, 1);
}

static void dhcp_says_how_large_packets_may_be(void **state)
{
    (void)state;
    uint8_t *dhcp = put_udp("10.0.2.2", 67, "255.255.255.255", 68, 300);
    memcpy(dhcp + 236, "\x63\x82\x53\x63\x35\x01\x02\xff", 8);
    size_t n = gate_to_guest(&gate, frame, length, 0);
    assert_int_equal(n, length);
    assert_memory_equal(frame + 42 + 243, "\x1a\x02\xff\xf0\xff", 5);
    assert_good_packet(frame, n, PROTOCOL_UDP);
    dhcp = put_udp("10.0.2.2", 67, "255.255.255.255", 68, 244); /* no room behind it */
    memcpy(dhcp + 236, "\x63\x82\x53\x63\x35\x01\x02\xff", 8);
    n = gate_to_guest(&gate, frame, length, 0);
    assert_int_equal(n, length + 4);
    assert_good_packet(frame, n, PROTOCOL_UDP);
    dhcp = put_udp("10.0.2.2", 67, "255.255.255.255", 68, 244); /* no end: left alone */
    memcpy(dhcp + 236, "\x63\x82\x53\x63\x35\x01\x02\x01", 8);
    assert_int_equal(gate_to_guest(&gate, frame, length, 0), length);
}

static uint8_t ack[2][128];

/* ack[i]: a segment without payload, from the host to the guest. */
static void put_ack(unsigned i, const char *to, uint32_t acknowledged)
{
    put_syn(to, 80);
    uint8_t *tcp = frame + length - 20;
    put16(tcp + 8, acknowledged >> 16);
    put16(tcp + 10, acknowledged & 0xffff);
    tcp[13] = 0x10;
    memcpy(ack[i], frame, length);
}

static bool replaces(void)
{
    return packet_ack_replaces(ack[1], length, ack[0], length);
}

static void a_later_acknowledgement_replaces_an_earlier(void **state)
{
    (void)state;
    static const char *const to[] = {"1.2.3.4", "2001:db8::1"};
    for (unsigned i = 0; i < 2; i++) {
        put_ack(0, to[i], 0xffffff00);
        put_ack(1, to[i], 0x100); /* beyond the end of the numbers */
        assert_true(replaces());
        assert_false(packet_ack_replaces(ack[1], length, ack[0], length - 1));
        assert_false(packet_ack_replaces(ack[1], 13, ack[0], 13));
        put_ack(1, to[i], 0xffffff00); /* a duplicate */
        assert_false(replaces());
        put_ack(1, to[i], 0xfffffe00);
        assert_false(replaces());
        for (unsigned change = 0; change < 5; change++) {
            static const uint8_t at[] = {1, 3, 7, 12, 13}; /* ports to flags */
            put_ack(1, to[i], 0xffffff01);
            assert_true(replaces());
            ack[1][length - 20 + at[change]] ^= 0x10;
            assert_false(replaces());
        }
    }
    put_ack(0, "1.2.3.4", 1);
    put_ack(1, "1.2.3.5", 2);
    assert_false(replaces());
    put_ack(1, "1.2.3.4", 2);
    ack[1][14 + 3]--; /* what does not fit is no packet */
    assert_false(replaces());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_later_acknowledgement_replaces_an_earlier, begin),
        cmocka_unit_test_setup(without_a_policy_all_pass, begin),
        cmocka_unit_test_setup(a_refused_connection_is_reset, begin),
        cmocka_unit_test_setup(a_refused_datagram_is_prohibited, begin),
        cmocka_unit_test_setup(what_ends_in_our_stack_passes, begin),
        cmocka_unit_test_setup(tricks_do_not_pass, begin),
        cmocka_unit_test_setup(names_are_refused_by_our_dns, begin),
        cmocka_unit_test_setup(answers_open_addresses, begin),
        cmocka_unit_test_setup(rebinding_is_refused, begin),
        cmocka_unit_test_setup(answers_that_cannot_be_read_are_refused, begin),
        cmocka_unit_test_setup(a_hint_counts_as_an_address, begin),
        cmocka_unit_test_setup(dhcp_says_how_large_packets_may_be, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
