/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A guest that lies to the socket device: bad headers, lengths, credit, floods. What is
 * no packet stops the device; what no connection allows for resets that connection; the
 * rest goes on, and nothing of the host grows.
 */
#include "vsock.h"

#include "util/bytes.h"
#include "virtio/vsock_conn.h"

static struct mv_vsock *device(struct vsockrig *v)
{
    return mv_vsock_of(v->rig.dev);
}

/* The device has stopped, said why, and its peers have heard; a reset mends it. */
static void expect_failure(struct vsockrig *v, intptr_t end)
{
    assert_int_equal(v->rig.failures, 1);
    assert_true(vdriver_read(&v->rig.driver, VREG_STATUS) & MV_STATUS_NEEDS_RESET);
    expect_end(end);
    v->rig.failures = 0;
    vdriver_reset(&v->rig.driver);
    vsockrig_start(v, UINT64_MAX, VSOCK_RX_BUFFERS);
    assert_int_not_equal(vsockrig_connect(v, GUEST_PORT, BUF), MV_SOCKET_NONE);
}

/* pitfalls, 10, and the cases below: nothing a guest sends stops the host. */
static void short_headers_stop_the_device(void **state)
{
    struct vsockrig *v = *state;
    for (uint32_t length = 1; length < MV_VSOCK_HEADER; length += 7) {
        const struct vdriver_buffer buffer = {0x8000, length, false};
        intptr_t end = vsockrig_connect(v, GUEST_PORT + 1, BUF);
        (void)vdriver_add(&v->rig.driver.queue[1], &buffer, 1);
        vdriver_kick(&v->rig.driver, 1);
        vrig_turn(&v->rig);
        expect_failure(v, end);
    }
}

static void long_lengths_stop_the_device(void **state)
{
    struct vsockrig *v = *state;
    const uint32_t length[] = {11, 4096, INT32_MAX, UINT32_MAX,
                               UINT32_MAX - MV_VSOCK_HEADER + 1};
    for (unsigned i = 0; i < MV_ARRAY_LEN(length); i++) {
        intptr_t end = vsockrig_connect(v, GUEST_PORT + 1, BUF);
        struct mv_vsock_header h =
            vsockrig_header(MV_VSOCK_RW, GUEST_PORT + 1, TO_PORT);
        h.length = length[i];
        assert_true(vsockrig_add(v, &h, "ten bytes.", 10));
        vdriver_kick(&v->rig.driver, 1);
        vrig_turn(&v->rig);
        expect_failure(v, end);
    }
}

static void tiny_receive_buffers_stop_the_device(void **state)
{
    struct vsockrig *v = *state;
    const uint32_t bytes[] = {1, 43, 44};
    for (unsigned i = 0; i < MV_ARRAY_LEN(bytes); i++) {
        struct mv_vsock_header h =
            vsockrig_header(MV_VSOCK_REQUEST, GUEST_PORT + 1, TO_PORT);
        vdriver_reset(&v->rig.driver);
        vsockrig_start(v, UINT64_MAX, 0);
        vsockrig_post(v, 4, bytes[i]);
        vsockrig_send(v, &h, NULL, 0);
        expect_failure(v, v->end[(v->ends - 1) % VSOCK_HOST_ENDS]);
    }
}

/* A payload may be shorter than its chain: what is behind it is nobody's. */
static void extra_bytes_are_ignored(void **state)
{
    struct vsockrig *v = *state;
    uint8_t data[64];
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    struct mv_vsock_header h = vsockrig_header(MV_VSOCK_RW, GUEST_PORT, TO_PORT);
    h.length = 3;
    assert_true(vsockrig_add(v, &h, "ten bytes.", 10));
    vdriver_kick(&v->rig.driver, 1);
    vrig_turn(&v->rig);
    assert_int_equal(host_read(end, data, sizeof data), 3);
    h.length = 0; /* no bytes at all: no end of file either */
    assert_true(vsockrig_add(v, &h, "ten bytes.", 10));
    vdriver_kick(&v->rig.driver, 1);
    vrig_turn(&v->rig);
    assert_int_equal(host_read(end, data, sizeof data), MV_SOCKET_AGAIN);
}

