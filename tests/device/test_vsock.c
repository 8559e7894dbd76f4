/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The socket device between a good driver and sockets: connections both ways, their
 * ends, buffers, sleep and save.
 */
#include "vsock.h"

#include "allocations.h"
#include "core/state.h"
#include "util/bytes.h"
#include "virtio/vsock_pool.h"

/* -- connections -- */

static void the_guest_reads_its_cid(void **state)
{
    struct vsockrig *v = *state;
    const struct vdriver *d = &v->rig.driver;
    assert_int_equal(vdriver_read(d, VREG_CONFIG), VSOCK_CID);
    assert_int_equal(vdriver_read(d, VREG_CONFIG + 4), 0);
    assert_int_equal(v->readies, 1);
}

static void talks_both_ways(void **state)
{
    struct vsockrig *v = *state;
    uint8_t data[VSOCK_RX_BYTES];
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    assert_int_not_equal(end, MV_SOCKET_NONE);
    say_data(v, GUEST_PORT, "hello host", 10);
    assert_int_equal(host_read(end, data, sizeof data), 10);
    assert_memory_equal(data, "hello host", 10);
    assert_int_equal(mv_socket_write(end, "hello guest", 11), 11);
    struct mv_vsock_header h = expect(v, MV_VSOCK_RW, data);
    assert_int_equal(h.length, 11);
    assert_memory_equal(data, "hello guest", 11);
    assert_int_equal(h.src_cid, 2);
    assert_int_equal(h.src_port, TO_PORT);
    assert_int_equal(h.dst_port, GUEST_PORT);
    assert_int_equal(h.type, MV_VSOCK_STREAM);
    assert_int_equal(h.fwd_cnt, 10); /* the host's socket has taken them */
    assert_true(h.buf_alloc >= MV_VSOCK_CREDIT_LEAST);
    expect_nothing(v);
}

static void the_host_dials(void **state)
{
    struct vsockrig *v = *state;
    uint8_t data[VSOCK_RX_BYTES];
    microvm_socket_type dial = STREAM;
    assert_int_equal(v->user.dial(v->user.device, STREAM, 25, &dial), MV_VSOCK_DIALLED);
    struct mv_vsock_header h = expect(v, MV_VSOCK_REQUEST, NULL);
    assert_int_equal(h.dst_port, 25);
    assert_true(h.buf_alloc > 0);
    struct mv_vsock_header answer = vsockrig_header(MV_VSOCK_RESPONSE, 25, h.src_port);
    vsockrig_send(v, &answer, NULL, 0);
    assert_int_equal(v->answers, 1);
    assert_int_equal(v->answered_port, h.src_port);
    assert_int_equal(mv_socket_write(v->end[0], "x", 1), 1);
    h = expect(v, MV_VSOCK_RW, data);
    assert_int_equal(h.length, 1);
    assert_int_equal(data[0], 'x');
}

/* pitfalls, 11: ports of ours do not collide, whatever is dialled, and are not used
 * again at once. */
static void dials_have_ports_of_their_own(void **state)
{
    struct vsockrig *v = *state;
    uint32_t seen[100];
    for (unsigned i = 0; i < 100; i++) {
        microvm_socket_type dial = STREAM;
        assert_int_equal(v->user.dial(v->user.device, STREAM, 1025, &dial),
                         MV_VSOCK_DIALLED);
        struct mv_vsock_header h = expect(v, MV_VSOCK_REQUEST, NULL);
        seen[i] = h.src_port;
        for (unsigned n = 0; n < i; n++)
            assert_int_not_equal(seen[n], seen[i]);
        if (i % 2) { /* every second one ends: its port stays unused for now */
            h = vsockrig_header(MV_VSOCK_RST, 1025, h.src_port);
            vsockrig_send(v, &h, NULL, 0);
        }
    }
    assert_int_equal(v->refusals, 50);
}

/* pitfalls, 4: a port where nobody listens answers at once, both ways. */
static void refuses_at_once(void **state)
{
    struct vsockrig *v = *state;
    microvm_socket_type dial = STREAM;
    struct mv_vsock_header h = vsockrig_header(MV_VSOCK_REQUEST, GUEST_PORT, 9);
    vsockrig_send(v, &h, NULL, 0);
    h = expect(v, MV_VSOCK_RST, NULL);
    assert_int_equal(h.src_port, 9);
    assert_int_equal(h.dst_port, GUEST_PORT);
    expect_nothing(v);
    (void)v->user.dial(v->user.device, STREAM, 25, &dial);
    h = expect(v, MV_VSOCK_REQUEST, NULL);
    h = vsockrig_header(MV_VSOCK_RST, 25, h.src_port);
    vsockrig_send(v, &h, NULL, 0);
    assert_int_equal(v->refusals, 1);
    expect_nothing(v); /* an RST is not answered */
}

