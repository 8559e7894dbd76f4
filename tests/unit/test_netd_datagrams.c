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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(dhcp_passes_only_to_our_own, begin),
        cmocka_unit_test_setup(of_icmp6_only_what_stays_on_the_link_passes, begin),
        cmocka_unit_test_setup(nothing_reaches_the_hosts_loopback, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
