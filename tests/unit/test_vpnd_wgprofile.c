/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * WireGuard profiles: what wg-quick(8) takes and this guest can do is understood, the
 * rest is refused by name, and what is written for wg(8) is what was read.
 */
#include "check.h"

#include "guest/vpnd/wgprofile.h"
#include "util/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define KEY  "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define KEY2 "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define KEY3 "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="
#define ZERO "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define ME   "[Interface]\nPrivateKey=" KEY "\nAddress=10.8.0.2/24\n"
#define PEER "[Peer]\nPublicKey=" KEY2 "\nEndpoint=vpn.example.com:51820\n"

static struct wg_profile profile;

static void check(const char *text, const char *wanted)
{
    char why[PROFILE_WHY_MAX] = "";
    assert_true(!*text || wgprofile_is(text, strlen(text)));
    bool well = wgprofile_read(text, strlen(text), &profile, why);
    check_verdict(well, text, why, wanted);
}

static void which_profiles_are_of_wireguard(void **state)
{
    (void)state;
    static const char *const these[] = {
        "[Interface]", "\xef\xbb\xbf\r\n# mine\n\n  [peer]\n", "; x\n[frobnicate]\n"};
    static const char *const others[] = {"", "#[Interface]", "client\n[Interface]\n",
                                         "<ca>\n[Interface]\n</ca>\n"};
    for (size_t i = 0; i < MV_ARRAY_LEN(these); i++)
        assert_true(wgprofile_is(these[i], strlen(these[i])));
    for (size_t i = 0; i < MV_ARRAY_LEN(others); i++)
        assert_false(wgprofile_is(others[i], strlen(others[i])));
}

static void a_usual_profile(void **state)
{
    (void)state;
    check(
        "\xef\xbb\xbf# of the provider\r\n; too\r\n[interface]\r\n"
        "privatekey =" KEY "# mine\r\n"
        "  ADDRESS = 10.8.0.2/24 , fd00:8::2/64\r\nAddress=10.9.0.2\r\n"
        "DNS = 10.8.0.1, vpn.example.com,fd00::53\r\nMTU = 1380\r\nListenPort=51821\r\n"
        "FwMark = 0x2A\r\nTable = auto\r\n\r\n"
        "[PEER]\r\nPublicKey = " KEY2 "\r\nPresharedKey=" ZERO "\r\n"
        "AllowedIPs = 0.0.0.0/0, ::/0\r\nAllowedIPs =10.1.2.3/12\r\n"
        "Endpoint = [2001:db8::1]:51820\r\nPersistentKeepalive = 15\r\n"
        "[Peer]\nPublicKey=" KEY3 "\nAllowedIPs=\nPersistentKeepalive=off\n",
        NULL);
    assert_string_equal(profile.key, KEY);
    assert_int_equal(profile.addresses, 3);
    assert_int_equal(profile.address[1].family, AF_INET6);
    assert_int_equal(profile.address[1].bits, 64);
    assert_int_equal(profile.address[2].bits, 32);
    assert_int_equal(profile.servers, 3);
    assert_string_equal(profile.server[1], "vpn.example.com");
    assert_int_equal(profile.mtu, 1380);
    assert_int_equal(profile.port, 51821);
    assert_int_equal(profile.mark, 42);
    assert_false(profile.no_routes);
    assert_int_equal(profile.peers, 2);
    assert_string_equal(profile.peer[0].host, "2001:db8::1");
    assert_int_equal(profile.peer[0].port, 51820);
    assert_int_equal(profile.peer[0].keepalive_s, 15);
    assert_int_equal(profile.peer[0].allowed, 3);
    assert_memory_equal(profile.allowed[2].bytes, "\x0a\x00\x00\x00", 4);
    assert_int_equal(profile.peer[1].first, 3);
    assert_int_equal(profile.peer[1].allowed, 0);
    assert_string_equal(profile.peer[1].host, "");
}