static void a_dial_can_be_given_up(void **state)
{
    struct vsockrig *v = *state;
    microvm_socket_type dial = STREAM, other = STREAM;
    (void)v->user.dial(v->user.device, STREAM, 25, &dial);
    (void)v->user.dial(v->user.device, STREAM, 25, &other);
    struct mv_vsock_header h = expect(v, MV_VSOCK_REQUEST, NULL);
    uint32_t port = h.src_port;
    (void)expect(v, MV_VSOCK_REQUEST, NULL);
    v->user.hang_up(v->user.device, &dial);
    h = expect(v, MV_VSOCK_RST, NULL);
    assert_int_equal(h.src_port, port);
    h = vsockrig_header(MV_VSOCK_RESPONSE, 25, port); /* too late */
    vsockrig_send(v, &h, NULL, 0);
    (void)expect(v, MV_VSOCK_RST, NULL);
    assert_int_equal(v->answers + v->refusals, 0);
    v->unwanted = true; /* given up without having been told */
    h = vsockrig_header(MV_VSOCK_RESPONSE, 25, port + 1);
    vsockrig_send(v, &h, NULL, 0);
    (void)expect(v, MV_VSOCK_RST, NULL);
    assert_int_equal(v->answers, 1);
}

/* -- ends -- */

/* pitfalls, 5: half-close both ways, with data in the other direction afterwards. */
static void the_guest_half_closes(void **state)
{
    struct vsockrig *v = *state;
    uint8_t data[VSOCK_RX_BYTES];
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    say_data(v, GUEST_PORT, "last", 4);
    say(v, MV_VSOCK_SHUTDOWN, GUEST_PORT, MV_VSOCK_NO_SEND);
    assert_int_equal(host_read(end, data, sizeof data), 4);
    expect_end(end);
    assert_int_equal(mv_socket_write(end, "answer", 6), 6);
    assert_int_equal(expect(v, MV_VSOCK_RW, data).length, 6);
    mv_socket_end_write(end);
    assert_true(expect(v, MV_VSOCK_SHUTDOWN, NULL).flags & MV_VSOCK_NO_SEND);
}

static void the_host_half_closes(void **state)
{
    struct vsockrig *v = *state;
    uint8_t data[VSOCK_RX_BYTES];
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    assert_int_equal(mv_socket_write(end, "last", 4), 4);
    mv_socket_end_write(end);
    assert_int_equal(expect(v, MV_VSOCK_RW, data).length, 4);
    struct mv_vsock_header h = expect(v, MV_VSOCK_SHUTDOWN, NULL);
    assert_int_equal(h.flags, MV_VSOCK_NO_SEND);
    say_data(v, GUEST_PORT, "answer", 6);
    assert_int_equal(host_read(end, data, sizeof data), 6);
    say(v, MV_VSOCK_SHUTDOWN, GUEST_PORT, MV_VSOCK_NEITHER);
    (void)expect(v, MV_VSOCK_RST, NULL);
    expect_end(end);
}

/* pitfalls, 3: a close is one SHUTDOWN of both directions from CID 2, and the slot is
 * free after the answer. */
static void the_host_closes(void **state)
{
    struct vsockrig *v = *state;
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    mv_socket_close(end);
    v->end[0] = MV_SOCKET_NONE;
    unsigned flags = 0;
    struct mv_vsock_header h = {.flags = 0};
    while (flags != MV_VSOCK_NEITHER && vsockrig_receive(v, &h, NULL, false)) {
        assert_int_equal(h.op, MV_VSOCK_SHUTDOWN);
        assert_int_equal(h.src_cid, 2);
        flags |= h.flags;
    }
    assert_int_equal(flags, MV_VSOCK_NEITHER);
    say(v, MV_VSOCK_RST, GUEST_PORT, 0);
    expect_nothing(v);
    say(v, MV_VSOCK_CREDIT_UPDATE, GUEST_PORT, 0); /* it exists no more */
    (void)expect(v, MV_VSOCK_RST, NULL);
}

