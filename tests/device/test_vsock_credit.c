/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Credit in both directions: it comes back, it is kept to, and a slow end stops its own
 * connection only, without loss.
 */
#include "vsock.h"

#include "util/bytes.h"

/* pitfalls, 1: a guest that sends for ever is never out of credit while the host reads:
 * the credit it is told of, as Linux counts it, comes back. */
static void credit_comes_back(void **state)
{
    struct vsockrig *v = *state;
    static uint8_t data[VSOCK_PAYLOAD], back[VSOCK_PAYLOAD];
    struct mv_vsock_header h;
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    uint32_t sent = 0, fwd = 0, buf = v->response.buf_alloc;
    unsigned updates = 0;
    size_t got = 0;
    while (sent < 8 << 20) {
        uint32_t n = MV_MIN((uint32_t)sizeof data, buf - (sent - fwd));
        assert_true(n > 0);
        fill(data, sent, n);
        say_data(v, GUEST_PORT, data, n);
        sent += n;
        int64_t taken;
        while ((taken = host_read(end, back, sizeof back)) > 0) {
            check_stream(back, got, (size_t)taken);
            got += (size_t)taken;
        }
        while (vsockrig_receive(v, &h, NULL, false)) {
            assert_int_equal(h.op, MV_VSOCK_CREDIT_UPDATE);
            fwd = h.fwd_cnt;
            buf = h.buf_alloc;
            updates++;
        }
    }
    assert_int_equal(got, sent);
    assert_in_range(updates, 16, 512); /* lazily: not one for each packet */
}

static void credit_is_told_when_asked(void **state)
{
    struct vsockrig *v = *state;
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    (void)end;
    say_data(v, GUEST_PORT, "abc", 3);
    expect_nothing(v);
    say(v, MV_VSOCK_CREDIT_REQUEST, GUEST_PORT, 0);
    assert_int_equal(expect(v, MV_VSOCK_CREDIT_UPDATE, NULL).fwd_cnt, 3);
}

/* pitfalls, 2: the host's bytes never exceed the guest's credit, and wait outside. */
static void keeps_to_the_guests_credit(void **state)
{
    struct vsockrig *v = *state;
    enum { SMALL = 10000, ALL = 200000 };
    static uint8_t data[ALL], part[VSOCK_RX_BYTES];
    struct mv_vsock_header h;
    intptr_t end = vsockrig_connect(v, GUEST_PORT, SMALL);
    size_t written = 0, got = 0;
    fill(data, 0, ALL);
    for (uint32_t fwd = 0; got < ALL;) {
        int64_t n =
            written < ALL ? mv_socket_write(end, data + written, ALL - written) : 0;
        written += n > 0 ? (size_t)n : 0;
        while (vsockrig_receive(v, &h, part, false)) {
            assert_int_equal(h.op, MV_VSOCK_RW);
            check_stream(part, got, h.length);
            got += h.length;
            assert_true(got - fwd <= SMALL);
        }
        assert_true(got == ALL || got - fwd == SMALL); /* all that it may send */
        fwd = (uint32_t)got;
        h = vsockrig_header(MV_VSOCK_CREDIT_UPDATE, GUEST_PORT, TO_PORT);
        h.buf_alloc = SMALL;
        h.fwd_cnt = fwd;
        vsockrig_send(v, &h, NULL, 0);
    }
}

/* A guest that does not say by itself that it has room is asked, once. */
static void asks_for_credit(void **state)
{
    struct vsockrig *v = *state;
    struct mv_vsock_header h;
    uint8_t part[VSOCK_RX_BYTES];
    intptr_t end = vsockrig_connect(v, GUEST_PORT, 100);
    assert_int_equal(mv_socket_write(end, part, 150), 150);
    assert_int_equal(expect(v, MV_VSOCK_RW, part).length, 100);
    expect_nothing(v);
    for (unsigned i = 0; i < 3; i++) {
        uv_sleep(60);
        if (i == 0)
            (void)expect(v, MV_VSOCK_CREDIT_REQUEST, NULL);
        expect_nothing(v);
    }
    h = vsockrig_header(MV_VSOCK_CREDIT_UPDATE, GUEST_PORT, TO_PORT);
    h.fwd_cnt = 100;
    vsockrig_send(v, &h, NULL, 0);
    assert_int_equal(expect(v, MV_VSOCK_RW, part).length, 50);
}

