/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The network device: frames both ways with and without headers, buffers of every
 * shape, headers that lie, and that a pause loses no buffer.
 */
#include "net.h"

#include "allocations.h"
#include "util/bytes.h"

#define MRG_RXBUF (1ull << 15)

/* -- from the guest -- */

static void frames_go_out_however_they_are_cut(void **state)
{
    (void)state;
    static const uint32_t cuts[][4] = {{112}, {12, 100}, {4, 100, 8}, {13, 1, 97, 1}};
    for (unsigned header = 0; header < 2; header++) {
        struct nettest *t = net_start(header, ALL);
        for (unsigned i = 0; i < MV_ARRAY_LEN(cuts); i++) {
            struct vdriver_buffer buffer[4];
            uint64_t gpa = DATA;
            uint8_t whole[112];
            unsigned n = 0;
            memset(whole, 0, HEADER);
            net_fill(whole + HEADER, 100, (uint8_t)i);
            uint8_t *from = whole;
            for (; n < 4 && cuts[i][n]; n++, gpa += 0x1000) {
                buffer[n] = (struct vdriver_buffer){gpa, cuts[i][n], false};
                memcpy(net_at(t, gpa, cuts[i][n]), from, cuts[i][n]);
                from += cuts[i][n];
            }
            net_send_chain(t, buffer, n);
            assert_int_equal(t->net.out_count, i + 1);
            assert_int_equal(t->net.out_length, header ? 112 : 100);
            assert_memory_equal(t->net.out + (header ? HEADER : 0), whole + HEADER,
                                100);
            assert_int_equal(net_reaped(t, TRANSMIT), 1);
        }
        assert_int_equal(t->net.net.sent_frames, MV_ARRAY_LEN(cuts));
        assert_int_equal(t->net.net.sent_bytes, 100 * MV_ARRAY_LEN(cuts));
        net_finish(t);
    }
}

static void a_backing_without_room_loses_nothing(void **state)
{
    (void)state;
    struct nettest *t = net_start(true, ALL);
    const struct vdriver_buffer buffer = {DATA, HEADER + 60, false};
    t->net.room = 2;
    for (unsigned i = 0; i < 5; i++)
        (void)vdriver_add(&t->rig.driver.queue[TRANSMIT], &buffer, 1);
    vdriver_kick(&t->rig.driver, TRANSMIT);
    vrig_turn(&t->rig);
    assert_int_equal(t->net.out_count, 2);
    assert_int_equal(net_reaped(t, TRANSMIT), 2);
    netdouble_make_room(&t->net, 1);
    assert_int_equal(t->net.out_count, 3);
    mv_vdev_sleep(t->rig.dev);
    netdouble_make_room(&t->net, 9); /* nobody is there */
    assert_int_equal(t->net.out_count, 3);
    mv_vdev_wake(t->rig.dev);
    assert_int_equal(t->net.out_count, 5);
    assert_int_equal(net_reaped(t, TRANSMIT), 3);
    net_finish(t);
}

/* A header as the driver would lie in it, on a frame of 100 bytes. */
static void headers_that_lie_lose_their_frame(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        uint8_t flags, gso;
        uint16_t hdr_len, gso_size, csum_start, csum_offset;
        uint64_t without; /* this feature */
        bool good;
    } c[] = {
        {"nothing to do", 0, 0, 0, 0, 0, 0, 0, true},
        {"nonsense beside no gso", 0, 0, 9999, 9999, 9999, 9999, 0, true},
        {"checksum", 1, 0, 0, 0, 34, 16, 0, true},
        {"checksum not negotiated", 1, 0, 0, 0, 34, 16, 1 << 0, false},
        {"checksum at the very end", 1, 0, 0, 0, 82, 16, 0, true},
        {"checksum one byte further", 1, 0, 0, 0, 83, 16, 0, false},
        {"checksum far away", 1, 0, 0, 0, 0xffff, 0xffff, 0, false},
        {"checksum starts outside", 1, 0, 0, 0, 200, 0, 0, false},
        {"unknown flag", 2, 0, 0, 0, 34, 16, 0, false},
        {"all flags", 0xff, 0, 0, 0, 34, 16, 0, false},
        {"tso4", 1, 1, 54, 20, 34, 16, 0, true},
        {"tso4 not negotiated", 1, 1, 54, 20, 34, 16, 1 << 11, false},
        {"tso4 without checksum", 0, 1, 54, 20, 34, 16, 0, false},
        {"tso4 with segments of 0", 1, 1, 54, 0, 34, 16, 0, false},
        {"tso4 with a header longer than the frame", 1, 1, 101, 20, 34, 16, 0, false},
        {"tso6", 1, 4, 74, 20, 54, 16, 0, true},
        {"tso6 not negotiated", 1, 4, 74, 20, 54, 16, 1 << 12, false},
        {"ecn", 1, 0x81, 54, 20, 34, 16, 0, true},
        {"ecn not negotiated", 1, 0x81, 54, 20, 34, 16, 1 << 13, false},
        {"ecn alone", 1, 0x80, 54, 20, 34, 16, 0, false},
        {"ufo, which is not offered", 1, 3, 42, 20, 34, 6, 0, false},
        {"uso", 1, 5, 42, 20, 34, 6, 0, true},
        {"uso not negotiated", 1, 5, 42, 20, 34, 6, 1ull << 56, false},
        {"an unknown kind", 1, 2, 42, 20, 34, 6, 0, false},
        {"another", 1, 0x7f, 42, 20, 34, 6, 0, false},
    };
    for (unsigned i = 0; i < MV_ARRAY_LEN(c); i++) {
        struct nettest *t = net_start(true, ~c[i].without);
        const struct vdriver_buffer buffer = {DATA, HEADER + 100, false};
        uint8_t *h = net_at(t, DATA, HEADER);
        h[0] = c[i].flags;
        h[1] = c[i].gso;
        mv_store16(h + 2, c[i].hdr_len);
        mv_store16(h + 4, c[i].gso_size);
        mv_store16(h + 6, c[i].csum_start);
        mv_store16(h + 8, c[i].csum_offset);
        mv_store16(h + 10, 0xabcd); /* num_buffers: not the driver's to use */
        net_send_chain(t, &buffer, 1);
        if (t->net.out_count != c[i].good || net_failed(t))
            fail_msg("%s: %u frames went out", c[i].what, t->net.out_count);
        assert_int_equal(t->net.net.sent_drops, !c[i].good);
        if (c[i].good) {
            assert_memory_equal(t->net.out, h, 10);
            assert_int_equal(mv_load16(t->net.out + 10), 0);
        }
        assert_int_equal(net_reaped(t, TRANSMIT), 1);
        net_finish(t);
    }
}