static void the_guest_closes(void **state)
{
    struct vsockrig *v = *state;
    uint8_t data[16];
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    say_data(v, GUEST_PORT, "bye", 3);
    say(v, MV_VSOCK_SHUTDOWN, GUEST_PORT, MV_VSOCK_NEITHER);
    (void)expect(v, MV_VSOCK_RST, NULL);
    assert_int_equal(host_read(end, data, sizeof data), 3);
    expect_end(end);
    assert_int_equal(mv_socket_write(end, "x", 1), MV_SOCKET_GONE);
    expect_nothing(v);
}

/* pitfalls, 4: what the guest resets ends at the host, with what had been sent. */
static void the_guest_resets(void **state)
{
    struct vsockrig *v = *state;
    uint8_t data[16];
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    say_data(v, GUEST_PORT, "so far", 6);
    say(v, MV_VSOCK_RST, GUEST_PORT, 0);
    assert_int_equal(host_read(end, data, sizeof data), 6);
    expect_end(end);
    assert_int_equal(mv_socket_write(end, "x", 1), MV_SOCKET_GONE);
    expect_nothing(v);
}

static void the_guest_stops_reading(void **state)
{
    struct vsockrig *v = *state;
    uint8_t data[16];
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    say(v, MV_VSOCK_SHUTDOWN, GUEST_PORT, MV_VSOCK_NO_RECEIVE);
    assert_int_equal(mv_socket_write(end, "x", 1), MV_SOCKET_GONE);
    say_data(v, GUEST_PORT, "still", 5);
    assert_int_equal(host_read(end, data, sizeof data), 5);
    mv_socket_close(end); /* then nobody reads any more, and the guest must know */
    v->end[0] = MV_SOCKET_NONE;
    assert_true(expect(v, MV_VSOCK_SHUTDOWN, NULL).flags & MV_VSOCK_NO_RECEIVE);
}

static void the_host_stops_reading(void **state)
{
    struct vsockrig *v = *state;
    uint8_t data[VSOCK_RX_BYTES];
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    mv_socket_end_read(end);
    say_data(v, GUEST_PORT, "to nobody", 9);
    struct mv_vsock_header h = expect(v, MV_VSOCK_SHUTDOWN, NULL);
    assert_int_equal(h.flags, MV_VSOCK_NO_RECEIVE);
    say_data(v, GUEST_PORT, "to nobody", 9);
    assert_int_equal(mv_socket_write(end, "x", 1), 1);
    h = expect(v, MV_VSOCK_RW, data);
    assert_int_equal(h.fwd_cnt, 18); /* they are consumed all the same */
}

/* -- buffers and life -- */

static void packets_wait_for_buffers(void **state)
{
    struct vsockrig *v = *state;
    struct mv_vsock_header h;
    static uint8_t data[VSOCK_PAYLOAD], part[VSOCK_RX_BYTES];
    vdriver_reset(&v->rig.driver);
    vsockrig_start(v, UINT64_MAX, 0);
    h = vsockrig_header(MV_VSOCK_REQUEST, GUEST_PORT, TO_PORT);
    vsockrig_send(v, &h, NULL, 0);
    assert_false(vsockrig_receive(v, &h, NULL, true));
    fill(data, 0, sizeof data);
    assert_int_equal(mv_socket_write(v->end[0], data, sizeof data), sizeof data);
    for (size_t got = 0; got < sizeof data;) {
        vsockrig_post(v, 1, 1000); /* one after the other, small ones */
        assert_true(vsockrig_receive(v, &h, part, true));
        if (h.op == MV_VSOCK_RESPONSE)
            continue;
        assert_int_equal(h.op, MV_VSOCK_RW);
        assert_true(h.length <= 1000 - MV_VSOCK_HEADER);
        check_stream(part, got, h.length);
        got += h.length;
    }
}

/* The driver takes what it was told, and wants to be told of more. */
static void listen_to(struct vsockrig *v, unsigned q)
{
    (void)vdriver_interrupt(&v->rig.driver);
    (void)vdriver_listen(&v->rig.driver.queue[q]);
}

/* One read of the socket fills many buffers, and the guest hears of them once. */
static void one_signal_for_a_batch(void **state)
{
    struct vsockrig *v = *state;
    static uint8_t data[100000];
    struct mv_vsock_header h;
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    uv_sleep(5); /* the tx buffers' own signal */
    vrig_turn(&v->rig);
    listen_to(v, 0);
    unsigned pulses = v->rig.pulses, packets = 0;
    assert_int_equal(mv_socket_write(end, data, sizeof data), sizeof data);
    vrig_turn(&v->rig);
    assert_int_equal(v->rig.pulses, pulses + 1);
    while (vsockrig_receive(v, &h, NULL, true))
        packets++;
    assert_int_equal(packets, (sizeof data + VSOCK_RX_BYTES - MV_VSOCK_HEADER - 1) /
                                  (VSOCK_RX_BYTES - MV_VSOCK_HEADER));
}

