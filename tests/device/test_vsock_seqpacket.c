/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Messages: boundaries are kept both ways, however they come in pieces; what cannot be
 * passed on resets its connection, what can later waits and holds up nobody. Only where
 * the host has SOCK_SEQPACKET.
 */
#include "vsock.h"

#include "util/bytes.h"
#include "virtio/vsock_conn.h"

#include <poll.h>

enum { EOM = MV_VSOCK_SEQ_EOM, LONGEST = MV_VSOCK_MESSAGE };

static uint8_t data[LONGEST + 64], back[LONGEST + 64];

static intptr_t connect_messages(struct vsockrig *v, uint32_t guest_port, uint32_t buf)
{
    intptr_t end = vsockrig_connect_type(v, MV_VSOCK_SEQPACKET, guest_port, buf);
    assert_int_not_equal(end, MV_SOCKET_NONE);
    assert_int_equal(v->response.type, MV_VSOCK_SEQPACKET);
    return end;
}

static void say_piece(struct vsockrig *v, const void *piece, uint32_t length,
                      uint32_t flags)
{
    struct mv_vsock_header h = vsockrig_message(MV_VSOCK_RW, GUEST_PORT, TO_PORT);
    h.flags = flags;
    vsockrig_send(v, &h, piece, length);
}

static void say_of_messages(struct vsockrig *v, uint16_t op, uint32_t flags)
{
    struct mv_vsock_header h = vsockrig_message(op, GUEST_PORT, TO_PORT);
    h.flags = flags;
    vsockrig_send(v, &h, NULL, 0);
}

/* Credit of a guest that has read so much. */
static void say_credit(struct vsockrig *v, uint32_t buf_alloc, uint32_t fwd_cnt)
{
    struct mv_vsock_header h =
        vsockrig_message(MV_VSOCK_CREDIT_UPDATE, GUEST_PORT, TO_PORT);
    h.buf_alloc = buf_alloc;
    h.fwd_cnt = fwd_cnt;
    vsockrig_send(v, &h, NULL, 0);
}

/* The next message for the guest, in as many packets as it comes; credit may be told
 * before it. */
static uint32_t receive_message(struct vsockrig *v, uint8_t *to)
{
    struct mv_vsock_header h;
    uint32_t got = 0;
    do {
        assert_true(vsockrig_receive(v, &h, to + got, false));
        assert_int_equal(h.type, MV_VSOCK_SEQPACKET);
        assert_int_equal(h.op, h.length || got ? MV_VSOCK_RW : MV_VSOCK_CREDIT_UPDATE);
        got += h.length;
    } while (!(h.flags & EOM));
    return got;
}

/* Nothing calls for the loop, however often it turns: who waits does not poll. */
static void expect_rest(struct vsockrig *v)
{
    struct pollfd p = {.fd = uv_backend_fd(&v->rig.loop.uv), .events = POLLIN};
    vrig_turn(&v->rig);
    assert_int_equal(poll(&p, 1, 0), 0);
}

/* -- both ways -- */

static void boundaries_are_kept(void **state)
{
    struct vsockrig *v = *state;
    const uint32_t length[] = {1,      2,    1000, VSOCK_RX_BYTES - MV_VSOCK_HEADER,
                               3733,   4096, 9999, LONGEST - 1,
                               LONGEST};
    intptr_t end = connect_messages(v, GUEST_PORT, 1 << 20);
    fill(data, 0, sizeof data);
    for (unsigned i = 0; i < MV_ARRAY_LEN(length); i++) {
        say_piece(v, data + i, length[i], EOM);
        say_piece(v, "and", 3, EOM);
        assert_int_equal(mv_socket_write(end, data + 2 * i, length[i]), length[i]);
        assert_int_equal(mv_socket_write(end, "more", 4), 4);
        assert_int_equal(host_read(end, back, sizeof back), length[i]);
        check_stream(back, i, length[i]);
        assert_int_equal(host_read(end, back, sizeof back), 3);
        assert_int_equal(host_read(end, back, sizeof back), MV_SOCKET_AGAIN);
        memset(back, 0, sizeof back);
        assert_int_equal(receive_message(v, back), length[i]);
        check_stream(back, 2 * i, length[i]);
        assert_int_equal(receive_message(v, back), 4);
    }
    expect_nothing(v);
}

