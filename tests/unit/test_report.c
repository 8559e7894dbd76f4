/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a guest reports of itself, as bytes that wait in accepted sockets: the examples
 * of proto/agent.md, parts of them, and nonsense.
 */
#include "check.h"

#include "machine/machine.h"

#include <string.h>

static const uint8_t ready[] = {0x01, 0x0a, 0x00, 0x00, 0x76, 0x65, 0x72,
                                0x73, 0x69, 0x6f, 0x6e, 0x3d, 0x31, 0x00};
static const uint8_t ended[] = {0x08, 0x12, 0x00, 0x00, 0x63, 0x6f, 0x64, 0x65,
                                0x3d, 0x31, 0x33, 0x37, 0x00, 0x73, 0x69, 0x67,
                                0x6e, 0x61, 0x6c, 0x3d, 0x39, 0x00};

static struct {
    intptr_t waiting[4];
    unsigned count;
} arrivals;

static int take_arrival(struct microvm *vm, uint32_t port, intptr_t *out,
                        microvm_error *err)
{
    (void)vm, (void)err;
    assert_int_equal(port, MICROVM_AGENT_PORT);
    if (!arrivals.count)
        return 0;
    *out = arrivals.waiting[--arrivals.count];
    return 1;
}

static const struct mv_machine_ops ops = {.kind = "test", .accept = take_arrival};

/* Another connection, on which this has been said. */
static void arrive(const void *bytes, size_t length)
{
    microvm_error err;
    intptr_t pair[2];
    assert_int_equal(mv_socket_pair(MICROVM_SOCKET_STREAM, pair, &err), 0);
    if (length)
        assert_int_equal(mv_socket_write(pair[1], bytes, length), length);
    mv_socket_close(pair[1]);
    arrivals.waiting[arrivals.count++] = pair[0];
}

static int code(bool reports)
{
    struct microvm vm = {.ops = &ops, .reports = reports};
    return mv_report_code(&vm);
}

static void the_last_frame_is_the_code(void **state)
{
    uint8_t both[sizeof ready + sizeof ended];
    (void)state;
    memcpy(both, ready, sizeof ready);
    memcpy(both + sizeof ready, ended, sizeof ended);
    arrive(both, sizeof both);
    assert_int_equal(code(true), 137);
    assert_int_equal(arrivals.count, 0);
}

static void who_is_only_ready_has_no_code(void **state)
{
    (void)state;
    assert_int_equal(code(true), -1);
    arrive(ready, sizeof ready);
    assert_int_equal(code(true), -1);
    arrive(ended, sizeof ended - 1);
    assert_int_equal(code(true), -1);
    assert_int_equal(code(false), -1);
}

static void nonsense_is_no_code(void **state)
{
    static const char *const wrong[] = {"\x08\x09\0\0code=256", "\x08\x07\0\0code=-1",
                                        "\x08\x05\0\0code=",    "\xff\xff\xff\xff",
                                        "\x08\0\0\0",           "\x08\x02\0\0=1"};
    static const size_t length[] = {13, 12, 10, 4, 4, 7};
    uint8_t much[2048] = {0};
    (void)state;
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        arrive(wrong[i], length[i]); /* with the zero byte at its end */
        assert_int_equal(code(true), -1);
    }
    arrive(much, sizeof much);
    arrive(NULL, 0);
    arrive(ended, sizeof ended);
    assert_int_equal(code(true), 137);
}

int main(void)
{
    struct mv_loop loop; /* Windows has sockets once there is one */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_frame_is_the_code),
        cmocka_unit_test(who_is_only_ready_has_no_code),
        cmocka_unit_test(nonsense_is_no_code),
    };
    if (mv_loop_open(&loop, NULL))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mv_loop_close(&loop);
    return failed;
}