/* Nobody waits for tx buffers: their signal comes a little later, or with many. */
static void tx_buffers_are_told_later(void **state)
{
    struct vsockrig *v = *state;
    const struct mv_vsock_header h = vsockrig_header(MV_VSOCK_RST, GUEST_PORT, 1);
    uv_sleep(5);
    vrig_turn(&v->rig);
    listen_to(v, 1);
    unsigned pulses = v->rig.pulses;
    vsockrig_send(v, &h, NULL, 0);
    uv_sleep(5);
    vrig_turn(&v->rig);
    assert_int_equal(v->rig.pulses, pulses + 1);
    listen_to(v, 1);
    for (unsigned i = 0; i < 64; i++)
        assert_true(vsockrig_add(v, &h, NULL, 0));
    vdriver_kick(&v->rig.driver, 1);
    mv_loop_turn(&v->rig.loop);
    assert_int_equal(v->rig.pulses, pulses + 2);
    (void)vsockrig_reap(v);
    listen_to(v, 1);
    vsockrig_send(v, &h, NULL, 0);
    mv_vdev_sleep(v->rig.dev);
    uv_sleep(5);
    vrig_turn(&v->rig);
    assert_int_equal(v->rig.pulses, pulses + 2); /* it sleeps */
    mv_vdev_wake(v->rig.dev);
    uv_sleep(5);
    vrig_turn(&v->rig);
    assert_int_equal(v->rig.pulses, pulses + 3);
}

/* An answer's interrupt tells of the question's buffer, too. */
static void an_answer_tells_of_the_question(void **state)
{
    struct vsockrig *v = *state;
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    uv_sleep(5);
    vrig_turn(&v->rig);
    for (unsigned i = 0; i < 3; i++) {
        listen_to(v, 0);
        listen_to(v, 1);
        unsigned pulses = v->rig.pulses;
        say_data(v, GUEST_PORT, "question", 8);
        assert_int_equal(mv_socket_write(end, "answer", 6), 6);
        assert_int_equal(expect(v, MV_VSOCK_RW, NULL).length, 6);
        uv_sleep(5); /* what else there might be to tell */
        vrig_turn(&v->rig);
        assert_int_equal(v->rig.pulses, pulses + 1);
    }
}

/* Many bytes are told at once: their sender has only so much room for them. Without
 * receive buffers nothing else is told. */
static void many_tx_bytes_are_told_at_once(void **state)
{
    struct vsockrig *v = *state;
    static uint8_t data[VSOCK_PAYLOAD];
    struct mv_vsock_header h = vsockrig_header(MV_VSOCK_REQUEST, GUEST_PORT, TO_PORT);
    vdriver_reset(&v->rig.driver);
    vsockrig_start(v, UINT64_MAX, 0);
    vsockrig_send(v, &h, NULL, 0);
    uv_sleep(5);
    vrig_turn(&v->rig);
    listen_to(v, 1);
    unsigned pulses = v->rig.pulses;
    h = vsockrig_header(MV_VSOCK_RW, GUEST_PORT, TO_PORT);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(v->rig.pulses, pulses);
        assert_true(vsockrig_add(v, &h, data, sizeof data));
        vdriver_kick(&v->rig.driver, 1);
        mv_loop_turn(&v->rig.loop);
    }
    assert_int_equal(v->rig.pulses, pulses + 1);
}

static void a_reset_ends_connections(void **state)
{
    struct vsockrig *v = *state;
    uint8_t data[16];
    microvm_socket_type dial = STREAM;
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    (void)v->user.dial(v->user.device, STREAM, 25, &dial);
    say_data(v, GUEST_PORT, "before", 6);
    vdriver_reset(&v->rig.driver);
    assert_int_equal(v->lost, 1);
    assert_int_equal(host_read(end, data, sizeof data), 6);
    expect_end(end);
    assert_int_equal(v->user.dial(v->user.device, STREAM, 25, &dial), MV_VSOCK_NOT_YET);
    vsockrig_start(v, UINT64_MAX, VSOCK_RX_BUFFERS);
    assert_int_equal(v->readies, 2);
    end = vsockrig_connect(v, GUEST_PORT, BUF);
    say_data(v, GUEST_PORT, "after", 5);
    assert_int_equal(host_read(end, data, sizeof data), 5);
}