static void pieces_make_a_message(void **state)
{
    struct vsockrig *v = *state;
    intptr_t end = connect_messages(v, GUEST_PORT, BUF);
    fill(data, 0, 10000);
    for (unsigned i = 0; i < 4; i++) {
        say_piece(v, data, 5000, 0);
        say_piece(v, data + 5000, 4999, 0);
        assert_int_equal(host_read(end, back, sizeof back), MV_SOCKET_AGAIN);
        say_piece(v, data + 9999, i % 2, EOM); /* also none that says no more */
        assert_int_equal(host_read(end, back, sizeof back), 9999 + i % 2);
        check_stream(back, 0, 9999 + i % 2);
        say_piece(v, NULL, 0, EOM); /* none: it would be read as the end */
        say_piece(v, NULL, 0, 0);
        assert_int_equal(host_read(end, back, sizeof back), MV_SOCKET_AGAIN);
    }
}

static void the_host_dials_for_messages(void **state)
{
    struct vsockrig *v = *state;
    microvm_socket_type dial = SEQPACKET;
    assert_int_equal(v->user.dial(v->user.device, SEQPACKET, 25, &dial),
                     MV_VSOCK_DIALLED);
    struct mv_vsock_header h = expect(v, MV_VSOCK_REQUEST, NULL);
    assert_int_equal(h.type, MV_VSOCK_SEQPACKET);
    assert_int_equal(h.buf_alloc, LONGEST); /* Linux: longer ones are EMSGSIZE there */
    h = vsockrig_message(MV_VSOCK_RESPONSE, 25, h.src_port);
    vsockrig_send(v, &h, NULL, 0);
    assert_int_equal(v->answers, 1);
    assert_int_equal(mv_socket_write(v->end[0], "ab", 2), 2);
    assert_int_equal(receive_message(v, back), 2);
}

/* An empty message of the host is none; the end behind it is one. */
static void empty_messages_are_no_end(void **state)
{
    struct vsockrig *v = *state;
    intptr_t end = connect_messages(v, GUEST_PORT, BUF);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(mv_socket_write(end, "", 0), 0);
        expect_nothing(v);
    }
    assert_int_equal(mv_socket_write(end, "", 0), 0);
    assert_int_equal(mv_socket_write(end, "x", 1), 1);
    assert_int_equal(mv_socket_write(end, "", 0), 0);
    mv_socket_end_write(end);
    assert_int_equal(receive_message(v, back), 1);
    assert_int_equal(expect(v, MV_VSOCK_SHUTDOWN, NULL).flags, MV_VSOCK_NO_SEND);
    say_piece(v, "still", 5, EOM);
    assert_int_equal(host_read(end, back, sizeof back), 5);
}

/* -- ends -- */

/* The host closes before it has read everything: what it had sent arrives. */
static void a_close_loses_no_message(void **state)
{
    struct vsockrig *v = *state;
    intptr_t end = connect_messages(v, GUEST_PORT, BUF);
    say_piece(v, "unread", 6, EOM);
    assert_int_equal(mv_socket_write(end, "first", 5), 5);
    assert_int_equal(mv_socket_write(end, "last message", 12), 12);
    mv_socket_close(end);
    v->end[0] = MV_SOCKET_NONE;
    assert_int_equal(receive_message(v, back), 5);
    assert_int_equal(receive_message(v, back), 12);
    unsigned flags = 0;
    while (flags != MV_VSOCK_NEITHER)
        flags |= expect(v, MV_VSOCK_SHUTDOWN, NULL).flags;
}

