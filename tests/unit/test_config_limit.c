/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The setting `limit`: its text form both ways, whom it is for, and what is refused.
 */
#include "check.h"

#include "core/config_row.h"
#include "util/bytes.h"

#include <stdio.h>
#include <stdlib.h>

static void reads_and_shows(void **state)
{
    static const struct {
        const char *text, *shown;
        struct mv_limit_rates rates;
    } cases[] = {
        {"disk:10M/s", "disk:10M/s", {10 << 20, 0, 0}},
        {"disk:10M", "disk:10M/s", {10 << 20, 0, 0}},
        {"disk:10", "disk:10M/s", {10 << 20, 0, 0}}, /* as every size */
        {"disk=vda:10M/s,500", "disk=vda:10M/s,500", {10 << 20, 500, 0}},
        {"net:0,500/s", "net:0K/s,500", {0, 500, 0}},
        {"net=a:b:64KiB/s,1,burst=2s", "net=a:b:64K/s,1,burst=2s", {65536, 1, 2000}},
        {"disk:1G,burst=10ms", "disk:1G/s,burst=10ms", {1 << 30, 0, 10}},
        {"disk:0", "disk:0K/s", {0, 0, 0}},
    };
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(cases); i++) {
        struct mv_config config, again;
        char text[MV_LIMIT_TEXT];
        microvm_error err;
        mv_config_init(&config);
        mv_config_init(&again);
        assert_ok(mv_config_add_limit(&config, cases[i].text, &err), &err);
        assert_int_equal(config.limits, 1);
        assert_memory_equal(&config.limit[0].rates, &cases[i].rates,
                            sizeof cases[i].rates);
        (void)mv_config_limit_show(&config.limit[0], text);
        assert_string_equal(text, cases[i].shown);
        assert_ok(mv_config_add_limit(&again, text, &err), &err);
        assert_int_equal(again.limit[0].rates.bytes, cases[i].rates.bytes);
        assert_int_equal(again.limit[0].rates.ops, cases[i].rates.ops);
        assert_string_equal(again.limit[0].target.id, config.limit[0].target.id);
        mv_config_done(&config);
        mv_config_done(&again);
    }
}

static void refuses_in_words(void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "limit: '' has no rate"},
        {"disk", "limit: 'disk' has no rate; write it as in disk:10M/s,500"},
        {"disc:1M", "limit: 'disc' is no device; there are disk"},
        {"disk=:1M", "limit: the id in 'disk=' is not 1 to 20 bytes"},
        {"disk=123456789012345678901:1M", "is not 1 to 20 bytes"},
        {"disk:", "limit: '' is not a size"},
        {"disk:fast", "limit: 'fast' is not a size"},
        {"disk:1M/m", "limit: '1M/m' is not a size"},
        {"disk:1M,2M", "limit: '2M' is not a whole number"},
        {"disk:1M,5,6", "limit: '6' is too much; there are BYTES[/s], OPS and burst"},
        {"disk:burst=1s", "limit: 'burst=1s' is not a size"},
        {"disk:1M,burst=1ms", "limit: 'burst=1ms' is not possible; 10ms to 1h is"},
        {"disk:1M,burst=2h", "10ms to 1h"},
        {"disk:1M,burst=", "is not a duration"},
        {"disk:2000T", "limit: more than 1024T a second is none"},
        {"disk:0,99999999999999999", "limit: more than 1024T a second is none"},
        {"disk=\x01:1M", "not plain"},
    };
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(cases); i++) {
        struct mv_config config;
        microvm_error err;
        mv_config_init(&config);
        assert_error(mv_config_add_limit(&config, cases[i].text, &err), &err,
                     MICROVM_E_INVALID, cases[i].words);
        assert_int_equal(config.limits, 0);
        mv_config_done(&config);
    }
}