static void headers_in_pieces_are_read(void **state)
{
    struct vsockrig *v = *state;
    struct vdriver_buffer piece[46];
    uint8_t bytes[46], got[8];
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    struct mv_vsock_header h = vsockrig_header(MV_VSOCK_RW, GUEST_PORT, TO_PORT);
    h.length = 2;
    mv_vsock_encode(&h, bytes);
    memcpy(bytes + MV_VSOCK_HEADER, "ab", 2);
    memcpy(vrig_at(&v->rig, 0x8000, sizeof bytes), bytes, sizeof bytes);
    for (unsigned i = 0; i < 46; i++)
        piece[i] = (struct vdriver_buffer){0x8000 + i, 1, false};
    (void)vdriver_add(&v->rig.driver.queue[1], piece, 46);
    vdriver_kick(&v->rig.driver, 1);
    vrig_turn(&v->rig);
    assert_int_equal(host_read(end, got, sizeof got), 2);
    assert_memory_equal(got, "ab", 2);
}

static void strange_addresses_reach_nobody(void **state)
{
    struct vsockrig *v = *state;
    struct mv_vsock_header h = vsockrig_header(MV_VSOCK_REQUEST, GUEST_PORT, TO_PORT);
    h.src_cid = VSOCK_CID + 1; /* somebody else's name: no answer would arrive */
    vsockrig_send(v, &h, NULL, 0);
    expect_nothing(v);
    const uint64_t cid[] = {0, 1, 3, UINT32_MAX, 1ull << 32 | 2, UINT64_MAX};
    for (unsigned i = 0; i < MV_ARRAY_LEN(cid); i++) {
        h = vsockrig_header(MV_VSOCK_REQUEST, GUEST_PORT, TO_PORT);
        h.dst_cid = cid[i];
        vsockrig_send(v, &h, NULL, 0);
        h = expect(v, MV_VSOCK_RST, NULL);
        assert_true(h.src_cid == cid[i]);
    }
    assert_int_equal(v->ends, 0);
}

static void strange_types_and_operations_reset(void **state)
{
    struct vsockrig *v = *state;
    const uint16_t op[] = {0, MV_VSOCK_REQUEST, MV_VSOCK_RESPONSE, 8, 999, UINT16_MAX};
    for (unsigned i = 0; i < MV_ARRAY_LEN(op); i++) {
        intptr_t end = vsockrig_connect(v, GUEST_PORT + i, BUF);
        say(v, op[i], GUEST_PORT + i, 0);
        (void)expect(v, MV_VSOCK_RST, NULL);
        expect_end(end);
        say(v, op[i], GUEST_PORT + 100, 0); /* of no connection */
        if (op[i] == MV_VSOCK_REQUEST)
            (void)expect(v, MV_VSOCK_RESPONSE, NULL);
        else
            (void)expect(v, MV_VSOCK_RST, NULL);
    }
    struct mv_vsock_header h = vsockrig_header(MV_VSOCK_REQUEST, 1, TO_PORT);
    const uint16_t types[] = {0, 3, UINT16_MAX};
    for (unsigned i = 0; i < MV_ARRAY_LEN(types); i++) {
        h.type = types[i];
        vsockrig_send(v, &h, NULL, 0);
        assert_int_equal(expect(v, MV_VSOCK_RST, NULL).type, types[i]);
        h = vsockrig_header(MV_VSOCK_REQUEST, 1, TO_PORT);
    }
}

/* More than its credit: that connection is reset, its neighbour is not. */
static void credit_lies_reset(void **state)
{
    struct vsockrig *v = *state;
    static uint8_t data[VSOCK_PAYLOAD];
    struct mv_vsock_header h = {.op = 0};
    intptr_t other = vsockrig_connect(v, GUEST_PORT + 1, BUF);
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    uint64_t sent = 0,
             room = v->response.buf_alloc + (1u << 20); /* the socket's, too */
    while (h.op != MV_VSOCK_RST && sent < room) {
        say_data(v, GUEST_PORT, data, sizeof data);
        sent += sizeof data;
        while (vsockrig_receive(v, &h, NULL, false) && h.op != MV_VSOCK_RST)
            continue;
    }
    assert_int_equal(h.op, MV_VSOCK_RST);
    assert_true(device(v)->pool.used <= MV_VSOCK_CREDIT / MV_VSOCK_CHUNK + 1);
    for (int64_t n = 1; n > 0;) { /* what was within the credit arrives, then the end */
        n = host_read(end, data, sizeof data);
        vrig_turn(&v->rig);
        n = n == MV_SOCKET_AGAIN ? 1 : n;
    }
    say_data(v, GUEST_PORT + 1, "x", 1);
    assert_int_equal(host_read(other, data, sizeof data), 1);
}

