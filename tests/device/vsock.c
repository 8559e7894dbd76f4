/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Steps of the socket device's tests.
 */
#include "vsock.h"

#include <stdio.h>

int vsock_setup(void **state)
{
    const enum vrig_transport *transport = *state;
    struct vsockrig *v = test_calloc(1, sizeof *v);
    vsockrig_open(v, *transport);
    vsockrig_start(v, UINT64_MAX, VSOCK_RX_BUFFERS);
    *state = v;
    return 0;
}

int vsock_teardown(void **state)
{
    struct vsockrig *v = *state;
    assert_int_equal(v->rig.failures, 0);
    vsockrig_close(v);
    test_free(v);
    return 0;
}

static uint8_t stream(size_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7);
}

void fill(uint8_t *to, size_t from, size_t length)
{
    for (size_t i = 0; i < length; i++)
        to[i] = stream(from + i);
}

void check_stream(const uint8_t *data, size_t from, size_t length)
{
    for (size_t i = 0; i < length; i++)
        assert_int_equal(data[i], stream(from + i));
}

struct mv_vsock_header expect(struct vsockrig *v, uint16_t op, uint8_t *data)
{
    struct mv_vsock_header h;
    assert_true(vsockrig_receive(v, &h, data, false));
    assert_int_equal(h.op, op);
    assert_int_equal(h.dst_cid, VSOCK_CID);
    return h;
}

void expect_nothing(struct vsockrig *v)
{
    struct mv_vsock_header h;
    if (vsockrig_receive(v, &h, NULL, false))
        fail_msg("a packet with operation %u that nobody expected", h.op);
}

void say(struct vsockrig *v, uint16_t op, uint32_t guest_port, uint32_t flags)
{
    struct mv_vsock_header h = vsockrig_header(op, guest_port, TO_PORT);
    h.flags = flags;
    vsockrig_send(v, &h, NULL, 0);
}

void say_data(struct vsockrig *v, uint32_t guest_port, const void *data,
              uint32_t length)
{
    const struct mv_vsock_header h = vsockrig_header(MV_VSOCK_RW, guest_port, TO_PORT);
    vsockrig_send(v, &h, data, length);
}

int64_t host_read(intptr_t end, void *data, size_t length)
{
    return mv_socket_read(end, data, length);
}

void expect_end(intptr_t end)
{
    uint8_t byte;
    assert_int_equal(host_read(end, &byte, 1), 0);
}

int vsock_main(const struct CMUnitTest *cases, size_t count)
{
    struct CMUnitTest tests[VSOCK_CASES_MAX];
    char name[VSOCK_CASES_MAX][96];
    int failed = 0;
    assert_true(count <= VSOCK_CASES_MAX);
    memcpy(tests, cases, count * sizeof tests[0]);
    for (enum vrig_transport way = VRIG_MMIO; way < VRIG_TRANSPORTS; way++) {
        for (size_t n = 0; n < count; n++) {
            (void)snprintf(name[n], sizeof name[n], "%s over %s", cases[n].name,
                           vrig_transport_name[way]);
            tests[n].name = name[n];
            tests[n].initial_state = &way;
        }
        failed += _cmocka_run_group_tests("vsock", tests, count, NULL, NULL);
    }
    return failed;
}
