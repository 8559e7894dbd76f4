/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The vsock setting: text, struct and JSON, the message of each mistake, round trip.
 */
#include "check.h"

#include "core/config.h"
#include "util/bytes.h"

#include <stdlib.h>

static void text_sets_it(void **state)
{
    struct mv_config config;
    (void)state;
    mv_config_init(&config);
    assert_false(config.vsock.on);
    mv_config_set(&config, "vsock", "uds=/tmp/a,,b.sock,cid=4294967294");
    assert_int_equal(config.first_error.code, 0);
    assert_true(config.vsock.on);
    assert_string_equal(config.vsock.uds, "/tmp/a,b.sock");
    assert_int_equal(config.vsock.cid, 4294967294u);
    mv_config_set(&config, "vsock", "cid=5000"); /* another, not in addition */
    assert_null(config.vsock.uds);
    assert_int_equal(config.vsock.cid, 5000);
    mv_config_set(&config, "vsock", "uds=v");
    assert_int_equal(config.vsock.cid, 3);
    mv_config_set(&config, "vsock", NULL);
    assert_false(config.vsock.on);
    assert_int_equal(config.first_error.code, 0);
    mv_config_done(&config);
}

static void each_mistake_has_its_message(void **state)
{
    char longest[128] = "uds=";
    memset(longest + 4, 'x', 100);
    const struct {
        const char *text, *message;
    } cases[] = {
        {"", "vsock: unknown option ''; there are uds=PATH and cid=N"},
        {"cid=2", "vsock: the cid 2 is none that a guest can have: 3 to 4294967294"},
        {"cid=0", "vsock: the cid 0 is none that a guest can have"},
        {"cid=4294967295", "vsock: the cid 4294967295 is none that a guest can have"},
        {"cid=4294967296", "vsock: cid: '4294967296' is more than 4294967294"},
        {"cid=-1", "vsock: cid: '-1' "},
        {"uds=", "vsock: the path of a socket has 1 to 96 printable bytes, this one 0"},
        {"uds=a\tb", "vsock: the path of a socket has"},
        {longest, "vsock: the path of a socket has 1 to 96 printable bytes, this one "
                  "100"},
        {"path=x", "vsock: unknown option 'path=x'"},
    };
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(cases); i++) {
        struct mv_config config;
        microvm_error err;
        mv_config_init(&config);
        mv_config_set(&config, "vsock", cases[i].text);
        err = config.first_error;
        assert_error(err.code, &err, MICROVM_E_INVALID, cases[i].message);
        assert_false(config.vsock.on);
        mv_config_done(&config);
    }
}

static void structs_are_checked(void **state)
{
    microvm_vsock vsock = MICROVM_VSOCK_INIT;
    microvm_config *config = microvm_config_new();
    microvm_error err;
    (void)state;
    microvm_config_set_vsock(config, NULL);
    microvm_config_set_vsock(NULL, &vsock);
    vsock.uds = "v.sock";
    microvm_config_set_vsock(config, &vsock);
    microvm_config_set_kernel(config, "k");
    assert_ok(microvm_config_check(config, &err), &err);
    microvm_config *copy = microvm_config_copy(config);
    microvm_config_free(config);
    char *json = microvm_config_to_json(copy, 0);
    assert_non_null(strstr(json, "\"uds\": \"v.sock\""));
    microvm_string_free(json);
    vsock.size = 4;
    microvm_config_set_vsock(copy, &vsock);
    assert_error(microvm_config_check(copy, &err), &err, MICROVM_E_INVALID,
                 "vsock: the size field is not set; use MICROVM_VSOCK_INIT");
    microvm_config_free(copy);
}

static void json_goes_round(void **state)
{
    const char *const texts[] = {"{\"vsock\": \"uds=a.sock,cid=9\"}",
                                 "{\"vsock\": {\"uds\": \"a.sock\", \"cid\": 9}}"};
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(texts); i++) {
        struct mv_config config, back;
        microvm_error err;
        mv_config_init(&config);
        mv_config_init(&back);
        assert_ok(mv_config_load_json(&config, NULL, texts[i], strlen(texts[i]), &err),
                  &err);
        char *json = mv_config_to_json(&config, i);
        assert_ok(mv_config_load_json(&back, NULL, json, strlen(json), &err), &err);
        assert_string_equal(back.vsock.uds, "a.sock");
        assert_int_equal(back.vsock.cid, 9);
        free(json);
        mv_config_done(&config);
        mv_config_done(&back);
    }
}

static void wrong_json_has_its_message(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"vsock\": 3}", "vsock: wanted a text like \"uds=PATH\" or an object"},
        {"{\"vsock\": {\"uds\": 3}}", "vsock.uds: wanted a string, found a number"},
        {"{\"vsock\": {\"cid\": \"3\"}}", "vsock.cid: wanted a number, found a string"},
        {"{\"vsock\": {\"cid\": -3}}", "vsock: the cid 0 is none"},
        {"{\"vsock\": {\"cid\": 4294967299}}", "vsock: the cid 0 is none"},
        {"{\"vsock\": {\"port\": 1}}",
         "vsock: unknown key 'port'; there are 'uds' and"},
    };
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(cases); i++) {
        struct mv_config config;
        microvm_error err;
        mv_config_init(&config);
        assert_error(mv_config_load_json(&config, NULL, cases[i].text,
                                         strlen(cases[i].text), &err),
                     &err, MICROVM_E_INVALID, cases[i].message);
        mv_config_done(&config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_sets_it),
        cmocka_unit_test(each_mistake_has_its_message),
        cmocka_unit_test(structs_are_checked),
        cmocka_unit_test(json_goes_round),
        cmocka_unit_test(wrong_json_has_its_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