/* Credit of ours that the guest makes up: we send what it allows for, and no more than
 * there is; nothing is negative. */
static void made_up_credit_is_harmless(void **state)
{
    struct vsockrig *v = *state;
    const struct {
        uint32_t buf_alloc, fwd_cnt;
    } lie[] = {{0, 0},         {UINT32_MAX, 0}, {UINT32_MAX, UINT32_MAX},
               {1, 1u << 31},  {0, UINT32_MAX}, {100, 7},
               {UINT32_MAX, 1}};
    intptr_t end = vsockrig_connect(v, GUEST_PORT, 0);
    struct mv_vsock_header h;
    static uint8_t data[VSOCK_PAYLOAD];
    for (unsigned i = 0; i < 100; i++) {
        (void)mv_socket_write(end, data, 1000 + i);
        h = vsockrig_header(MV_VSOCK_CREDIT_UPDATE, GUEST_PORT, TO_PORT);
        h.buf_alloc = lie[i % MV_ARRAY_LEN(lie)].buf_alloc;
        h.fwd_cnt = lie[i % MV_ARRAY_LEN(lie)].fwd_cnt;
        vsockrig_send(v, &h, NULL, 0);
        while (vsockrig_receive(v, &h, NULL, false))
            continue;
    }
    say_data(v, GUEST_PORT, "x", 1);
    assert_int_equal(host_read(end, data, sizeof data), 1);
}

static void data_after_the_end_resets(void **state)
{
    struct vsockrig *v = *state;
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    say(v, MV_VSOCK_SHUTDOWN, GUEST_PORT, MV_VSOCK_NO_SEND);
    say_data(v, GUEST_PORT, "x", 1);
    (void)expect(v, MV_VSOCK_RST, NULL);
    expect_end(end);
}

/* pitfalls, 10: a flood of packets for nobody, while the guest takes none of the
 * answers, stops at the bound and goes on where it was. */
static void a_flood_of_resets_is_bounded(void **state)
{
    struct vsockrig *v = *state;
    struct mv_vsock_header h;
    unsigned sent = 0, answered = 0;
    vdriver_reset(&v->rig.driver);
    vsockrig_start(v, UINT64_MAX, 0);
    for (unsigned i = 0; i < 1000; i++) {
        h = vsockrig_header(MV_VSOCK_RW, i, 9);
        (void)vsockrig_reap(v);
        sent += vsockrig_add(v, &h, NULL, 0);
        vdriver_kick(&v->rig.driver, 1);
        vrig_turn(&v->rig);
        assert_true(device(v)->resets <= MV_VSOCK_RESETS);
    }
    assert_int_equal(device(v)->resets, MV_VSOCK_RESETS);
    assert_true(sent < 1000); /* the guest has had to stop */
    vsockrig_post(v, VSOCK_RX_BUFFERS, VSOCK_RX_BYTES);
    while (vsockrig_receive(v, &h, NULL, false))
        answered += h.op == MV_VSOCK_RST;
    assert_int_equal(answered, sent);
    assert_int_not_equal(vsockrig_connect(v, GUEST_PORT, BUF), MV_SOCKET_NONE);
}

/* As many connections as there are slots: the next is refused, and the first to end
 * makes place. */
static void a_flood_of_connections_is_bounded(void **state)
{
    struct vsockrig *v = *state;
    struct mv_vsock_header h;
    microvm_socket_type dial = STREAM;
    for (unsigned i = 0; i < MV_VSOCK_SLOTS; i++) { /* dials need no descriptors */
        assert_int_equal(v->user.dial(v->user.device, STREAM, 25, &dial),
                         MV_VSOCK_DIALLED);
        (void)expect(v, MV_VSOCK_REQUEST, NULL);
    }
    assert_int_equal(v->user.dial(v->user.device, STREAM, 25, &dial), MV_VSOCK_FULL);
    h = vsockrig_header(MV_VSOCK_REQUEST, GUEST_PORT, TO_PORT);
    vsockrig_send(v, &h, NULL, 0);
    (void)expect(v, MV_VSOCK_RST, NULL);
    assert_true(device(v)->pool.reserved <= MV_VSOCK_CHUNKS);
    assert_int_equal(device(v)->pool.used, 0);
    vdriver_reset(&v->rig.driver);
    assert_int_equal(v->lost, MV_VSOCK_SLOTS);
    assert_int_equal(device(v)->pool.reserved, 0);
}