/* Linux sends no more than its own buffer holds, whatever our credit: it hears from us
 * before it has to stop. */
static void minds_a_guests_small_buffer(void **state)
{
    struct vsockrig *v = *state;
    enum { SMALL = 2048 };
    static uint8_t data[SMALL];
    intptr_t end = vsockrig_connect(v, GUEST_PORT, SMALL);
    struct mv_vsock_header h = vsockrig_header(MV_VSOCK_RW, GUEST_PORT, TO_PORT);
    h.buf_alloc = SMALL;
    assert_true(v->response.buf_alloc > 8 * SMALL);
    for (unsigned i = 1; i <= 5; i++) {
        vsockrig_send(v, &h, data, SMALL);
        assert_int_equal(host_read(end, data, SMALL), SMALL);
        assert_int_equal(expect(v, MV_VSOCK_CREDIT_UPDATE, NULL).fwd_cnt, i * SMALL);
    }
}

/* pitfalls, 8: a host that does not read slows its connection down; nothing is lost and
 * other connections do not notice. */
static void a_slow_host_blocks_nobody_else(void **state)
{
    struct vsockrig *v = *state;
    static uint8_t data[VSOCK_PAYLOAD];
    struct mv_vsock_header h;
    intptr_t slow = vsockrig_connect(v, GUEST_PORT, BUF);
    uint32_t sent = 0, fwd = 0, buf = v->response.buf_alloc;
    intptr_t quick = vsockrig_connect(v, GUEST_PORT + 1, BUF);
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t n = MV_MIN((uint32_t)sizeof data, buf - (sent - fwd));
        fill(data, sent, n);
        if (n)
            say_data(v, GUEST_PORT, data, n);
        sent += n;
        while (vsockrig_receive(v, &h, NULL, false)) {
            fwd = h.fwd_cnt;
            buf = h.buf_alloc;
        }
        if (n == 0)
            break;
    }
    assert_int_equal(sent - fwd, buf); /* stopped by credit, in the guest */
    say_data(v, GUEST_PORT + 1, "quick", 5);
    assert_int_equal(host_read(quick, data, sizeof data), 5);
    size_t got = 0;
    for (unsigned i = 0; got < sent && i < 10000; i++) {
        int64_t n = host_read(slow, data, sizeof data);
        if (n > 0)
            check_stream(data, got, (size_t)n);
        got += n > 0 ? (size_t)n : 0;
        vrig_turn(&v->rig);
    }
    assert_int_equal(got, sent);
    (void)expect(v, MV_VSOCK_CREDIT_UPDATE, NULL);
}

/* What has been sent before a close reaches a slow reader after it. */
static void nothing_is_lost_in_a_close(void **state)
{
    struct vsockrig *v = *state;
    static uint8_t data[VSOCK_PAYLOAD];
    intptr_t end = vsockrig_connect(v, GUEST_PORT, BUF);
    uint32_t sent = 0;
    struct mv_vsock_header h = v->response;
    for (unsigned i = 0; i < 100 && h.buf_alloc > sent - h.fwd_cnt; i++) {
        uint32_t n = MV_MIN((uint32_t)sizeof data, h.buf_alloc - (sent - h.fwd_cnt));
        fill(data, sent, n);
        say_data(v, GUEST_PORT, data, n);
        sent += n;
        (void)vsockrig_receive(v, &h, NULL, false);
    }
    say(v, MV_VSOCK_SHUTDOWN, GUEST_PORT, MV_VSOCK_NEITHER);
    while (h.op != MV_VSOCK_RST)
        assert_true(vsockrig_receive(v, &h, NULL, false));
    size_t got = 0;
    int64_t n = 1;
    for (unsigned i = 0; n != 0 && i < 10000; i++) {
        n = host_read(end, data, sizeof data);
        if (n > 0)
            check_stream(data, got, (size_t)n);
        got += n > 0 ? (size_t)n : 0;
        vrig_turn(&v->rig);
    }
    assert_int_equal(got, sent);
}