static void the_last_that_fits_counts(void **state)
{
    struct mv_config config;
    struct mv_limit_rates rates = {77, 0, 0};
    (void)state;
    mv_config_init(&config);
    assert_false(mv_config_limit_of(&config, MV_LIMIT_DISK, "vda", NULL, &rates));
    assert_int_equal(rates.bytes, 77);
    mv_config_set(&config, "limit", "disk:1M");
    mv_config_set(&config, "limit", "disk=vdb:2M");
    mv_config_set(&config, "limit", "net:3M");
    assert_true(mv_config_limit_of(&config, MV_LIMIT_DISK, "vda", NULL, &rates));
    assert_int_equal(rates.bytes, 1 << 20);
    assert_true(mv_config_limit_of(&config, MV_LIMIT_DISK, "vdb", NULL, &rates));
    assert_int_equal(rates.bytes, 2 << 20);
    assert_true(mv_config_limit_of(&config, MV_LIMIT_NET, "vdb", NULL, &rates));
    assert_int_equal(rates.bytes, 3 << 20);
    mv_config_set(&config, "limit", "disk:4M");
    assert_true(mv_config_limit_of(&config, MV_LIMIT_DISK, "vdb", NULL, &rates));
    assert_int_equal(rates.bytes, 4 << 20);
    mv_config_set(&config, "limit", "disk=data:5M");
    mv_config_set(&config, "limit", "disk=vda:6M");
    assert_true(mv_config_limit_of(&config, MV_LIMIT_DISK, "data", "vda", &rates));
    assert_int_equal(rates.bytes, 6 << 20);
    assert_true(mv_config_limit_of(&config, MV_LIMIT_DISK, "data", "vdb", &rates));
    assert_int_equal(rates.bytes, 5 << 20);
    mv_config_set(&config, "limit", NULL);
    assert_int_equal(config.limits, 0);
    mv_config_done(&config);
}

static void there_is_an_end_to_them(void **state)
{
    struct mv_config config;
    microvm_error err;
    (void)state;
    mv_config_init(&config);
    for (unsigned i = 0; i < MV_LIMITS_MAX; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "disk=d%u:1M", i);
        assert_ok(mv_config_add_limit(&config, text, &err), &err);
    }
    assert_error(mv_config_add_limit(&config, "net:1M", &err), &err, MICROVM_E_INVALID,
                 "at most 24");
    mv_config_done(&config);
}

/* What can count no more takes no place. */
static void a_new_limit_replaces_the_old(void **state)
{
    struct mv_config config;
    microvm_error err;
    (void)state;
    mv_config_init(&config);
    for (unsigned i = 0; i < 2 * MV_LIMITS_MAX; i++)
        assert_ok(mv_config_add_limit(&config, "disk=vda:1M,9", &err), &err);
    assert_int_equal(config.limits, 1);
    assert_ok(mv_config_add_limit(&config, "net:1M", &err), &err);
    assert_ok(mv_config_add_limit(&config, "disk=vdb:1M", &err), &err);
    assert_ok(mv_config_add_limit(&config, "disk=vda:2M", &err), &err);
    assert_int_equal(config.limits, 3);
    assert_int_equal(config.limit[2].rates.bytes, 2 << 20);
    assert_int_equal(config.limit[2].rates.ops, 0);
    assert_ok(mv_config_add_limit(&config, "disk:3M", &err), &err);
    assert_int_equal(config.limits, 2);
    assert_int_equal(config.limit[0].target.kind, MV_LIMIT_NET);
    assert_int_equal(config.limit[1].rates.bytes, 3 << 20);
    mv_config_done(&config);
}

static void json_has_them(void **state)
{
    static const char text[] =
        "{\"limits\": [\"disk:1M/s\", \"disk=vdb:0,100,burst=1s\"]}";
    static const char *const bad[][2] = {
        {"{\"limits\": \"disk:1M\"}",
         "limits: wanted a list of limits, found a string"},
        {"{\"limits\": [3]}", "limits: wanted strings in it, found a number"},
        {"{\"limits\": [\"disk\"]}", "limits[0]: 'disk' has no rate"},
    };
    struct mv_config config;
    microvm_error err;
    (void)state;
    mv_config_init(&config);
    assert_ok(mv_config_load_json(&config, NULL, text, strlen(text), &err), &err);
    assert_int_equal(config.limits, 2);
    char *json = mv_config_to_json(&config, false);
    assert_non_null(strstr(json, "\"disk:1M/s\""));
    assert_non_null(strstr(json, "\"disk=vdb:0K/s,100,burst=1s\""));
    free(json);
    mv_config_done(&config);
    for (unsigned i = 0; i < MV_ARRAY_LEN(bad); i++) {
        mv_config_init(&config);
        assert_error(
            mv_config_load_json(&config, NULL, bad[i][0], strlen(bad[i][0]), &err),
            &err, MICROVM_E_INVALID, bad[i][1]);
        mv_config_done(&config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_shows),
        cmocka_unit_test(refuses_in_words),
        cmocka_unit_test(the_last_that_fits_counts),
        cmocka_unit_test(there_is_an_end_to_them),
        cmocka_unit_test(a_new_limit_replaces_the_old),
        cmocka_unit_test(json_has_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
