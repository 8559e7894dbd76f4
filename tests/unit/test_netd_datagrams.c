/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the gate of the user network does with packets that open no connection: which of
 * them end in our own stack, and which would reach somebody who must not be reached.
 */
#include "check.h"
#include "netdframe.h"

#include <string.h>

static bool datagram_passes(const char *from, uint16_t from_port, const char *to,
                            uint16_t to_port)
{
    (void)put_udp(from, from_port, to, to_port, 40);
    return from_guest() == GATE_PASS;
}

static bool icmp6_passes(const char *to, uint8_t type)
{
    *put_v6("fe80::1", to, PROTOCOL_ICMPV6, 24) = type;
    return from_guest() == GATE_PASS;
}

static void dhcp_passes_only_to_our_own(void **state)
{
    (void)state;
    allow("1.1.1.1");
    assert_true(datagram_passes("0.0.0.0", 68, "255.255.255.255", 67));
    assert_true(datagram_passes("10.0.2.15", 68, "10.0.2.2", 67));
    assert_true(datagram_passes("fe80::1", 546, "ff02::1:2", 547));
    assert_true(datagram_passes("fec0::15", 546, "fec0::2", 547));
    assert_false(datagram_passes("10.0.2.15", 68, "9.9.9.9", 67));
    assert_false(datagram_passes("10.0.2.15", 68, "192.168.1.1", 67));
    assert_false(datagram_passes("10.0.2.15", 69, "255.255.255.255", 67));
    assert_false(datagram_passes("10.0.2.15", 68, "255.255.255.255", 69));
    assert_false(datagram_passes("fec0::15", 5000, "2001:db8::1", 547));
    assert_false(datagram_passes("fec0::15", 546, "fe80::2", 547));
}

static void of_icmp6_only_what_stays_on_the_link_passes(void **state)
{
    static const char *const to[] = {"ff02::2", "ff02::1:ff00:2", "fe80::2", "fec0::2"};
    static const uint8_t local[] = {131, 132, 133, 134, 135, 136, 143};
    static const char *const away[] = {"ff0e::1", "ff05::2",     "ff02::1",
                                       "fe80::2", "2001:db8::1", "fec0::2"};
    (void)state;
    allow("1.1.1.1");
    for (size_t i = 0; i < sizeof to / sizeof to[0]; i++) {
        for (size_t k = 0; k < sizeof local; k++)
            assert_true(icmp6_passes(to[i], local[k]));
    }
    for (size_t i = 0; i < sizeof away / sizeof away[0]; i++)
        assert_false(icmp6_passes(away[i], 128));           /* a ping */
    (void)put_v6("fe80::1", "ff02::2", PROTOCOL_ICMPV6, 0); /* of no type */
    assert_int_equal(from_guest(), GATE_DROP);
}

/* libslirp would hand them to the host's connect and sendto as they are. */
static void nothing_reaches_the_hosts_loopback(void **state)
{
    static const char *const loopback[] = {
        "127.0.0.1", "127.255.255.254",  "0.0.0.0",          "0.1.2.3",   "::1",
        "::",        "::ffff:127.0.0.1", "::ffff:127.9.9.9", "::ffff:0:0"};
    (void)state;
    for (unsigned rules = 0; rules < 2; rules++) {
        for (size_t i = 0; i < sizeof loopback / sizeof loopback[0]; i++) {
            bool v6 = strchr(loopback[i], ':') != NULL;
            assert_false(reaches(loopback[i], 22));
            put_syn(loopback[i], 22);
            frame[length - 20 + 13] = 0x10; /* no SYN */
            assert_int_not_equal(from_guest(), GATE_PASS);
            assert_false(
                datagram_passes(v6 ? "fec0::15" : "10.0.2.15", 5000, loopback[i], 53));
            if (v6)
                continue;
            put_syn(loopback[i], 22);
            frame[14 + 6] = 0x20; /* more fragments */
            assert_int_not_equal(from_guest(), GATE_PASS);
        }
        allow("127.0.0.0/8"); /* not even so */
        allow("::/0");
    }
    assert_true(gate.connections > 0);
}