static void sleeps_with_connections(void **state)
{
    struct vsockrig *v = *state;
    uint8_t data[VSOCK_RX_BYTES];
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    mv_vdev_sleep(v->rig.dev);
    assert_int_equal(mv_socket_write(end, "meanwhile", 9), 9);
    expect_nothing(v);
    mv_vdev_wake(v->rig.dev);
    assert_int_equal(expect(v, MV_VSOCK_RW, data).length, 9);
    say_data(v, GUEST_PORT, "awake", 5);
    assert_int_equal(host_read(end, data, sizeof data), 5);
}

/* After a load the guest hears TRANSPORT_RESET, and its connections are unknown. */
static void a_load_resets_connections(void **state)
{
    struct vsockrig *v = *state;
    struct mv_writer w;
    microvm_error err;
    uint16_t head;
    uint32_t written;
    const struct vdriver_buffer event = {0x8000, 4, true};
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    mv_vdev_sleep(v->rig.dev);
    mv_writer_open(&w, 4096);
    mv_writer_begin(&w, 1, 0, 1);
    vrig_save(&v->rig, &w);
    vsockrig_replace(v);
    expect_end(end);
    struct mv_reader r = {.data = w.data + 16, .length = w.length - 16};
    assert_ok(vrig_load(&v->rig, &r, &err), &err);
    mv_writer_close(&w);
    memset(vrig_at(&v->rig, 0x8000, 4), 0xff, 4);
    mv_vdev_wake(v->rig.dev);
    vrig_turn(&v->rig);
    assert_false(vdriver_reap(&v->rig.driver.queue[2], &head, &written));
    (void)vdriver_add(&v->rig.driver.queue[2], &event, 1); /* it waits for a buffer */
    vdriver_kick(&v->rig.driver, 2);
    vrig_turn(&v->rig);
    assert_true(vdriver_reap(&v->rig.driver.queue[2], &head, &written));
    assert_int_equal(written, 4);
    assert_int_equal(mv_load32(vrig_at(&v->rig, 0x8000, 4)), 0);
    say_data(v, GUEST_PORT, "old", 3);
    (void)expect(v, MV_VSOCK_RST, NULL);
    assert_int_not_equal(vsockrig_connect(v, GUEST_PORT, BUF), MV_SOCKET_NONE);
}

/* A connection with data both ways and its end. */
static void asks_for_no_memory_at_work(void **state)
{
    ALLOCATIONS_OR_SKIP();
    struct vsockrig *v = *state;
    uint8_t data[VSOCK_RX_BYTES];
    unsigned long started = allocations();
    for (unsigned i = 0; i < 30; i++) {
        intptr_t end = vsockrig_connect(v, GUEST_PORT + i, BUF);
        for (unsigned n = 0; n < 20; n++) {
            say_data(v, GUEST_PORT + i, "question", 8);
            assert_int_equal(host_read(end, data, sizeof data), 8);
            assert_int_equal(mv_socket_write(end, "answer", 6), 6);
            (void)expect(v, MV_VSOCK_RW, data);
        }
        say(v, MV_VSOCK_RST, GUEST_PORT + i, 0);
        expect_end(end);
    }
    assert_int_equal(allocations() - started, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VSOCK(the_guest_reads_its_cid),
        VSOCK(talks_both_ways),
        VSOCK(the_host_dials),
        VSOCK(dials_have_ports_of_their_own),
        VSOCK(refuses_at_once),
        VSOCK(a_dial_can_be_given_up),
        VSOCK(the_guest_half_closes),
        VSOCK(the_host_half_closes),
        VSOCK(the_host_closes),
        VSOCK(the_guest_closes),
        VSOCK(the_guest_resets),
        VSOCK(the_guest_stops_reading),
        VSOCK(the_host_stops_reading),
        VSOCK(packets_wait_for_buffers),
        VSOCK(one_signal_for_a_batch),
        VSOCK(tx_buffers_are_told_later),
        VSOCK(an_answer_tells_of_the_question),
        VSOCK(many_tx_bytes_are_told_at_once),
        VSOCK(a_reset_ends_connections),
        VSOCK(sleeps_with_connections),
        VSOCK(a_load_resets_connections),
        VSOCK(asks_for_no_memory_at_work),
    };
    return vsock_main(tests, MV_ARRAY_LEN(tests));
}