static void frames_of_impossible_length_are_lost(void **state)
{
    (void)state;
    static const struct {
        uint32_t length; /* header included */
        bool good;
    } c[] = {{1, 0},
             {HEADER, 0},
             {HEADER + 13, 0},
             {HEADER + 14, 1},
             {HEADER + MV_NET_FRAME_MAX, 1},
             {HEADER + MV_NET_FRAME_MAX + 1, 0},
             {0x200000, 0}};
    for (unsigned i = 0; i < MV_ARRAY_LEN(c); i++) {
        struct nettest *t = net_start(false, ALL);
        const struct vdriver_buffer buffer = {DATA, c[i].length, false};
        memset(net_at(t, DATA, HEADER), 0, HEADER);
        net_send_chain(t, &buffer, 1);
        assert_int_equal(t->net.out_count, c[i].good);
        assert_int_equal(t->net.net.sent_drops, !c[i].good);
        assert_int_equal(net_reaped(t, TRANSMIT), 1);
        assert_false(net_failed(t));
        net_finish(t);
    }
}

/* -- to the guest -- */

static void check_frame(struct nettest *t, uint64_t gpa, size_t length, uint8_t seed,
                        unsigned buffers)
{
    uint8_t want[NETDOUBLE_BYTES];
    net_fill(want, length, seed);
    want[0] &= 0xfe;
    assert_memory_equal(net_at(t, gpa + HEADER, length), want, length);
    assert_int_equal(mv_load16(net_at(t, gpa + 10, 2)), buffers);
}

static void frames_fill_as_many_buffers_as_they_need(void **state)
{
    (void)state;
    static const struct {
        uint32_t bytes, length;
        unsigned buffers;
    } c[] = {{1536, 60, 1},     {1536, 1524, 1},   {1536, 1525, 2}, {1536, 65553, 43},
             {4096, 65553, 17}, {70000, 65553, 1}, {12, 24, 3},     {13, 1000, 78}};
    for (unsigned header = 0; header < 2; header++) {
        for (unsigned i = 0; i < MV_ARRAY_LEN(c); i++) {
            struct nettest *t = net_start(header, ALL);
            uint32_t total = 0, written;
            uint16_t head;
            unsigned n = c[i].bytes > 4096 ? 4 : 128;
            net_offer(t, DATA, n, c[i].bytes);
            assert_true(t->net.listening);
            net_arrive(t, c[i].length, (uint8_t)i);
            for (unsigned k = 0; k < c[i].buffers; k++) {
                assert_true(
                    vdriver_reap(&t->rig.driver.queue[RECEIVE], &head, &written));
                assert_true(written > 0);
                total += written;
            }
            assert_false(vdriver_reap(&t->rig.driver.queue[RECEIVE], &head, &written));
            assert_int_equal(total, HEADER + c[i].length);
            check_frame(t, DATA, c[i].length, (uint8_t)i, c[i].buffers);
            assert_int_equal(t->net.net.received_bytes, c[i].length);
            net_finish(t);
        }
    }
}