static size_t to_guest(uint64_t now_ms)
{
    bool looked = gate_looks_at(&gate, frame, length);
    size_t n = gate_to_guest(&gate, frame, length, now_ms);
    assert_true(looked || n == length);
    return n;
}

static bool passes_at(uint64_t now_ms)
{
    return gate_from_guest(&gate, frame, length, now_ms, reply, &reply_length) ==
           GATE_PASS;
}

static bool may_answer(const char *to, uint16_t to_port, uint16_t from_port,
                       uint64_t now_ms)
{
    bool v6 = strchr(to, ':') != NULL;
    (void)put_udp(v6 ? "fec0::15" : "10.0.2.15", from_port, to, to_port, 40);
    return passes_at(now_ms);
}

static void comes(const char *from, uint16_t from_port, uint16_t to_port)
{
    bool v6 = strchr(from, ':') != NULL;
    (void)put_udp(from, from_port, v6 ? "fec0::15" : "10.0.2.15", to_port, 40);
    assert_int_equal(to_guest(1000), length);
}

static void who_came_by_a_forward_is_answered(void **state)
{
    (void)state;
    for (unsigned restricted = 0; restricted < 2; restricted++) {
        (void)begin(NULL);
        gate.restricted = restricted;
        if (!restricted)
            allow("203.0.113.10");
        gate_publish(&gate, "127.0.0.1:5353/udp", false, 53);
        comes("10.0.2.2", 4000, 53);
        comes("198.51.100.1", 4001, 53);
        comes("fec0::2", 4000, 53);  /* by none: the forward is IPv4's */
        comes("10.0.2.2", 4000, 54); /* no forward's: an answer to the guest */
        assert_true(may_answer("10.0.2.2", 4000, 53, 1000));
        assert_false(may_answer("fec0::2", 4000, 53, 1000));
        gate_publish(&gate, "[::1]:5353/udp", true, 53);
        comes("fec0::2", 4000, 53);
        assert_true(may_answer("fec0::2", 4000, 53, 1000));
        /* An address that the guest has made up, whose socket no forward knows. */
        (void)put_udp("198.51.100.7", 4001, "10.0.2.99", 53, 40);
        assert_int_equal(to_guest(1000), length);
        (void)put_udp("10.0.2.99", 53, "198.51.100.7", 4001, 40);
        assert_false(passes_at(1000));
        (void)put_udp("10.0.2.99", 53, "10.0.2.2", 4000, 40);
        assert_false(passes_at(1000)); /* that one came to 10.0.2.15 */
        assert_true(may_answer("198.51.100.1", 4001, 53, 240999));
        assert_false(may_answer("198.51.100.1", 4001, 53, 241000)); /* too late */
        assert_false(may_answer("198.51.100.1", 4000, 53, 1000));
        assert_false(may_answer("198.51.100.2", 4001, 53, 1000));
        assert_false(may_answer("10.0.2.2", 4000, 54, 1000));
        put_syn("198.51.100.1", 4001); /* by UDP only */
        assert_false(passes_at(1000));
        gate_unpublish(&gate, "127.0.0.1:5353/udp");
        assert_false(may_answer("10.0.2.2", 4000, 53, 1000)); /* it is closed */
        comes("198.51.100.9", 4001, 53);
        assert_false(may_answer("198.51.100.9", 4001, 53, 1000));
    }
}