static void what_runs_or_writes_is_refused(void **state)
{
    (void)state;
    static const char *const programs[] = {"PreUp", "PostUp", "PreDown", "PostDown",
                                           "postup"};
    char text[500];
    for (size_t i = 0; i < MV_ARRAY_LEN(programs); i++) {
        (void)snprintf(text, sizeof text, ME "%s = /bin/sh\n" PEER, programs[i]);
        check(text, "runs a program: leave it away");
    }
    check(ME "SaveConfig=true\n" PEER, "line 4: 'SaveConfig' writes the profile");
    check(ME "Jc = 4\n" PEER, "line 4: 'Jc' is nothing that [Interface] may have here");
    check(ME PEER "Foo=1\n", "'Foo' is nothing that [Peer] may have here");
    check(ME "Endpoint=a:1\n" PEER, "nothing that [Interface]");
    check(ME PEER "PostUp=x\n", "nothing that [Peer]");
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "no PrivateKey"},
        {"[Interface]\n", "no PrivateKey"},
        {"[Interface]\nPrivateKey=" KEY "\n" PEER, "no Address"},
        {ME, "nobody to connect to"},
        {ME "[Peer]\nPublicKey=" KEY2 "\n", "nobody to connect to"},
        {ME "[Peer]\nEndpoint=a:1\n", "line 4: this [Peer] has no PublicKey"},
        {ME "[Peer]\n" PEER, "line 4: this [Peer] has no PublicKey"},
        {ME PEER PEER, "that of another peer"},
        {"[Peer]\n", "stands before [Interface]"},
        {"[Interface]\n[Interface]\n", "line 2: '[Interface]' is there twice"},
        {"[Interface\n", "is no section"},
        {"[Interface] x\n", "is no section"},
        {"[Frob]\n", "is no section"},
        {"[Interface]\nPrivateKey\n", "line 2: it is no KEY = VALUE"},
        {"[Interface]\n=x\n", "line 2: it is nothing"},
        {"[Interface]\nPrivateKey=\n", "is no key"},
        {"[Interface]\nPrivateKey=" ZERO "\n", "is no key"},
        {"[Interface]\nPrivateKey=/etc/key\n", "is no key"},
        {"[Interface]\nPrivateKey=yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBml=\n",
         "is no key"},
        {"[Interface]\nPrivateKey=yAnz5TF+lXXJte14tji3zlMNq-hd2rYUIgJBgB3fBmk=\n",
         "is no key"},
        {"[Interface]\nPrivateKey=" KEY "=\n", "is no key"},
        {ME "PrivateKey=" KEY2 "\n", "'PrivateKey' is there twice"},
        {ME "Address=10.0.0.1/33\n", "is no address"},
        {ME "Address=10.0.0\n", "is no address"},
        {ME "Address=10.0.0.1/0x8\n", "is no address"},
        {ME "Address=10.0.0.1/\n", "is no address"},
        {ME "Address=10.0.0.1,,\n", "is no address"},
        {ME "Address=fd00::1/129\n", "is no address"},
        {ME "Address=fe80::1%eth0\n", "is no address"},
        {ME "Address=1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1\n",
         "too often"},
        {ME "DNS=10.0.0.1/24\n", "neither an address"},
        {ME "DNS=a b\n", "neither an address"},
        {ME "MTU=575\n", "out of range"},
        {ME "MTU=70000\n", "out of range"},
        {ME "MTU=1200\nAddress=fd00::1\n" PEER, "below 1280"},
        {ME "ListenPort=65536\n", "is no port"},
        {ME "ListenPort=-1\n", "is no port"},
        {ME "FwMark=0x100000000\n", "is no mark"},
        {ME "FwMark=0x\n", "is no mark"},
        {ME "Table=51820\n", "auto or off"},
        {ME PEER "PersistentKeepalive=65536\n", "out of range"},
        {ME PEER "AllowedIPs=10.0.0.0/33\n", "is no prefix"},
        {ME PEER "AllowedIPs=example.com\n", "is no prefix"},
        {ME PEER "PresharedKey=x\n", "is no key"},
        {ME PEER "Endpoint=b:2\n", "'Endpoint' is there twice"},
    };
    for (size_t i = 0; i < MV_ARRAY_LEN(cases); i++)
        check(cases[i].text, cases[i].why);
    char why[PROFILE_WHY_MAX];
    assert_false(wgprofile_read("[Interface]\nMTU=1\0", 18, &profile, why));
    assert_non_null(strstr(why, "has a zero"));
}