static void a_frame_waits_for_the_buffers_it_needs(void **state)
{
    (void)state;
    struct nettest *t = net_start(true, ALL);
    net_offer(t, DATA, 2, 1536);
    net_arrive(t, 9000, 3);
    assert_false(t->net.listening);
    net_arrive(t, 60, 4);
    assert_int_equal(net_reaped(t, RECEIVE), 0);
    net_offer(t, DATA + 2 * 1536, 3, 1536); /* one too few */
    assert_int_equal(net_reaped(t, RECEIVE), 0);
    net_offer(t, DATA + 5 * 1536, 2, 1536);
    assert_int_equal(net_reaped(t, RECEIVE), 7);
    check_frame(t, DATA, 9000, 3, 6);
    check_frame(t, DATA + 6 * 1536, 60, 4, 1);
    assert_false(t->net.listening); /* no buffer is left */
    net_offer(t, DATA, 1, 1536);
    assert_true(t->net.listening);
    assert_int_equal(t->net.net.received_drops, 0);
    net_finish(t);
}

static void a_frame_that_can_never_fit_is_lost(void **state)
{
    (void)state;
    struct nettest *t = net_start(true, ALL);
    net_offer(t, DATA, 256, 100); /* all the buffers that there can be */
    net_arrive(t, 65000, 1);
    assert_int_equal(t->net.net.received_drops, 1);
    net_arrive(t, 60, 2);
    assert_int_equal(net_reaped(t, RECEIVE), 1);
    check_frame(t, DATA, 60, 2, 1);
    net_finish(t);
}

static void without_merging_a_frame_has_one_buffer(void **state)
{
    (void)state;
    struct nettest *t = net_start(true, ~MRG_RXBUF);
    net_offer(t, DATA, 8, 1526);
    net_arrive(t, 1514, 1);
    net_arrive(t, 1515, 2); /* one byte too long */
    net_arrive(t, 60, 3);
    assert_int_equal(net_reaped(t, RECEIVE), 2);
    check_frame(t, DATA, 1514, 1, 1);
    check_frame(t, DATA + 1526, 60, 3, 1);
    assert_int_equal(t->net.net.received_drops, 1);
    net_finish(t);
}

static void a_buffer_too_small_for_a_header_fails_the_device(void **state)
{
    (void)state;
    struct nettest *t = net_start(true, ALL);
    net_offer(t, DATA, 4, 11);
    assert_true(net_failed(t));
    assert_false(t->net.listening);
    net_arrive(t, 60, 1);
    t->rig.driver.heap.at = VRIG_LOW_BYTES / 2;
    assert_true(vdriver_start(&t->rig.driver, ALL));
    net_offer(t, DATA, 4, 1536);
    assert_int_equal(net_reaped(t, RECEIVE), 1);
    net_finish(t);
}

/* The window goes back and comes again, also through a saved state. */
static void a_pause_loses_no_buffer(void **state)
{
    (void)state;
    struct nettest *t = net_start(true, ALL);
    net_offer(t, DATA, 100, 1536);
    net_arrive(t, 60, 1);
    for (unsigned i = 0; i < 3; i++) {
        mv_vdev_sleep(t->rig.dev);
        assert_false(t->net.listening);
        net_arrive(t, 3000, (uint8_t)(10 + i)); /* waits in the backing */
        mv_vdev_wake(t->rig.dev);
        vrig_turn(&t->rig);
    }
    assert_int_equal(net_reaped(t, RECEIVE), 7);
    check_frame(t, DATA, 60, 1, 1);
    for (unsigned i = 0; i < 3; i++)
        check_frame(t, DATA + (1 + 2 * i) * 1536, 3000, (uint8_t)(10 + i), 2);
    for (unsigned i = 0; i < 93; i++)
        net_arrive(t, 100, 9);
    assert_int_equal(net_reaped(t, RECEIVE), 93);
    net_finish(t);
}

static void asks_for_no_memory_at_work(void **state)
{
    (void)state;
    ALLOCATIONS_OR_SKIP();
    struct nettest *t = net_start(true, ALL);
    const struct vdriver_buffer buffer = {ANSWER, HEADER + 60, false};
    unsigned long started = allocations();
    for (unsigned i = 0; i < 100; i++) {
        net_offer(t, DATA, 8, 1536);
        net_arrive(t, 100, 1);
        net_arrive(t, 9000, 2);
        assert_int_equal(net_reaped(t, RECEIVE), 7);
        net_arrive(t, 5000, 3); /* waits for buffers */
        net_offer(t, DATA + 0x10000, 3, 1536);
        assert_int_equal(net_reaped(t, RECEIVE), 4);
        net_send_chain(t, &buffer, 1);
        assert_int_equal(net_reaped(t, TRANSMIT), 1);
    }
    assert_int_equal(allocations() - started, 0);
    net_finish(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_go_out_however_they_are_cut),
        cmocka_unit_test(a_backing_without_room_loses_nothing),
        cmocka_unit_test(headers_that_lie_lose_their_frame),
        cmocka_unit_test(frames_of_impossible_length_are_lost),
        cmocka_unit_test(frames_fill_as_many_buffers_as_they_need),
        cmocka_unit_test(a_frame_waits_for_the_buffers_it_needs),
        cmocka_unit_test(a_frame_that_can_never_fit_is_lost),
        cmocka_unit_test(without_merging_a_frame_has_one_buffer),
        cmocka_unit_test(a_buffer_too_small_for_a_header_fails_the_device),
        cmocka_unit_test(a_pause_loses_no_buffer),
        cmocka_unit_test(asks_for_no_memory_at_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
