/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The setting `net`: its text form both ways, the struct of the API, copies, and what
 * is refused.
 */
#include "check.h"

#include "core/config_row.h"
#include "util/bytes.h"

#include <stdlib.h>

static void reads_and_shows(void **state)
{
    static const struct {
        const char *text;
        int kind;
        const char *where;
        long long fd;
    } c[] = {
        {"tap=vmtap0", MV_NET_TAP, "vmtap0", 0},
        {"tap=vmtap0,mac=52:54:00:12:34:56,mtu=9000,id=lan", MV_NET_TAP, "vmtap0", 0},
        {"unixstream=/run/a,,b=c", MV_NET_UNIXSTREAM, "/run/a,b=c", 0},
        {"unixgram=x,mtu=68", MV_NET_UNIXGRAM, "x", 0},
        {"fd=7,mtu=65535", MV_NET_FD, NULL, 7},
        {"callback", MV_NET_CALLBACK, NULL, 0},
        {"user,id=12345678901234567890", MV_NET_USER, NULL, 0},
    };
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(c); i++) {
        struct mv_config config, copy;
        microvm_error err;
        mv_config_init(&config);
        mv_config_set(&config, "net", c[i].text);
        assert_int_equal(config.first_error.code, 0);
        assert_int_equal(config.nets, 1);
        assert_int_equal(config.net[0].kind, c[i].kind);
        assert_int_equal(config.net[0].fd, c[i].fd);
        if (c[i].where)
            assert_string_equal(config.net[0].where, c[i].where);
        assert_ok(mv_config_copy(&copy, &config, &err), &err);
        mv_config_done(&config);
        char *text = mv_config_net_text(&copy.net[0]);
        assert_string_equal(text, c[i].text);
        free(text);
        mv_config_done(&copy);
    }
}

static void refuses_in_words(void **state)
{
    static const struct {
        const char *text, *words;
    } c[] = {
        {"", "net: '' is no network; there are none, tap=NAME"},
        {"tup=x", "did you mean 'tap'?"},
        {"tap", "net: 'tap' needs a value"},
        {"tap=", "net: 'tap' has nothing behind the '='"},
        {"callback=x", "net: 'callback' takes no value"},
        {"user=x", "net: 'user' takes no value"},
        {"none=x", "is no network"},
        {"fd=x", "net: fd 'x' is not a whole number"},
        {"fd=-1", "net: fd '-1'"},
        {"fd=4294967296", "is no descriptor"},
        {"tap=a,mac=1", "net: 'mac=1' is no address like 52:54:00:12:34:56"},
        {"tap=a,mac=52:54:00:12:34:5g", "is no address"},
        {"tap=a,mac=52-54-00-12-34-56", "is no address"},
        {"tap=a,mac=01:00:5e:00:00:01", "is the address of a group"},
        {"tap=a,mtu=67", "net: 'mtu=67' is not 68 to 65535 bytes"},
        {"tap=a,mtu=65536", "is not 68 to 65535 bytes"},
        {"tap=a,mtu=", "is not 68 to 65535 bytes"},
        {"tap=a,id=", "net: the id '' is not 1 to 20 printable bytes"},
        {"tap=a,id=123456789012345678901", "is not 1 to 20 printable bytes"},
        {"tap=a,mak=1", "net: unknown option 'mak=1'"},
        {"tap=a,b", "net: unknown option 'b'"},
    };
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(c); i++) {
        struct mv_config config;
        mv_config_init(&config);
        mv_config_set(&config, "net", c[i].text);
        if (!strstr(config.first_error.message, c[i].words))
            fail_msg("'%s': '%s' lacks '%s'", c[i].text, config.first_error.message,
                     c[i].words);
        assert_int_equal(config.first_error.code, MICROVM_E_INVALID);
        assert_int_equal(config.nets, 0);
        mv_config_done(&config);
    }
}

static void none_takes_them_away(void **state)
{
    struct mv_config config;
    (void)state;
    mv_config_init(&config);
    mv_config_set(&config, "net", "tap=a");
    mv_config_set(&config, "nets", "tap=b");
    assert_int_equal(config.nets, 2);
    mv_config_set(&config, "net", "none");
    assert_int_equal(config.nets, 0);
    for (unsigned i = 0; i < MV_NETS_MAX; i++)
        mv_config_set(&config, "net", "callback");
    assert_int_equal(config.first_error.code, 0);
    mv_config_set(&config, "net", "callback");
    assert_non_null(strstr(config.first_error.message, "net: a machine has at most 4"));
    mv_config_done(&config);
}

static void two_devices_are_refused(const char *first, const char *second,
                                    const char *why)
{
    struct mv_config config;
    mv_config_init(&config);
    mv_config_set(&config, "net", first);
    mv_config_set(&config, "net", second);
    assert_non_null(strstr(config.first_error.message, why));
    mv_config_done(&config);
}

static void ids_are_used_once(void **state)
{
    (void)state;
    two_devices_are_refused("tap=a,id=x", "tap=b,id=x",
                            "net: the id 'x' is another device's");
    two_devices_are_refused("callback", "callback,id=net0",
                            "net: the id 'net0' is another device's");
    two_devices_are_refused("callback,id=net1", "callback", "it would be 'net1'");
}

static void the_struct_says_the_same(void **state)
{
    (void)state;
    microvm_config *config = microvm_config_new();
    microvm_net net = MICROVM_NET_INIT;
    microvm_error err;
    net.backing = "unixstream=/run/a,b";
    net.mac[0] = 0x52;
    net.mac[5] = 1;
    net.mtu = 1400;
    net.id = "lan";
    microvm_config_add_net(config, &net);
    net.backing = "callback";
    net.id = NULL;
    microvm_config_add_net(config, &net);
    char *json = microvm_config_to_json(config, 0);
    assert_non_null(
        strstr(json, "\"unixstream=/run/a,,b,mac=52:00:00:00:00:01,mtu=1400,id=lan\""));
    microvm_config *again = microvm_config_new();
    assert_ok(microvm_config_load_json(again, json, strlen(json), &err), &err);
    char *twice = microvm_config_to_json(again, 0);
    assert_string_equal(json, twice);
    microvm_string_free(json);
    microvm_string_free(twice);
    microvm_config_free(again);
    net.size = 4;
    microvm_config_add_net(config, &net);
    assert_int_equal(microvm_config_check(config, &err), MICROVM_E_INVALID);
    assert_non_null(strstr(err.message, "MICROVM_NET_INIT"));
    microvm_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_shows),          cmocka_unit_test(refuses_in_words),
        cmocka_unit_test(none_takes_them_away),     cmocka_unit_test(ids_are_used_once),
        cmocka_unit_test(the_struct_says_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