/* A message without its end is none, whatever ends the connection. */
static void an_end_is_missing(void **state)
{
    struct vsockrig *v = *state;
    const struct {
        uint16_t op;
        uint32_t flags;
    } last[] = {{MV_VSOCK_SHUTDOWN, MV_VSOCK_NO_SEND},
                {MV_VSOCK_SHUTDOWN, MV_VSOCK_NEITHER},
                {MV_VSOCK_RST, 0}};
    for (unsigned i = 0; i < MV_ARRAY_LEN(last); i++) {
        intptr_t end = connect_messages(v, GUEST_PORT, BUF);
        say_piece(v, "whole", 5, EOM);
        say_piece(v, "half", 4, 0); /* the rest may need all the credit */
        assert_int_equal(expect(v, MV_VSOCK_CREDIT_UPDATE, NULL).fwd_cnt, 5);
        say_of_messages(v, last[i].op, last[i].flags);
        assert_int_equal(host_read(end, back, sizeof back), 5);
        expect_end(end);
        if (last[i].flags == MV_VSOCK_NO_SEND) { /* the other direction goes on */
            assert_int_equal(mv_socket_write(end, "answer", 6), 6);
            assert_int_equal(receive_message(v, back), 6);
            say_piece(v, "more", 4, EOM);
        }
        if (last[i].op == MV_VSOCK_SHUTDOWN)
            (void)expect(v, MV_VSOCK_RST, NULL);
        expect_nothing(v);
        assert_int_equal(mv_vsock_of(v->rig.dev)->pool.used, 0);
    }
}

/* What was whole reaches a slow reader after the end. */
static void a_slow_reader_gets_what_was_whole(void **state)
{
    struct vsockrig *v = *state;
    struct mv_vsock_header h = {.op = 0};
    intptr_t end = connect_messages(v, GUEST_PORT, BUF);
    unsigned sent = 0, got = 0;
    fill(data, 0, sizeof data);
    while (mv_vsock_of(v->rig.dev)->pool.used == 0 || sent % 10) {
        say_piece(v, data, 3000, EOM);
        sent++;
        while (vsockrig_receive(v, &h, NULL, false))
            assert_int_equal(h.op, MV_VSOCK_CREDIT_UPDATE);
    }
    say_piece(v, data, 3000, 0);
    say_of_messages(v, MV_VSOCK_SHUTDOWN, MV_VSOCK_NEITHER);
    while (h.op != MV_VSOCK_RST)
        assert_true(vsockrig_receive(v, &h, NULL, false));
    int64_t n;
    while ((n = host_read(end, back, sizeof back)) != 0) {
        vrig_turn(&v->rig);
        if (n == MV_SOCKET_AGAIN)
            continue;
        assert_int_equal(n, 3000);
        check_stream(back, 0, 3000);
        got++;
    }
    assert_int_equal(got, sent);
}

/* -- what cannot be passed on -- */

static void messages_can_be_too_long(void **state)
{
    struct vsockrig *v = *state;
    intptr_t end = connect_messages(v, GUEST_PORT, BUF); /* of the guest */
    say_piece(v, data, LONGEST, 0);
    expect_nothing(v);
    say_piece(v, data, 1, EOM);
    (void)expect(v, MV_VSOCK_RST, NULL);
    expect_end(end);
    const struct {
        uint32_t length, buf_alloc;
    } host[] = {{LONGEST + 1, 1 << 20}, {1001, 1000}, {LONGEST, LONGEST - 1}};
    for (unsigned i = 0; i < MV_ARRAY_LEN(host); i++) {
        uint32_t fits = MV_MIN(host[i].length - 1, host[i].buf_alloc);
        end = connect_messages(v, GUEST_PORT, host[i].buf_alloc);
        assert_int_equal(mv_socket_write(end, data, fits), fits);
        assert_int_equal(receive_message(v, back), fits);
        say_credit(v, host[i].buf_alloc, fits);
        assert_true(mv_socket_write(end, data, host[i].length) > 0);
        (void)expect(v, MV_VSOCK_RST, NULL);
        assert_true(mv_socket_write(end, data, 1) == MV_SOCKET_GONE);
    }
}

