/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * References, credentials and challenges: what each form means, and what is refused.
 */
#include "check.h"

#include "credentials.h"
#include "ref.h"
#include "util/bytes.h"

#include <stdio.h>
#include <string.h>

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void references_mean_what_docker_says(void **state)
{
    static const struct {
        const char *text, *whole;
    } good[] = {
        {"alpine", "docker.io/library/alpine:latest"},
        {"alpine:3.19", "docker.io/library/alpine:3.19"},
        {"me/app", "docker.io/me/app:latest"},
        {"index.docker.io/alpine", "docker.io/library/alpine:latest"},
        {"localhost/a", "localhost/a:latest"},
        {"localhost:5000/a/b/c:x", "localhost:5000/a/b/c:x"},
        {"ghcr.io/a-b/c__d.e_f:V1.0-rc_2", "ghcr.io/a-b/c__d.e_f:V1.0-rc_2"},
        {"[::1]:5000/a", "[::1]:5000/a:latest"},
        {"a@sha256:" HEX64, "docker.io/library/a@sha256:" HEX64},
        {"quay.io/a:1@sha256:" HEX64, "quay.io/a:1@sha256:" HEX64},
        {"a--b/c---d", "docker.io/a--b/c---d:latest"},
    };
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(good); i++) {
        struct mv_ref ref;
        microvm_error err;
        char text[MV_REF_TEXT];
        assert_ok(mv_ref_parse(good[i].text, &ref, &err), &err);
        mv_ref_text(&ref, text);
        assert_string_equal(text, good[i].whole);
    }
}

static void what_is_no_reference(void **state)
{
    static const char *const bad[] = {"",
                                      "/",
                                      "a/",
                                      "/a",
                                      "a//b",
                                      "A",
                                      "a b",
                                      "a:",
                                      "a:.x",
                                      "a:x y",
                                      "a@",
                                      "a@sha256:0",
                                      "../a",
                                      "a/../b",
                                      "a._b",
                                      "a_-b",
                                      "-a",
                                      "a-",
                                      "a.",
                                      "x..y.io/",
                                      "x.io:/a",
                                      "x.io:1x/a",
                                      "x.io:123456/a",
                                      "[::1/a",
                                      "[]/a",
                                      "-x.io/a",
                                      "x-.io-/a",
                                      "a:x/y",
                                      "a@sha512:" HEX64,
                                      "http://x/a"};
    char longest[600];
    microvm_error err;
    struct mv_ref ref;
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(bad); i++)
        if (mv_ref_parse(bad[i], &ref, &err) == 0)
            fail_msg("'%s' was taken", bad[i]);
    memset(longest, 'a', sizeof longest);
    longest[247] = '\0'; /* with library/ before it the longest that goes, and back */
    assert_ok(mv_ref_parse(longest, &ref, &err), &err);
    char whole[MV_REF_TEXT];
    mv_ref_text(&ref, whole);
    assert_ok(mv_ref_parse(whole, &ref, &err), &err);
    longest[247] = 'a';
    longest[248] = '\0';
    assert_error(mv_ref_parse(longest, &ref, &err), &err, MICROVM_E_INVALID,
                 "its name");
    longest[248] = 'a';
    longest[sizeof longest - 1] = '\0';
    assert_error(mv_ref_parse(longest, &ref, &err), &err, MICROVM_E_INVALID,
                 "its name");
    longest[300] = '.';
    longest[400] = '/';
    assert_error(mv_ref_parse(longest, &ref, &err), &err, MICROVM_E_INVALID,
                 "its registry");
    memcpy(longest, "a:", 2);
    longest[300] = longest[400] = 'a';
    assert_error(mv_ref_parse(longest, &ref, &err), &err, MICROVM_E_INVALID, "its tag");
}

static void credentials_are_found_by_host(void **state)
{
    static const char text[] =
        "{\"auths\": {\"https://index.docker.io/v1/\": {\"auth\": \"YTpi\"},"
        " \"ghcr.io\": {\"auth\": \"bWU6cDpxdw==\"}, \"empty.io\": {},"
        " \"bad.io\": {\"auth\": \"YTpi!\"}, \"nocolon.io\": {\"auth\": \"YWJj\"}},"
        " \"credHelpers\": {\"aws.io\": \"ecr-login\", \"none.io\": \"\"}}";
    static const struct {
        const char *host, *user, *helper;
    } cases[] = {{"docker.io", "a:b", ""}, {"ghcr.io", "me:p:qw", ""},
                 {"empty.io", "", ""},     {"aws.io", "", "ecr-login"},
                 {"none.io", "", ""},      {"hcr.io", "", ""}};
    char user[MV_CREDENTIALS], helper[MV_CREDENTIALS_HELPER];
    microvm_error err;
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(cases); i++) {
        assert_ok(mv_credentials_find(text, sizeof text - 1, cases[i].host, user,
                                      helper, &err),
                  &err);
        assert_string_equal(user, cases[i].user);
        assert_string_equal(helper, cases[i].helper);
    }
    assert_error(
        mv_credentials_find(text, sizeof text - 1, "bad.io", user, helper, &err), &err,
        MICROVM_E_INVALID, "base64");
    assert_error(
        mv_credentials_find(text, sizeof text - 1, "nocolon.io", user, helper, &err),
        &err, MICROVM_E_INVALID, "name:password");
    assert_error(mv_credentials_find("{", 1, "x", user, helper, &err), &err,
                 MICROVM_E_INVALID, "no JSON");
}