/* A strange guest's only: it ends its own direction before it takes the dial. */
static void an_end_before_the_beginning_counts(void **state)
{
    struct vsockrig *v = *state;
    uint8_t data[VSOCK_RX_BYTES];
    microvm_socket_type dial = MICROVM_SOCKET_STREAM;
    (void)v->user.dial(v->user.device, dial, 25, &dial);
    struct mv_vsock_header h = expect(v, MV_VSOCK_REQUEST, NULL);
    struct mv_vsock_header end = vsockrig_header(MV_VSOCK_SHUTDOWN, 25, h.src_port);
    struct mv_vsock_header taken = vsockrig_header(MV_VSOCK_RESPONSE, 25, h.src_port);
    end.flags = MV_VSOCK_NO_SEND;
    taken.buf_alloc = BUF;
    vsockrig_send(v, &end, NULL, 0);
    vsockrig_send(v, &taken, NULL, 0);
    assert_int_equal(v->answers, 1);
    expect_end(v->end[v->ends - 1]);
    assert_int_equal(mv_socket_write(v->end[v->ends - 1], "answer", 6), 6);
    assert_int_equal(expect(v, MV_VSOCK_RW, data).length, 6);
}

/* The host's end is told which one it was. */
static void an_end_is_no_cut(void **state)
{
    struct vsockrig *v = *state;
    (void)vsockrig_connect(v, GUEST_PORT, BUF);
    say_data(v, GUEST_PORT, "all", 3);
    say(v, MV_VSOCK_SHUTDOWN, GUEST_PORT, MV_VSOCK_NEITHER);
    assert_int_equal(v->closed, 1);
    (void)vsockrig_connect(v, GUEST_PORT + 1, BUF);
    say(v, MV_VSOCK_SHUTDOWN, GUEST_PORT + 1, MV_VSOCK_NO_SEND);
    say(v, MV_VSOCK_RST, GUEST_PORT + 1, 0);
    assert_int_equal(v->closed, 2);
    assert_int_equal(v->cut, 0);
    (void)vsockrig_connect(v, GUEST_PORT + 2, BUF);
    say_data(v, GUEST_PORT + 2, "part", 4);
    say(v, MV_VSOCK_RST, GUEST_PORT + 2, 0);
    assert_int_equal(v->closed, 3);
    assert_int_equal(v->cut, 1);
    (void)vsockrig_connect(v, GUEST_PORT + 3, BUF);
    mv_vsock_end(v->rig.dev);
    assert_int_equal(v->closed, 4);
    assert_int_equal(v->cut, 2);
}

/* All was said, but not all of it given on: its reader sleeps. */
static void an_end_that_was_not_given_on_is_a_cut(void **state)
{
    static uint8_t bytes[16 << 10];
    struct vsockrig *v = *state;
    (void)vsockrig_connect(v, GUEST_PORT, BUF);
    for (unsigned i = 0; i < 1000 && device(v)->pool.used == 0; i++)
        say_data(v, GUEST_PORT, bytes, sizeof bytes);
    say(v, MV_VSOCK_SHUTDOWN, GUEST_PORT, MV_VSOCK_NO_SEND);
    assert_int_equal(v->closed, 0);
    mv_conn_close_all(device(v)); /* the machine ends */
    assert_int_equal(v->closed, 1);
    assert_int_equal(v->cut, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VSOCK(an_end_is_no_cut),
        VSOCK(an_end_that_was_not_given_on_is_a_cut),
        VSOCK(short_headers_stop_the_device),
        VSOCK(long_lengths_stop_the_device),
        VSOCK(tiny_receive_buffers_stop_the_device),
        VSOCK(extra_bytes_are_ignored),
        VSOCK(headers_in_pieces_are_read),
        VSOCK(strange_addresses_reach_nobody),
        VSOCK(strange_types_and_operations_reset),
        VSOCK(credit_lies_reset),
        VSOCK(made_up_credit_is_harmless),
        VSOCK(data_after_the_end_resets),
        VSOCK(an_end_before_the_beginning_counts),
        VSOCK(a_flood_of_resets_is_bounded),
        VSOCK(a_flood_of_connections_is_bounded),
    };
    return vsock_main(tests, MV_ARRAY_LEN(tests));
}