/* Fewer bytes than the longest message in all the buffers that are looked at. */
static void buffers_can_be_too_small(void **state)
{
    struct vsockrig *v = *state;
    enum { EACH = 1000, ALL = MV_VSOCK_STASH * (EACH - MV_VSOCK_HEADER) };
    struct mv_vsock_header h;
    vdriver_reset(&v->rig.driver);
    vsockrig_start(v, UINT64_MAX, 0);
    vsockrig_post(v, VSOCK_RX_BUFFERS, EACH);
    h = vsockrig_message(MV_VSOCK_REQUEST, GUEST_PORT, TO_PORT);
    vsockrig_send(v, &h, NULL, 0);
    assert_true(vsockrig_receive(v, &h, NULL, true));
    intptr_t end = v->end[0];
    fill(data, 0, ALL);
    assert_int_equal(mv_socket_write(end, data, ALL), ALL);
    for (uint32_t got = 0; got < ALL; got += h.length) {
        assert_true(vsockrig_receive(v, &h, back, true));
        check_stream(back, got, h.length);
        assert_int_equal(h.flags, got + h.length == ALL ? EOM : 0);
    }
    assert_int_equal(mv_socket_write(end, data, ALL + 1), ALL + 1);
    assert_true(vsockrig_receive(v, &h, NULL, true));
    assert_int_equal(h.op, MV_VSOCK_RST);
}

static void types_are_told_apart(void **state)
{
    struct vsockrig *v = *state;
    microvm_socket_type dial = SEQPACKET;
    struct mv_vsock_header h = vsockrig_message(MV_VSOCK_REQUEST, 1, TO_PORT);
    v->takes = MICROVM_SOCKET_STREAM; /* nobody listens for messages */
    vsockrig_send(v, &h, NULL, 0);
    assert_int_equal(expect(v, MV_VSOCK_RST, NULL).type, MV_VSOCK_SEQPACKET);
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    const uint16_t op[] = {MV_VSOCK_RW, MV_VSOCK_REQUEST, MV_VSOCK_SHUTDOWN};
    for (unsigned i = 0; i < MV_ARRAY_LEN(op); i++) { /* of a stream's ports */
        h = vsockrig_message(op[i], GUEST_PORT, TO_PORT);
        h.flags = MV_VSOCK_NEITHER;
        vsockrig_send(v, &h, "x", op[i] == MV_VSOCK_RW);
        assert_int_equal(expect(v, MV_VSOCK_RST, NULL).type, MV_VSOCK_SEQPACKET);
    }
    h = vsockrig_message(MV_VSOCK_RST, GUEST_PORT, TO_PORT);
    vsockrig_send(v, &h, NULL, 0);
    say_data(v, GUEST_PORT, "stream", 6); /* which knows nothing of that */
    assert_int_equal(host_read(end, back, sizeof back), 6);
    v->takes = 0;
    vdriver_reset(&v->rig.driver);
    vsockrig_start(v, ~MV_VSOCK_F_SEQPACKET, VSOCK_RX_BUFFERS); /* unknown to it */
    assert_int_equal(v->user.dial(v->user.device, SEQPACKET, 25, &dial),
                     MV_VSOCK_UNABLE);
    h = vsockrig_message(MV_VSOCK_REQUEST, GUEST_PORT, TO_PORT);
    vsockrig_send(v, &h, NULL, 0);
    assert_int_equal(expect(v, MV_VSOCK_RST, NULL).type, MV_VSOCK_SEQPACKET);
    assert_int_not_equal(vsockrig_connect(v, GUEST_PORT, BUF), MV_SOCKET_NONE);
}

/* -- what waits -- */

