/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The layout of the public structs on 64-bit systems. Structs with a size field may
 * grow at their end: then a number here changes, and nothing else may.
 */
#include "check.h"

#include "microvm/microvm.h"
#include "microvm/runtime.h"

#define SIZE(type, bytes)           assert_int_equal(sizeof(type), bytes)
#define FIELD(type, member, offset) assert_int_equal(offsetof(type, member), offset)

static void structs_are_laid_out_as_promised(void **state)
{
    (void)state;
    SIZE(microvm_error, 256);
    FIELD(microvm_error, message, 8);
    SIZE(microvm_backend, 632);
    FIELD(microvm_backend, detail, 32);
    FIELD(microvm_backend, fix, 432);
    SIZE(microvm_disk, 32);
    FIELD(microvm_disk, id, 24);
    SIZE(microvm_limit, 24);
    FIELD(microvm_limit, bytes_per_s, 8);
    SIZE(microvm_key, 48);
    SIZE(microvm_exit, 260);
    FIELD(microvm_exit, message, 12);
    SIZE(microvm_event, 264);
    FIELD(microvm_event, message, 32);
    FIELD(microvm_event, socket, 248);
    SIZE(microvm_net, 40);
    FIELD(microvm_net, mac, 16);
    FIELD(microvm_net, mtu, 22);
    FIELD(microvm_net, id, 24);
    SIZE(microvm_nic_info, 56);
    FIELD(microvm_nic_info, mac, 48);
    SIZE(microvm_stats, 280);
    FIELD(microvm_stats, boot_mark_ns, 128);
    FIELD(microvm_stats, ended_ns, 160);
    FIELD(microvm_stats, vsock_connections, 168);
    FIELD(microvm_stats, transport, 264);
    FIELD(microvm_stats, net_refused_frames, 272);
    SIZE(microvm_vsock, 16);
    SIZE(microvm_command, 56);
    FIELD(microvm_command, timeout_ms, 40);
    SIZE(microvm_copy, 40);
    FIELD(microvm_copy, news, 24);
    SIZE(microvm_copy_news, 48);
    FIELD(microvm_copy_news, path, 32);
    SIZE(microvm_socket_type, 4);
    SIZE(microvm_runtime_config, 48);
    FIELD(microvm_runtime_config, kernel_path, 8);
    FIELD(microvm_runtime_config, console_history, 36);
    FIELD(microvm_runtime_config, machine, 40);
    SIZE(microvm_vpn_request, 80);
    FIELD(microvm_vpn_request, auth, 72);
    SIZE(microvm_vpn_answer, 80);
    FIELD(microvm_vpn_answer, tun_ip, 8);
    FIELD(microvm_vpn_answer, memory, 72);
}

static void the_version_is_that_of_the_header(void **state)
{
    (void)state;
    assert_string_equal(microvm_version(), "0.1.0");
    assert_int_equal(MICROVM_VERSION_MAJOR, 0);
    assert_int_equal(MICROVM_VERSION_MINOR, 1);
    assert_int_equal(MICROVM_VERSION_PATCH, 0);
}

static void every_value_has_a_name(void **state)
{
    (void)state;
    for (int code = MICROVM_E_CANCELLED; code <= MICROVM_OK; code++)
        assert_string_not_equal(microvm_code_name(code), "unknown error");
    assert_string_equal(microvm_code_name(-99), "unknown error");
    for (int s = MICROVM_CREATED; s <= MICROVM_FAILED; s++)
        assert_string_not_equal(microvm_state_name(s), "unknown");
    assert_string_equal(microvm_state_name(99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structs_are_laid_out_as_promised),
        cmocka_unit_test(the_version_is_that_of_the_header),
        cmocka_unit_test(every_value_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