static void helpers_are_named_as_docker_does(void **state)
{
    static const char store[] = "{\"credsStore\": \"pass\", \"credHelpers\": "
                                "{\"https://index.docker.io/v1/\": \"own\"}}";
    static const char *const wrong[] = {"../x", "a b", "/bin/sh", "a;b"};
    char user[MV_CREDENTIALS], helper[MV_CREDENTIALS_HELPER], text[128];
    microvm_error err;
    (void)state;
    assert_ok(mv_credentials_find(store, sizeof store - 1, "x.io", user, helper, &err),
              &err);
    assert_string_equal(helper, "pass");
    assert_ok(
        mv_credentials_find(store, sizeof store - 1, "docker.io", user, helper, &err),
        &err);
    assert_string_equal(helper, "own");
    assert_string_equal(mv_credentials_server("docker.io"),
                        "https://index.docker.io/v1/");
    assert_string_equal(mv_credentials_server("x.io:5000"), "x.io:5000");
    for (unsigned i = 0; i < MV_ARRAY_LEN(wrong); i++) {
        int length = snprintf(text, sizeof text, "{\"credsStore\": \"%s\"}", wrong[i]);
        assert_error(
            mv_credentials_find(text, (size_t)length, "x.io", user, helper, &err), &err,
            MICROVM_E_INVALID, "no program's name");
    }
    assert_error(
        mv_credentials_find("{\"credsStore\": 1}", 17, "x.io", user, helper, &err),
        &err, MICROVM_E_INVALID, "no program's name");
}

static void helpers_answer(void **state)
{
    static const struct {
        int status;
        const char *answer, *user, *words; /* words: of the error; NULL: none */
    } cases[] = {
        {0, "{\"ServerURL\": \"x\", \"Username\": \"me\", \"Secret\": \"a:b\"}",
         "me:a:b", NULL},
        {1, "credentials not found in native keychain\n", "", NULL},
        {1, "the keychain is locked\n", "", "ended with status 1: the keychain"},
        {-1, "", "", "could not be run"},
        {0, "", "", "no Username and Secret"},
        {0, "{\"Username\": \"a:b\", \"Secret\": \"c\"}", "", "no Username"},
        {0, "{\"Username\": \"me\"}", "", "no Username"},
        {0, "{\"Username\": \"<token>\", \"Secret\": \"x\"}", "", "identity token"},
    };
    static char large[MV_CREDENTIALS + 100];
    char user[MV_CREDENTIALS];
    microvm_error err;
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(cases); i++) {
        int rc =
            mv_credentials_answer("x", cases[i].status, cases[i].answer, user, &err);
        if (cases[i].words)
            assert_error(rc, &err, err.code, cases[i].words);
        else
            assert_ok(rc, &err);
        assert_string_equal(user, cases[i].user);
    }
    int length = snprintf(large, sizeof large, "{\"Username\": \"me\", \"Secret\": \"");
    memset(large + length, 'x', MV_CREDENTIALS);
    memcpy(large + length + MV_CREDENTIALS, "\"}", 3);
    assert_error(mv_credentials_answer("x", 0, large, user, &err), &err,
                 MICROVM_E_INVALID, "more than 8192 bytes");
}

static void challenges_are_taken_apart(void **state)
{
    static const char text[] =
        "Bearer service=\"a, realm=b\",realm=\"https://x/token\", plain=word,scope=\"\"";
    char value[32];
    (void)state;
    assert_true(mv_challenge_get(text, "realm", value, sizeof value));
    assert_string_equal(value, "https://x/token");
    assert_true(mv_challenge_get(text, "service", value, sizeof value));
    assert_string_equal(value, "a, realm=b");
    assert_true(mv_challenge_get(text, "plain", value, sizeof value));
    assert_string_equal(value, "word");
    assert_true(mv_challenge_get(text, "scope", value, sizeof value));
    assert_string_equal(value, "");
    assert_false(mv_challenge_get(text, "other", value, sizeof value));
    assert_false(mv_challenge_get(text, "realm", value, 15)); /* does not fit */
    assert_false(mv_challenge_get("Bearer realm=\"open", "realm", value, sizeof value));
    assert_false(mv_challenge_get("Bearer", "realm", value, sizeof value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_mean_what_docker_says),
        cmocka_unit_test(what_is_no_reference),
        cmocka_unit_test(credentials_are_found_by_host),
        cmocka_unit_test(helpers_are_named_as_docker_does),
        cmocka_unit_test(helpers_answer),
        cmocka_unit_test(challenges_are_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