static void messages_wait_for_credit(void **state)
{
    struct vsockrig *v = *state;
    intptr_t end = connect_messages(v, GUEST_PORT, 1000);
    intptr_t stream = vsockrig_connect(v, GUEST_PORT + 1, BUF);
    fill(data, 0, 600);
    assert_int_equal(mv_socket_write(end, data, 600), 600);
    assert_int_equal(mv_socket_write(end, data, 600), 600);
    assert_int_equal(receive_message(v, back), 600);
    expect_nothing(v);
    say_credit(v, 1000, 199); /* one byte too little */
    expect_nothing(v);
    expect_rest(v);
    assert_int_equal(mv_socket_write(stream, "quick", 5), 5);
    assert_int_equal(expect(v, MV_VSOCK_RW, NULL).length, 5);
    uv_sleep(60); /* who does not say that there is room is asked, once */
    (void)expect(v, MV_VSOCK_CREDIT_REQUEST, NULL);
    uv_sleep(60);
    expect_nothing(v);
    say_credit(v, 1000, 200);
    assert_int_equal(receive_message(v, back), 600);
    check_stream(back, 0, 600);
    say_piece(v, "back", 4, EOM);
    assert_int_equal(host_read(end, back, sizeof back), 4);
}

static void messages_wait_for_buffers(void **state)
{
    struct vsockrig *v = *state;
    struct mv_vsock_header h;
    vdriver_reset(&v->rig.driver);
    vsockrig_start(v, UINT64_MAX, 2);
    intptr_t end = connect_messages(v, GUEST_PORT, 1 << 20);
    intptr_t stream = vsockrig_connect(v, GUEST_PORT + 1, BUF);
    fill(data, 0, LONGEST);
    assert_int_equal(mv_socket_write(end, data, LONGEST), LONGEST);
    expect_nothing(v);
    for (unsigned i = 0; i < 15; i++) { /* 18 are needed */
        vsockrig_post(v, 1, VSOCK_RX_BYTES);
        expect_nothing(v);
        expect_rest(v);
    }
    assert_int_equal(mv_socket_write(stream, "quick", 5), 5); /* takes one */
    assert_true(vsockrig_receive(v, &h, NULL, true));
    assert_int_equal(h.length, 5);
    say_piece(v, data, 40000, EOM); /* credit is told all the same */
    assert_true(vsockrig_receive(v, &h, NULL, true));
    assert_int_equal(h.op, MV_VSOCK_CREDIT_UPDATE);
    vsockrig_post(v, 2, VSOCK_RX_BYTES);
    assert_false(vsockrig_receive(v, &h, NULL, true));
    vsockrig_post(v, 1, VSOCK_RX_BYTES);
    assert_int_equal(receive_message(v, back), LONGEST);
    check_stream(back, 0, LONGEST);
    assert_int_equal(host_read(end, back, sizeof back), 40000);
}

/* It sleeps while a message waits for buffers, and they are given back. */
static void sleeps_while_messages_wait(void **state)
{
    struct vsockrig *v = *state;
    vdriver_reset(&v->rig.driver);
    vsockrig_start(v, UINT64_MAX, 10);
    intptr_t end = connect_messages(v, GUEST_PORT, 1 << 20);
    fill(data, 0, LONGEST);
    assert_int_equal(mv_socket_write(end, data, LONGEST), LONGEST);
    expect_nothing(v);
    mv_vdev_sleep(v->rig.dev);
    vsockrig_post(v, 20, VSOCK_RX_BYTES);
    expect_nothing(v);
    mv_vdev_wake(v->rig.dev);
    assert_int_equal(receive_message(v, back), LONGEST);
    check_stream(back, 0, LONGEST);
}

/* -- credit -- */

/* A guest that sends as Linux does: a message in as many pieces as its credit allows
 * for, never asking. It never stands still, whatever the reader does. */
