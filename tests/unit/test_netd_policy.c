/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The egress policy of the user network: rules, and the addresses that names stand for.
 */
#include "check.h"
#include "policy.h"

#include <arpa/inet.h>
#include <string.h>

static struct policy policy;

static int begin(void **state)
{
    (void)state;
    memset(&policy, 0, sizeof policy);
    return 0;
}

static void allow(const char *text)
{
    assert_null(mv_egress_add(&policy.egress, true, text));
}

static void deny(const char *text)
{
    assert_null(mv_egress_add(&policy.egress, false, text));
}

static struct mv_address at(const char *text)
{
    uint8_t v4[4];
    struct mv_address a;
    if (inet_pton(AF_INET, text, v4) == 1)
        return mv_address_v4(v4);
    assert_int_equal(inet_pton(AF_INET6, text, a.byte), 1);
    return a;
}

static bool tcp(const char *text, uint16_t port, uint64_t now_ms)
{
    struct mv_address a = at(text);
    return policy_allows(&policy, &a, port, MV_EGRESS_TCP, now_ms);
}

static bool udp(const char *text, uint16_t port)
{
    struct mv_address a = at(text);
    return policy_allows(&policy, &a, port, MV_EGRESS_UDP, 0);
}

static void answered(const char *name, const char *text, uint32_t ttl_s,
                     uint64_t now_ms)
{
    struct mv_address a = at(text);
    policy_answered(&policy, name, &a, ttl_s, now_ms);
}

static void without_rules_everything_is_open(void **state)
{
    (void)state;
    assert_true(tcp("1.1.1.1", 443, 0));
    assert_true(tcp("192.168.1.1", 22, 0));
    assert_true(mv_egress_allows_name(&policy.egress, "example.com"));
}

static void the_first_match_decides(void **state)
{
    (void)state;
    deny("1.2.3.4");
    allow("1.2.3.0/24");
    assert_false(tcp("1.2.3.4", 80, 0));
    assert_true(tcp("1.2.3.5", 80, 0));
    assert_false(tcp("1.2.4.1", 80, 0)); /* with an allow the rest is closed */
}

static void with_denials_only_the_rest_stays_open_but_not_inside(void **state)
{
    static const char *const inside[] = {
        "10.0.2.2",   "127.0.0.1", "192.168.1.1", "172.31.0.1", "169.254.169.254",
        "100.64.0.1", "224.0.0.1", "0.0.0.0",     "::1",        "fc00::1",
        "fe80::1",    "fec0::2",   "ff02::1"};
    (void)state;
    deny("8.8.8.8");
    assert_false(tcp("8.8.8.8", 53, 0));
    assert_true(tcp("1.1.1.1", 53, 0));
    assert_true(tcp("2606:4700::1111", 443, 0));
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        if (tcp(inside[i], 80, 0))
            fail_msg("%s is open", inside[i]);
    }
    assert_true(tcp("172.32.0.1", 80, 0));
    assert_true(tcp("100.128.0.1", 80, 0));
}

static void inside_opens_when_it_is_asked_for(void **state)
{
    (void)state;
    allow("192.168.7.0/24:5432");
    assert_true(tcp("192.168.7.9", 5432, 0));
    assert_false(tcp("192.168.7.9", 22, 0));
    assert_false(tcp("192.168.8.9", 5432, 0));
    assert_false(udp("192.168.7.9", 5432));
}

/* Also not by a name that was answered so. */
static void this_computer_opens_to_who_means_it(void **state)
{
    static const char *const self[] = {"127.0.0.1", "127.9.9.9", "0.0.0.0", "::1",
                                       "::"};
    (void)state;
    allow("0.0.0.0/0");
    allow("::/0");
    allow("example.com");
    answered("example.com", "127.0.0.1", 300, 0);
    assert_true(tcp("192.168.1.1", 80, 0));
    assert_true(tcp("fc00::1", 80, 0));
    for (size_t i = 0; i < sizeof self / sizeof self[0]; i++)
        assert_false(tcp(self[i], 80, 0));
    allow("127.0.0.0/8:80");
    allow("::1");
    assert_true(tcp("127.9.9.9", 80, 0));
    assert_false(tcp("127.9.9.9", 81, 0));
    assert_true(tcp("::1", 81, 0));
    assert_false(tcp("0.0.0.0", 80, 0));
}

static void who_may_go_everywhere_may_ask_for_every_name(void **state)
{
    (void)state;
    deny("ads.example.com");
    allow("10.0.0.0/8");
    assert_false(mv_egress_allows_name(&policy.egress, "example.com"));
    allow("0.0.0.0/0");
    assert_true(mv_egress_allows_name(&policy.egress, "example.com"));
    assert_false(mv_egress_allows_name(&policy.egress, "ads.example.com"));
}

static void ports_and_protocols(void **state)
{
    (void)state;
    allow("1.1.1.1:53/udp");
    allow("[2001:db8::1]:443");
    allow("9.9.9.9/udp");
    assert_true(udp("1.1.1.1", 53));
    assert_false(tcp("1.1.1.1", 53, 0));
    assert_true(tcp("2001:db8::1", 443, 0));
    assert_false(tcp("2001:db8::1", 80, 0));
    assert_true(udp("9.9.9.9", 1));
    assert_false(tcp("9.9.9.9", 1, 0));
}

