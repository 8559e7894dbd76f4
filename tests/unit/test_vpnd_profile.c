/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a VPN profile may say to the guest's daemon, and the ways to hide a directive
 * from who reads along: OpenVPN's own reader must not see more than ours.
 */
#include "check.h"

#include "guest/vpnd/profile.h"
#include "util/bytes.h"

#include <stdio.h>
#include <string.h>

static void check(const char *text, const char *wanted)
{
    char why[PROFILE_WHY_MAX] = "";
    bool well = profile_check(text, strlen(text), why);
    check_verdict(well, text, why, wanted);
}

static void usual_profiles_are_taken(void **state)
{
    (void)state;
    check("\xef\xbb\xbf# from a Windows editor\r\nclient\r\ndev tun\r\n", NULL);
    check(
        "client\ndev tun\nproto udp\nremote vpn.example.com 1194\nresolv-retry infinite\n"
        "nobind\npersist-key\npersist-tun\nremote-cert-tls server\ncipher AES-256-GCM\n"
        "auth SHA256\nverb 3\nauth-user-pass\nkey-direction 1\nreneg-sec 0\n"
        "<ca>\n-----BEGIN CERTIFICATE-----\nup /bin/sh\n-----END CERTIFICATE-----\n</ca>\n"
        "<tls-auth>\n# 2048 bit\n</tls-auth>\n",
        NULL);
    check("--client\n  \t remote 'a b' 1 # why\n; comment\n", NULL);
    check(
        "<connection>\nremote a 1 udp\nhttp-proxy p 8080 auto\n</connection>\nclient\n",
        NULL);
    check("setenv opt block-outside-dns\nsetenv UV_ID 1\nsetenv-safe x y\n", NULL);
    check("ignore-unknown-option block-outside-dns\nblock-outside-dns\n", NULL);
    check("tls-auth [inline] 1\nca [inline]\ndh none\nhttp-proxy h 1 auto-nct ntlm\n",
          NULL);
    check("compat-mode 2.4.0\nmax-packet-size 1400\ntun-mtu 1500\ntun-mtu-max 1600\n"
          "x509-username-field emailAddress\n",
          NULL);
    check("script-security 2\nstatic-challenge \"Your PIN\" 1\npull-filter ignore x\n",
          NULL);
}

static void what_runs_or_reads_elsewhere_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"client\nup /bin/sh", "line 2: 'up' runs a program"},
        {"down x", "runs a program"},
        {"route-up x", "runs a program"},
        {"tls-verify x", "runs a program"},
        {"ipchange x", "runs a program"},
        {"plugin x.so", "runs a program"},
        {"auth-user-pass-verify x via-env", "runs a program"},
        {"dns-updown x", "runs a program"},
        {"ca /etc/ca.pem", "line 1: 'ca' names a file"},
        {"ca \"[inline] none\"", "names a file"},
        {"tls-auth ta.key 1", "names a file"},
        {"auth-user-pass /etc/shadow", "vpn_start"},
        {"askpass /etc/shadow", "vpn_start"},
        {"http-proxy h 1 /etc/shadow", "names a file"},
        {"socks-proxy h 1 /etc/shadow", "names a file"},
        {"log /etc/passwd", "outside the profile"},
        {"config other", "outside the profile"},
        {"management 0.0.0.0 1", "outside the profile"},
        {"engine x", "outside the profile"},
        {"providers x", "outside the profile"},
        {"dev tap", "tun device"},
        {"dev", "tun device"},
        {"mode server", "no directive"},
        {"frobnicate", "no directive"},
        {"daemon", "no directive"},
        {"<up>\n/bin/sh\n</up>", "nothing that may be written"},
        {"setenv opt up /bin/sh", "'up' runs a program"},
        {"setenv opt setenv opt up x", "not written as"},
        {"<connection>\nup x\n</connection>", "line 2: 'up' runs"},
    };
    for (size_t i = 0; i < MV_ARRAY_LEN(cases); i++)
        check(cases[i].text, cases[i].why);
}