static void credit_always_comes_back(void **state)
{
    struct vsockrig *v = *state;
    enum { COUNT = 400 };
    static uint32_t length[COUNT];
    struct mv_vsock_header h;
    intptr_t end = connect_messages(v, GUEST_PORT, BUF);
    uint32_t sent = 0, fwd = 0, seed = 3, at = 0, still = 0;
    unsigned out = 0, in = 0;
    fill(data, 0, sizeof data);
    for (unsigned i = 0; i < COUNT; i++) {
        seed = seed * 1664525u + 1013904223u;
        length[i] = 1 + (seed >> 8) % (i % 3 ? LONGEST : 300);
    }
    for (unsigned turn = 0; in < COUNT; turn++) {
        uint32_t n = out < COUNT ? length[out] - at : 0;
        n = MV_MIN(n, LONGEST - (sent - fwd));
        if (n > 0) {
            bool last = at + n == length[out];
            say_piece(v, data + at, n, last ? EOM : 0);
            sent += n;
            at = last ? 0 : at + n;
            out += last;
        }
        while (vsockrig_receive(v, &h, NULL, false)) {
            assert_int_equal(h.op, MV_VSOCK_CREDIT_UPDATE);
            fwd = h.fwd_cnt;
        }
        int64_t got = turn % 3 ? MV_SOCKET_AGAIN : host_read(end, back, sizeof back);
        if (got > 0) {
            assert_int_equal(got, length[in++]);
            check_stream(back, 0, (size_t)got);
        }
        still = n > 0 || got > 0 ? 0 : still + 1;
        assert_true(still < 10);
    }
    assert_true(fwd > 0);
}

/* Messages of a byte each, to a host that does not read: no more than the credit's
 * memory, and none is lost. */
static void bytes_can_be_messages(void **state)
{
    struct vsockrig *v = *state;
    struct mv_vsock *device = mv_vsock_of(v->rig.dev);
    struct mv_vsock_header h = {.op = 0};
    intptr_t end = connect_messages(v, GUEST_PORT, BUF);
    uint32_t sent = 0, got = 0, fwd = 0;
    while (sent - fwd < LONGEST) {
        h = vsockrig_message(MV_VSOCK_RW, GUEST_PORT, TO_PORT);
        h.length = 1;
        h.flags = EOM;
        for (unsigned i = 0; i < 60 && sent - fwd < LONGEST; i++, sent++) {
            data[0] = (uint8_t)(sent * 7);
            assert_true(vsockrig_add(v, &h, data, 1));
        }
        vdriver_kick(&v->rig.driver, 1);
        while (vsockrig_receive(v, &h, NULL, false)) {
            assert_int_equal(h.op, MV_VSOCK_CREDIT_UPDATE);
            fwd = h.fwd_cnt;
        }
        (void)vsockrig_reap(v);
        assert_true(device->pool.used <= LONGEST / MV_VSOCK_CHUNK + 1);
    }
    while (got < sent) {
        int64_t n = host_read(end, back, sizeof back);
        vrig_turn(&v->rig);
        if (n == MV_SOCKET_AGAIN)
            continue;
        assert_int_equal(n, 1);
        assert_int_equal(back[0], (uint8_t)(got++ * 7));
    }
    assert_int_equal(device->pool.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VSOCK(boundaries_are_kept),
        VSOCK(pieces_make_a_message),
        VSOCK(the_host_dials_for_messages),
        VSOCK(empty_messages_are_no_end),
        VSOCK(a_close_loses_no_message),
        VSOCK(an_end_is_missing),
        VSOCK(a_slow_reader_gets_what_was_whole),
        VSOCK(messages_can_be_too_long),
        VSOCK(buffers_can_be_too_small),
        VSOCK(types_are_told_apart),
        VSOCK(messages_wait_for_credit),
        VSOCK(messages_wait_for_buffers),
        VSOCK(sleeps_while_messages_wait),
        VSOCK(credit_always_comes_back),
        VSOCK(bytes_can_be_messages),
    };
    return vsock_main(tests, MV_ARRAY_LEN(tests));
}