/* pitfalls, 6: what belongs to two connections stays apart, packet by packet. */
static void connections_stay_apart(void **state)
{
    struct vsockrig *v = *state;
    intptr_t end[16];
    uint8_t data[64];
    for (unsigned i = 0; i < 16; i++)
        end[i] = vsockrig_connect(v, GUEST_PORT + i, BUF);
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 16; i++) {
            memset(data, (int)(i + round), sizeof data);
            say_data(v, GUEST_PORT + i, data, 1 + (i + round) % 40);
            memset(data, (int)(i * 3 + round), sizeof data);
            assert_true(mv_socket_write(end[i], data, 1 + i) == 1 + (int)i);
        }
        for (unsigned i = 0; i < 16; i++) {
            int64_t n = host_read(end[i], data, sizeof data);
            assert_int_equal(n, 1 + (i + round) % 40);
            assert_int_equal(data[n - 1], (uint8_t)(i + round));
            uint8_t back[VSOCK_RX_BYTES];
            struct mv_vsock_header h = expect(v, MV_VSOCK_RW, back);
            unsigned which = h.dst_port - GUEST_PORT;
            assert_int_equal(h.length, 1 + which);
            assert_int_equal(back[which], (uint8_t)(which * 3 + round));
        }
    }
}

/* What the host's end has put before its socket's bytes goes first, as far as credit
 * and buffers reach, and its end is not the stream's. */
static void first_bytes_go_before_the_sockets(void **state)
{
    struct vsockrig *v = *state;
    uint8_t data[VSOCK_RX_BYTES], first[MV_VSOCK_FIRST];
    microvm_socket_type dial = STREAM;
    memset(first, 'f', sizeof first);
    v->first = (struct mv_span){first, sizeof first};
    (void)v->user.dial(v->user.device, STREAM, 25, &dial);
    struct mv_vsock_header h = expect(v, MV_VSOCK_REQUEST, NULL);
    struct mv_vsock_header answer = vsockrig_header(MV_VSOCK_RESPONSE, 25, h.src_port);
    answer.buf_alloc = 100;
    vsockrig_send(v, &answer, NULL, 0);
    memset(first, 0, sizeof first); /* it was copied */
    assert_int_equal(mv_socket_write(v->end[0], "socket", 6), 6);
    mv_socket_end_write(v->end[0]);
    h = expect(v, MV_VSOCK_RW, data);
    assert_int_equal(h.length, 100);
    assert_int_equal(data[99], 'f');
    answer = vsockrig_header(MV_VSOCK_CREDIT_UPDATE, 25, h.src_port);
    answer.buf_alloc = BUF;
    answer.fwd_cnt = 100;
    vsockrig_send(v, &answer, NULL, 0);
    h = expect(v, MV_VSOCK_RW, data);
    assert_int_equal(h.length, sizeof first - 100);
    assert_int_equal(data[h.length - 1], 'f');
    h = expect(v, MV_VSOCK_RW, data);
    assert_int_equal(h.length, 6);
    assert_memory_equal(data, "socket", 6);
    h = expect(v, MV_VSOCK_SHUTDOWN, NULL);
    assert_int_equal(h.flags, MV_VSOCK_NO_SEND);
    expect_nothing(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VSOCK(credit_comes_back),
        VSOCK(credit_is_told_when_asked),
        VSOCK(keeps_to_the_guests_credit),
        VSOCK(asks_for_credit),
        VSOCK(minds_a_guests_small_buffer),
        VSOCK(a_slow_host_blocks_nobody_else),
        VSOCK(nothing_is_lost_in_a_close),
        VSOCK(connections_stay_apart),
        VSOCK(first_bytes_go_before_the_sockets),
    };
    return vsock_main(tests, MV_ARRAY_LEN(tests));
}