static void nothing_is_hidden(void **state)
{
    (void)state;
    char text[1200];
    check("--up x", "'up' runs a program");
    check("\t\v\f up x", "'up' runs a program");
    check("\"up\" x", "not written as");
    check("'up' x", "not written as");
    check("\\up x", "not written as");
    check("u\\p x", "'up' runs a program");
    check("UP x", "not written as");
    check("<ca>#\n", "not written as");
    check("--<up>\nx\n</up>", "not written as");
    check("<ca> x\n</ca>", "not written as");
    check("<ca>\n  </ca> rest\nup x", "line 3: 'up' runs");
    check("<ca>\n</cert>\nup x\n", "line 1: what begins here has no end");
    check("<connection>\nremote a\n", "line 1: what begins here has no end");
    check("<connection>\n<ca>\n</connection>\n</ca>\nup x\n", "may not stand in");
    check("remote \"a\nup x\n", "quotation without an end");
    check("remote a b c d e f g h i j k l m n o p q\n", "too many words");
    /* A reader of pieces of 255 bytes finds the end of <ca> where this one has a line.
     */
    (void)snprintf(text, sizeof text, "<ca>\n%0255d</ca>\nup x\n</ca>\n", 0);
    check(text, "line 2 has more than");
    char why[PROFILE_WHY_MAX];
    assert_false(profile_check("client\0up", 9, why));
}

static void an_empty_one_is_none(void **state)
{
    (void)state;
    check("", "it is empty");
    check("\n \r\n# client\n; remote a\n", "it is empty: there is no remote");
    check("\xef\xbb\xbf", "it is empty");
}

/* What stands on a line that is not understood may be of a key. */
static void secrets_are_not_told(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "client\nSESAMEADANBgkqhkiG9w0BAQEFAASCBKcwggSj\n",
        "client\nsesame89abcdef0123456789abcdef01\n",
        "client\n\"sesame",
        "client\nauth-user-pass\nsesame\n",
        "client\nsesame89abcdef0123456789abcdef01 x\n",
        "client\n<sesame>\n",
        "client\nsetenv opt sesame89abcdef0123456789abcdef01 x\n",
        "client\nca sesame.pem\n"};
    char why[PROFILE_WHY_MAX];
    for (size_t i = 0; i < MV_ARRAY_LEN(cases); i++) {
        if (profile_check(cases[i], strlen(cases[i]), why))
            fail_msg("'%s' is taken", cases[i]);
        if (strstr(why, "sesame") || strstr(why, "SESAME"))
            fail_msg("'%s' is repeated: %s", cases[i], why);
    }
    check("client\nfrobnicate 1\n", "line 2: 'frobnicate' is no directive");
    check("client\nann\n", "line 2: it is no directive");
}

static void names_stay_in_their_folder(void **state)
{
    (void)state;
    char name[PROFILE_NAME_MAX + 2];
    memset(name, 'x', sizeof name);
    name[PROFILE_NAME_MAX] = '\0';
    assert_true(profile_name_valid(name));
    assert_true(profile_name_valid("B\xc3\xbcro VPN (2).ovpn"));
    name[PROFILE_NAME_MAX] = 'x';
    name[PROFILE_NAME_MAX + 1] = '\0';
    assert_false(profile_name_valid(name));
    assert_false(profile_name_valid(""));
    assert_false(profile_name_valid(".."));
    assert_false(profile_name_valid(".x"));
    assert_false(profile_name_valid("a/b"));
    assert_false(profile_name_valid("a\nb"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual_profiles_are_taken),
        cmocka_unit_test(what_runs_or_reads_elsewhere_is_refused),
        cmocka_unit_test(nothing_is_hidden),
        cmocka_unit_test(an_empty_one_is_none),
        cmocka_unit_test(secrets_are_not_told),
        cmocka_unit_test(names_stay_in_their_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