static void a_name_is_what_our_dns_answered(void **state)
{
    (void)state;
    allow("example.com:443");
    allow("*.example.org");
    assert_false(tcp("93.184.216.34", 443, 0)); /* the address alone is no way around */
    answered("example.com", "93.184.216.34", 300, 0);
    assert_true(tcp("93.184.216.34", 443, 0));
    assert_false(tcp("93.184.216.34", 80, 0));
    answered("www.example.org", "5.6.7.8", 300, 0);
    assert_true(tcp("5.6.7.8", 80, 0));
    answered("other.net", "5.6.7.9", 300, 0);
    assert_false(tcp("5.6.7.9", 80, 0));
}

static void an_answer_ends(void **state)
{
    (void)state;
    allow("example.com");
    answered("example.com", "5.6.7.8", 10, 1000);
    assert_true(tcp("5.6.7.8", 80, 1000 + 10000 + 59000));
    assert_false(tcp("5.6.7.8", 80, 1000 + 10000 + 61000));
    answered("example.com", "5.6.7.8", 4000000000u, 0); /* a day at most */
    assert_false(tcp("5.6.7.8", 80, 25ull * 3600 * 1000));
}

static void names_do_not_open_private_addresses(void **state)
{
    (void)state;
    struct mv_address a = at("192.168.1.1");
    allow("example.com");
    answered("example.com", "192.168.1.1", 300, 0);
    assert_false(tcp("192.168.1.1", 80, 0));
    assert_true(mv_egress_is_inside(&policy.egress, &a));
    allow("192.168.1.0/24");
    assert_false(mv_egress_is_inside(&policy.egress, &a));
}

static void names_are_matched_whole(void **state)
{
    (void)state;
    deny("ads.example.com");
    allow("*.example.com");
    assert_false(mv_egress_allows_name(&policy.egress, "ads.example.com"));
    assert_true(mv_egress_allows_name(&policy.egress, "www.example.com"));
    assert_true(mv_egress_allows_name(&policy.egress, "a.b.example.com"));
    assert_false(mv_egress_allows_name(&policy.egress, "example.com"));
    assert_false(mv_egress_allows_name(&policy.egress, "badexample.com"));
    assert_false(mv_egress_allows_name(&policy.egress, "example.com.evil.net"));
    assert_false(mv_egress_allows_name(&policy.egress, ""));
}

static void the_table_of_answers_forgets_the_oldest(void **state)
{
    (void)state;
    allow("example.com");
    for (unsigned i = 0; i < POLICY_ADDRESSES_MAX + 10; i++) {
        const uint8_t v4[4] = {20, 0, (uint8_t)(i >> 8), (uint8_t)i};
        struct mv_address a = mv_address_v4(v4);
        policy_answered(&policy, "example.com", &a, 100 + i, 0);
    }
    assert_int_equal(policy.answers, POLICY_ADDRESSES_MAX);
    assert_false(tcp("20.0.0.0", 80, 0));
    assert_true(tcp("20.0.4.9", 80, 0));
}

/* Where two names stand for one address, each for its own time only. */
static void names_of_an_address_end_by_themselves(void **state)
{
    (void)state;
    allow("short.example.com:80");
    allow("long.example.com:443");
    answered("short.example.com", "93.184.216.34", 10, 0);
    answered("long.example.com", "93.184.216.34", 1000, 0);
    answered("short.example.com", "93.184.216.34", 5, 0); /* ends nothing early */
    assert_int_equal(policy.answers, 2);
    assert_true(tcp("93.184.216.34", 80, 69999));
    assert_true(tcp("93.184.216.34", 443, 69999));
    assert_false(tcp("93.184.216.34", 80, 70000)); /* 10 s and a minute */
    assert_true(tcp("93.184.216.34", 443, 1059999));
    assert_false(tcp("93.184.216.34", 443, 1060000));
}

static void nonsense_is_refused_with_a_reason(void **state)
{
    static const char *const bad[] = {
        "",           "1.2.3.4/33",   "1.2.3.4:0",      "1.2.3.4:70000", "fc00::/129",
        "a..b",       ".a",           "exa mple.com",   "http://x.com",  "*.",
        "1.2.3.4/x",  "example.com:", "example.com/24", "[fc00::1]:x",   "*.*.com",
        "10.0.0.256", "1.2.3",        "*.10.0.0.1",     "192.168.0.0.",  "host.7:80"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (!mv_egress_add(&policy.egress, true, bad[i]))
            fail_msg("'%s' was accepted", bad[i]);
    }
    assert_int_equal(policy.egress.rules, 0);
    for (unsigned i = 0; i < MV_EGRESS_RULES_MAX; i++)
        allow("1.2.3.4");
    assert_non_null(mv_egress_add(&policy.egress, true, "1.2.3.4"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(without_rules_everything_is_open, begin),
        cmocka_unit_test_setup(the_first_match_decides, begin),
        cmocka_unit_test_setup(with_denials_only_the_rest_stays_open_but_not_inside,
                               begin),
        cmocka_unit_test_setup(inside_opens_when_it_is_asked_for, begin),
        cmocka_unit_test_setup(this_computer_opens_to_who_means_it, begin),
        cmocka_unit_test_setup(who_may_go_everywhere_may_ask_for_every_name, begin),
        cmocka_unit_test_setup(ports_and_protocols, begin),
        cmocka_unit_test_setup(a_name_is_what_our_dns_answered, begin),
        cmocka_unit_test_setup(an_answer_ends, begin),
        cmocka_unit_test_setup(names_do_not_open_private_addresses, begin),
        cmocka_unit_test_setup(names_are_matched_whole, begin),
        cmocka_unit_test_setup(the_table_of_answers_forgets_the_oldest, begin),
        cmocka_unit_test_setup(names_of_an_address_end_by_themselves, begin),
        cmocka_unit_test_setup(nonsense_is_refused_with_a_reason, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
