/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Every example of proto/vpn.md is read as it says, written and read again the same;
 * and where requests end in a stream that comes in pieces.
 */
#include "check.h"

#include "proto/vpn.h"
#include "util/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(char *words, size_t room, const char *name, const char *value)
{
    size_t at = strlen(words);
    if (value)
        (void)snprintf(words + at, room - at, " %s=%s", name, value);
}

static void say_request(const struct vpn_request *r, char *words, size_t room)
{
    (void)snprintf(words, room, "%s%s", r->word ? "word " : "",
                   vpn_command_name(r->command));
    say(words, room, "profile", r->profile);
    say(words, room, "username", r->username);
    say(words, room, "password", r->password);
    say(words, room, "response", r->response);
    say(words, room, "key_password", r->key_password);
    say(words, room, "name", r->name);
    say(words, room, "content", r->content);
    say(words, room, "auth", r->auth);
    if (r->detail)
        (void)snprintf(words + strlen(words), room - strlen(words), " detail");
}

static void say_answer(const struct vpn_answer *a, char *words, size_t room)
{
    char names[200] = "";
    size_t i;
    json_t *name;
    (void)snprintf(words, room, "answer %s", vpn_status_name(a->status));
    say(words, room, "tun_ip", a->tun_ip);
    say(words, room, "error", a->error);
    say(words, room, "auth_url", a->auth_url);
    say(words, room, "auth_secret", a->auth_secret);
    say(words, room, "challenge", a->challenge);
    say(words, room, "state", a->state);
    say(words, room, "profile", a->profile);
    json_array_foreach(a->profiles, i, name)
    {
        size_t at = strlen(names);
        (void)snprintf(names + at, sizeof names - at, "%s%s", i ? "," : "",
                       json_string_value(name));
    }
    say(words, room, "profiles", a->profiles ? names : NULL);
}

static void check_request(const char *text, const char *meant)
{
    struct vpn_request request, again;
    char why[VPN_WHY_MAX] = "", words[400];
    bool well = vpn_request_read(text, strlen(text), &request, why);
    if (!strcmp(meant, "wrong")) {
        assert_false(well);
        assert_true(why[0]);
        return;
    }
    assert_true(well);
    say_request(&request, words, sizeof words);
    assert_string_equal(words, meant);
    if (!request.word) {
        char *line = vpn_request_write(&request);
        struct vpn_scan scan = {0};
        assert_non_null(line);
        assert_int_equal(vpn_request_scan(&scan, line, strlen(line), false),
                         strlen(line) - 1);
        assert_true(vpn_request_read(line, strlen(line), &again, why));
        say_request(&again, words, sizeof words);
        assert_string_equal(words, meant);
        vpn_request_free(&again);
        free(line);
    }
    vpn_request_free(&request);
}

static void check_answer(const char *text, const char *meant)
{
    struct vpn_answer answer, again;
    char words[400];
    bool well = vpn_answer_read(text, strlen(text), &answer);
    assert_int_equal(well, strcmp(meant, "answer wrong") != 0);
    if (!well)
        return;
    say_answer(&answer, words, sizeof words);
    assert_string_equal(words, meant);
    char *line = vpn_answer_write(&answer);
    assert_non_null(line);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    assert_true(vpn_answer_read(line, strlen(line), &again));
    say_answer(&again, words, sizeof words);
    assert_string_equal(words, meant);
    vpn_answer_free(&again);
    vpn_answer_free(&answer);
    free(line);
}

static void examples_are_read(void **state)
{
    (void)state;
    char line[400];
    unsigned requests = 0, answers = 0;
    FILE *file = fopen(MV_SOURCE_ROOT "/proto/vpn.md", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        char *arrow = strstr(line, " => ");
        if (strncmp(line, "    ", 4) || !arrow)
            continue;
        char *meant = arrow + 4;
        meant[strcspn(meant, "\n")] = '\0';
        while (arrow > line && *arrow == ' ')
            *arrow-- = '\0';
        if (!strncmp(meant, "answer", 6))
            check_answer(line + 4, meant);
        else
            check_request(line + 4, meant);
        *(!strncmp(meant, "answer", 6) ? &answers : &requests) += 1;
    }
    (void)fclose(file);
    assert_true(requests >= 34 && answers >= 16);
}

/* The lengths of the requests in `text`, which comes in pieces of `step` bytes. */
static void check_ends(const char *text, size_t step, const size_t *lengths)
{
    struct vpn_scan scan = {0};
    size_t begin = 0, size = strlen(text), have = 0;
    while (have < size) {
        have = MV_MIN(have + step, size);
        for (;;) {
            size_t n =
                vpn_request_scan(&scan, text + begin, have - begin, have == size);
            if (n == 0)
                break;
            assert_int_equal(n, *lengths);
            lengths++;
            begin += n;
            scan = (struct vpn_scan){0};
        }
    }
    assert_int_equal(*lengths, 0);
}

static void requests_end_where_they_end(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t lengths[6];
    } cases[] = {
        {"{\"cmd\":\"ping\"}\n", {14}},
        {"{\"cmd\":\"ping\"}", {14}},
        {"{\"cmd\":\"ping\"}{\"cmd\":\"ping\"}\r\n\n ping\r\n", {14, 14, 10}},
        {"{\"a\":\"}\\\"}\",\"b\":[{}]}x", {21, 1}},
        {"{\"cmd\":\n{\"cmd\":\"ping\"}\n", {8, 14}}, /* a broken line is alone */
        {"\n\n  \n", {0}},
        {"ping\nstatus", {5, 6}},
        {"}}\n]", {3, 1}},
    };
    for (size_t i = 0; i < MV_ARRAY_LEN(cases); i++) {
        for (size_t step = 1; step < 8; step++)
            check_ends(cases[i].text, step, cases[i].lengths);
        check_ends(cases[i].text, 1000, cases[i].lengths);
    }
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    struct vpn_request r;
    char why[VPN_WHY_MAX];
    assert_false(vpn_request_read("dance\r\n", 7, &r, why));
    assert_true(r.word);
    assert_string_equal(why, "unknown: dance");
    assert_false(vpn_request_read("{\"cmd\":\"fly\"}", 13, &r, why));
    assert_false(r.word);
    assert_string_equal(why, "there is no command 'fly'");
    assert_false(vpn_request_read("{\"cmd\":\"vpn_start\"}", 19, &r, why));
    assert_string_equal(why, "\"profile\" is missing");
}

static void secrets_are_compared_whole(void **state)
{
    (void)state;
    char secret[VPN_SECRET_DIGITS + 1], given[VPN_SECRET_DIGITS + 2];
    memset(secret, 'a', sizeof secret - 1);
    secret[VPN_SECRET_DIGITS] = '\0';
    memcpy(given, secret, sizeof secret);
    assert_true(vpn_secret_equal(secret, given));
    for (size_t i = 0; i < VPN_SECRET_DIGITS; i++) {
        given[i] = 'b';
        assert_false(vpn_secret_equal(secret, given));
        given[i] = 'a';
    }
    given[VPN_SECRET_DIGITS - 1] = '\0';
    assert_false(vpn_secret_equal(secret, given));
    memcpy(given + VPN_SECRET_DIGITS - 1, "aa", 3);
    assert_false(vpn_secret_equal(secret, given));
    assert_false(vpn_secret_equal(secret, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_are_read),
        cmocka_unit_test(requests_end_where_they_end),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(secrets_are_compared_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