static void so_many_are_remembered(void **state)
{
    (void)state;
    allow("203.0.113.10");
    gate_publish(&gate, "127.0.0.1:5353/udp", false, 53);
    for (uint16_t i = 0; i < RECENT_SENDERS; i++) {
        (void)put_udp("198.51.100.1", (uint16_t)(4000 + i), "10.0.2.15", 53, 40);
        assert_int_equal(to_guest(1000u + i), length);
    }
    assert_true(may_answer("198.51.100.1", 4000, 53, 2000));
    (void)put_udp("198.51.100.1", 3999, "10.0.2.15", 53, 40);
    assert_int_equal(to_guest(2000), length);
    assert_false(may_answer("198.51.100.1", 4000, 53, 2000)); /* the oldest */
    assert_true(may_answer("198.51.100.1", 4001, 53, 2000));
    assert_true(may_answer("198.51.100.1", 3999, 53, 2000));
}

static void restricted_to_forwards_nothing_leads_out(void **state)
{
    (void)state;
    gate.restricted = true;
    allow("1.1.1.1");
    allow("example.com");
    assert_false(reaches("1.1.1.1", 443));
    assert_false(datagram_passes("10.0.2.15", 5000, "1.1.1.1", 443));
    ask("example.com");
    assert_int_equal(from_guest(), GATE_REPLY);
    (void)put_v4("10.0.2.15", "10.0.2.2", PROTOCOL_ICMP, 8);
    assert_int_equal(from_guest(), GATE_DROP);
    assert_true(datagram_passes("0.0.0.0", 68, "255.255.255.255", 67));
    put_syn("203.0.113.1", 4000);
    frame[length - 20 + 13] = 0x12; /* the answer to a connection that came in */
    assert_int_equal(from_guest(), GATE_PASS);
}

static void only_what_was_asked_is_an_answer(void **state)
{
    (void)state;
    allow("*.example.com");
    answer("a.example.com", "93.184.216.34"); /* nobody asked */
    assert_int_equal(to_guest(0), 0);
    ask("a.example.com");
    assert_int_equal(from_guest(), GATE_PASS);
    answer("b.example.com", "93.184.216.34"); /* another name */
    assert_int_equal(to_guest(0), 0);
    answer("a.example.com", "93.184.216.34");
    frame[42]++; /* another number */
    assert_int_equal(to_guest(0), 0);
    answer("a.example.com", "93.184.216.34");
    put16(frame + 36, 5001); /* another port */
    assert_int_equal(to_guest(0), 0);
    answer("a.example.com", "93.184.216.34");
    assert_int_equal(to_guest(15000), 0); /* too late */
    assert_int_equal(gate.malformed, 5);
    assert_false(reaches("93.184.216.34", 443));
    answer("a.example.com", "93.184.216.34");
    assert_int_equal(to_guest(0), length);
    assert_true(reaches("93.184.216.34", 443));
    answer("a.example.com", "93.184.216.35"); /* twice */
    assert_int_equal(to_guest(0), 0);
    assert_false(reaches("93.184.216.35", 443));
}

static void fragments_of_answers_are_not_let_through(void **state)
{
    (void)state;
    answer("example.com", "192.168.1.1");
    frame[14 + 6] = 0x20;
    assert_int_equal(to_guest(0), length); /* without a policy nobody minds */
    allow("example.com");
    assert_int_equal(to_guest(0), 0);
    answer("example.com", "192.168.1.1");
    put16(frame + 14 + 6, 185); /* the last one */
    assert_int_equal(to_guest(0), 0);
    assert_int_equal(gate.malformed, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(who_came_by_a_forward_is_answered, begin),
        cmocka_unit_test_setup(so_many_are_remembered, begin),
        cmocka_unit_test_setup(restricted_to_forwards_nothing_leads_out, begin),
        cmocka_unit_test_setup(only_what_was_asked_is_an_answer, begin),
        cmocka_unit_test_setup(fragments_of_answers_are_not_let_through, begin),
        cmocka_unit_test_setup(dhcp_passes_only_to_our_own, begin),
        cmocka_unit_test_setup(of_icmp6_only_what_stays_on_the_link_passes, begin),
        cmocka_unit_test_setup(nothing_reaches_the_hosts_loopback, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
