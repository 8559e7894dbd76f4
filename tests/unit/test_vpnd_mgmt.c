/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Lines of OpenVPN's management interface, as version 2.6 says them, and what is said.
 */
#include "check.h"

#include "guest/vpnd/mgmt.h"
#include "guest/vpnd/text.h"
#include "util/bytes.h"

#include <stdio.h>
#include <string.h>

struct example {
    const char *line;
    struct mgmt_line means; /* NULL text is "" */
};

static void check_text(const char *is, const char *meant)
{
    assert_string_equal(is, meant ? meant : "");
}

static void lines_are_read(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {">INFO:OpenVPN Management Interface Version 5 -- type 'help' for more info",
         {MGMT_OTHER, .text = ""}},
        {"SUCCESS: hold release succeeded", {MGMT_OTHER, .text = ""}},
        {"", {MGMT_OTHER, .text = ""}},
        {">HOLD:Waiting for hold release:0", {MGMT_HOLD, .wait_s = 0}},
        {">HOLD:Waiting for hold release:16", {MGMT_HOLD, .wait_s = 16}},
        {">STATE:1795374471,WAIT,,,,,,", {MGMT_STATE, .state = "WAIT"}},
        {">STATE:1,CONNECTED,SUCCESS,10.8.0.2,10.99.0.1,1194,,",
         {MGMT_STATE, .state = "CONNECTED", .text = "SUCCESS", .ip = "10.8.0.2"}},
        {">STATE:1,CONNECTED,SUCCESS,,2001:db8::1,1194,,,fd00::2",
         {MGMT_STATE, .state = "CONNECTED", .text = "SUCCESS", .ip = "fd00::2"}},
        {">STATE:1,RECONNECTING,auth-failure,,,,,",
         {MGMT_STATE, .state = "RECONNECTING", .text = "auth-failure"}},
        {">STATE:1,AUTH_PENDING,timeout 20,,,,,",
         {MGMT_STATE, .state = "AUTH_PENDING", .text = "timeout 20"}},
        {">STATE:", {MGMT_OTHER}},
        {">PASSWORD:Need 'Auth' username/password",
         {MGMT_NEED, .username = true, .realm = "Auth"}},
        {">PASSWORD:Need 'Private Key' password", {MGMT_NEED, .realm = "Private Key"}},
        {">PASSWORD:Need 'Auth' username/password SC:1,Your PIN, please",
         {MGMT_NEED, .username = true, .static_challenge = true, .realm = "Auth",
          .text = "Your PIN, please"}},
        {">PASSWORD:Need Auth", {MGMT_OTHER}},
        {">PASSWORD:Verification Failed: 'Auth'", {MGMT_REFUSED, .realm = "Auth"}},
        {">PASSWORD:Verification Failed: 'Auth' ['account's locked']",
         {MGMT_REFUSED, .realm = "Auth", .text = "account's locked"}},
        {">PASSWORD:Verification Failed: 'Auth' ['CRV1:R,E:st7:YW5u:PIN: now']",
         {MGMT_DYNAMIC, .realm = "Auth", .id = "st7", .text = "PIN: now"}},
        {">PASSWORD:Verification Failed: 'Auth' ['CRV1:R,E:st7']",
         {MGMT_REFUSED, .realm = "Auth", .text = "CRV1:R,E:st7"}},
        {">INFOMSG:OPEN_URL:https://a.example/?b=c:d",
         {MGMT_WEB, .text = "https://a.example/?b=c:d"}},
        {">INFOMSG:WEB_AUTH::https://a.example/",
         {MGMT_WEB, .text = "https://a.example/"}},
        {">INFOMSG:WEB_AUTH:hidden,external:https://a.example:8443/",
         {MGMT_WEB, .text = "https://a.example:8443/"}},
        {">INFOMSG:CR_TEXT:R,E:The code: now",
         {MGMT_QUESTION, .text = "The code: now"}},
        {">INFOMSG:WEB_AUTH", {MGMT_OTHER}},
        {">FATAL:cannot open tun", {MGMT_FATAL, .text = "cannot open tun"}},
        {">UPDOWN:UP", {MGMT_UP}},
        {">UPDOWN:DOWN", {MGMT_DOWN}},
        {">UPDOWN:ENV,foreign_option_1=dhcp-option DNS 10.8.0.1",
         {MGMT_ENV, .text = "foreign_option_1=dhcp-option DNS 10.8.0.1"}},
        {">UPDOWN:ENV,END", {MGMT_ENV_END, .text = "END"}},
    };
    for (size_t i = 0; i < MV_ARRAY_LEN(examples); i++) {
        const struct mgmt_line *means = &examples[i].means;
        char line[200];
        struct mgmt_line is;
        (void)snprintf(line, sizeof line, "%s", examples[i].line);
        mgmt_read(line, &is);
        assert_int_equal(is.kind, means->kind);
        if (is.kind == MGMT_OTHER)
            continue;
        assert_int_equal(is.wait_s, means->wait_s);
        assert_int_equal(is.username, means->username);
        assert_int_equal(is.static_challenge, means->static_challenge);
        check_text(is.state, means->state);
        check_text(is.text, means->text);
        check_text(is.ip, means->ip);
        check_text(is.realm, means->realm);
        check_text(is.id, means->id);
    }
}

static void text_is_quoted(void **state)
{
    (void)state;
    char out[16];
    assert_true(mgmt_quote(out, sizeof out, "a\"b\\c d"));
    assert_string_equal(out, "\"a\\\"b\\\\c d\"");
    assert_true(mgmt_quote(out, sizeof out, ""));
    assert_string_equal(out, "\"\"");
    assert_false(mgmt_quote(out, sizeof out, "a\nsignal SIGTERM"));
    assert_false(mgmt_quote(out, sizeof out, "0123456789abcdef"));
    assert_false(mgmt_quote(out, 10, "\"\"\"\"\"\"\"\""));
}

static void text_is_encoded(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {/* RFC 4648, 10 */
                                           {"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"},
                                           {"\xff\xfe", "//4="}};
    char out[16];
    for (size_t i = 0; i < MV_ARRAY_LEN(pairs); i++) {
        assert_true(mgmt_base64(out, sizeof out, pairs[i][0]));
        assert_string_equal(out, pairs[i][1]);
    }
    assert_true(mgmt_base64(out, 9, "foobar"));
    assert_false(mgmt_base64(out, 8, "foobar"));
}

static void others_text_is_cleaned(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", ""},
        {"plain ~", "plain ~"},
        {"B\xc3\xbcro \xe2\x82\xac \xf0\x9f\x94\x91",
         "B\xc3\xbcro \xe2\x82\xac \xf0\x9f\x94\x91"},
        {"cut \xe2\x82", "cut ??"},
        {"cut \xf0\x9f\x94", "cut ???"},
        {"\xff\xc0\x80\xed\xa0\x80", "??????"},
        {"\xf4\x90\x80\x80\xe0\x80\x80", "???????"},
        {"a\tb\033[1m\177", "a?b?[1m?"},
        {"\xc2\x9b"
         "1m \xc2\xa0",
         "??1m \xc2\xa0"}, /* a control of 8 bits */
    };
    for (size_t i = 0; i < MV_ARRAY_LEN(pairs); i++) {
        char text[40];
        (void)snprintf(text, sizeof text, "%s", pairs[i][0]);
        text_clean(text);
        assert_string_equal(text, pairs[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_read),
        cmocka_unit_test(text_is_quoted),
        cmocka_unit_test(text_is_encoded),
        cmocka_unit_test(others_text_is_cleaned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