/* A key in the wrong place, without its name or cut in two, is not repeated. */
static void secrets_are_not_told(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "[Interface]\n" KEY "\n",
        "[Interface]\nPrivateKey " KEY "\n",
        "[Interface]\nPrivateKey: " KEY "\n",
        "[Interface]\nyAnz5TF\n+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n",
        "[Interface]\nPrivateKey = \nyAnz5TFlXXJte14=\n",
        "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk\n",
        "[Interface]\n[yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=]\n",
        "[Interface]\nMTU = " KEY "\n",
        ME "[Peer]\nPublicKey=" KEY "\nEndpoint=" KEY "\n",
        ME "[Peer]\nPublicKey=" KEY "\nyAnz5TF+lXX = 1\n"};
    char why[PROFILE_WHY_MAX];
    for (size_t i = 0; i < MV_ARRAY_LEN(cases); i++) {
        assert_false(wgprofile_read(cases[i], strlen(cases[i]), &profile, why));
        assert_memory_equal(why, "line ", 5);
        if (strstr(why, "yAnz5") || strstr(why, "lXXJ"))
            fail_msg("'%s' is repeated: %s", cases[i], why);
    }
}

static void endpoints(void **state)
{
    (void)state;
    static const char *const good[] = {"1.2.3.4:1", "[::1]:65535", "a:1",
                                       "a-b.example_.x:9",
                                       "xn--bcher-kva.example:51820"};
    static const char *const bad[] = {"",
                                      "a",
                                      "a:",
                                      ":1",
                                      "a:0",
                                      "a:65536",
                                      "a:x",
                                      "a:-1",
                                      "a:+1",
                                      "1.2.3:1",
                                      "1.2.3.4/8:1",
                                      "fd00::1:51820",
                                      "[fd00::1]",
                                      "[1.2.3.4]:1",
                                      "[]:1",
                                      "[a]:1",
                                      "[fe80::1%eth0]:1",
                                      "a b:1",
                                      "a;b:1",
                                      "-a:1",
                                      "[fd00::1/64]:1"};
    char text[1000];
    for (size_t i = 0; i < MV_ARRAY_LEN(good); i++) {
        (void)snprintf(text, sizeof text,
                       ME "[Peer]\nPublicKey=" KEY2 "\nEndpoint=%s\n", good[i]);
        check(text, NULL);
    }
    for (size_t i = 0; i < MV_ARRAY_LEN(bad); i++) {
        (void)snprintf(text, sizeof text,
                       ME "[Peer]\nPublicKey=" KEY2 "\nEndpoint=%s\n", bad[i]);
        check(text, "'Endpoint' is none");
    }
    (void)snprintf(text, sizeof text,
                   ME "[Peer]\nPublicKey=" KEY2 "\nEndpoint=%0260d:1\n", 0);
    check(text, "'Endpoint'");
}

static void there_are_limits(void **state)
{
    (void)state;
    size_t room = 200000, length;
    char *text = malloc(room);
    assert_non_null(text);
    for (unsigned count = WG_ALLOWED_MAX; count <= WG_ALLOWED_MAX + 1; count++) {
        length = (size_t)snprintf(text, room, ME PEER "AllowedIPs=10.0.0.0/8");
        for (unsigned i = 1; i < count; i++)
            length += (size_t)snprintf(text + length, room - length, ",fd00::%x", i);
        check(text, count > WG_ALLOWED_MAX ? "too many" : NULL);
    }
    for (unsigned count = WG_PEERS_MAX; count <= WG_PEERS_MAX + 1; count++) {
        length = (size_t)snprintf(text, room, ME);
        for (unsigned i = 0; i < count; i++)
            length += (size_t)snprintf(
                text + length, room - length, "[Peer]\nPublicKey=%c%s\nEndpoint=a:1\n",
                (int)("AaBbCcDdEeFfGgHhIiJjKkLlMmNnOoPpQq"[i]), &KEY[1]);
        check(text, count > WG_PEERS_MAX ? "at most 32 peers" : NULL);
    }
    free(text);
}

static void prefixes(void **state)
{
    (void)state;
    static const struct {
        const char *prefix, *address;
        bool covers;
    } cases[] = {
        {"0.0.0.0/0", "1.2.3.4", true},       {"::/0", "1.2.3.4", false},
        {"0.0.0.0/0", "fd00::1", false},      {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.1", false},    {"10.128.0.0/9", "10.127.0.1", false},
        {"10.128.0.0/9", "10.129.0.1", true}, {"1.2.3.4", "1.2.3.4", true},
        {"1.2.3.4", "1.2.3.5", false},        {"8000::/1", "fd00::1", true},
        {"8000::/1", "2001::1", false},       {"fd00::/127", "fd00::1", true}};
    struct wg_prefix prefix, address;
    for (size_t i = 0; i < MV_ARRAY_LEN(cases); i++) {
        assert_true(wgprofile_prefix(cases[i].prefix, &prefix));
        assert_true(wgprofile_prefix(cases[i].address, &address));
        assert_int_equal(wgprofile_covers(&prefix, &address), cases[i].covers);
    }
}

static void what_wg_is_given(void **state)
{
    (void)state;
    static char out[WG_CONFIG_MAX];
    static struct wg_prefix endpoint[WG_PEERS_MAX];
    check(ME "FwMark=7\nDNS=10.8.0.1\nListenPort=1\n" PEER
             "AllowedIPs=10.1.2.3/8,::/0\nPresharedKey=" KEY3
             "\n[Peer]\nPublicKey=" KEY3
             "\nEndpoint=[::1]:2\nPersistentKeepalive=7\n[Peer]\nPublicKey=" KEY
             "\nAllowedIPs=1.2.3.4\n",
          NULL);
    assert_true(wgprofile_prefix("192.0.2.1", &endpoint[0]));
    assert_true(wgprofile_prefix("fd00::1", &endpoint[1]));
    size_t length = wgprofile_write(&profile, endpoint, 0, out);
    assert_string_equal(
        out,
        "[Interface]\nPrivateKey=" KEY
        "\nListenPort=1\nFwMark=0x7\n[Peer]\nPublicKey=" KEY2 "\nPresharedKey=" KEY3
        "\nAllowedIPs=10.0.0.0/8,::/0\nEndpoint=192.0.2.1:51820\nPersistentKeepalive=25\n"
        "[Peer]\nPublicKey=" KEY3 "\nEndpoint=[fd00::1]:2\nPersistentKeepalive=7\n"
        "[Peer]\nPublicKey=" KEY "\nAllowedIPs=1.2.3.4/32\n");
    assert_int_equal(length, strlen(out));
    (void)wgprofile_write(&profile, endpoint, 0x10, out);
    assert_non_null(strstr(out, "FwMark=0x10\n"));
}

/* A tunnel that nobody uses is held lost when handshakes are 180 s apart. */
static void keepalives_are_often_enough(void **state)
{
    (void)state;
    static const struct {
        const char *given, *written;
    } cases[] = {{"", "=25\n"},
                 {"PersistentKeepalive=off\n", "=25\n"},
                 {"PersistentKeepalive=24\n", "=24\n"},
                 {"PersistentKeepalive=26\n", "=25\n"},
                 {"PersistentKeepalive=600\n", "=25\n"}};
    static char out[WG_CONFIG_MAX];
    static struct wg_prefix endpoint[WG_PEERS_MAX];
    char text[500];
    assert_true(wgprofile_prefix("192.0.2.1", &endpoint[0]));
    for (size_t i = 0; i < MV_ARRAY_LEN(cases); i++) {
        (void)snprintf(text, sizeof text, ME PEER "%s", cases[i].given);
        check(text, NULL);
        (void)wgprofile_write(&profile, endpoint, 0, out);
        const char *at = strstr(out, "PersistentKeepalive");
        assert_non_null(at);
        assert_string_equal(at + strlen("PersistentKeepalive"), cases[i].written);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_profiles_are_of_wireguard),
        cmocka_unit_test(a_usual_profile),
        cmocka_unit_test(what_runs_or_writes_is_refused),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(secrets_are_not_told),
        cmocka_unit_test(endpoints),
        cmocka_unit_test(there_are_limits),
        cmocka_unit_test(prefixes),
        cmocka_unit_test(what_wg_is_given),
        cmocka_unit_test(keepalives_are_often_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
