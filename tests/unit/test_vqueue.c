/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Split queues, device side: chains of every shape, those that no driver would build,
 * indexes that wrap, and who is told when.
 */
#include "check.h"
#include "vdriver.h"

#include "util/bytes.h"
#include "virtio/vdev.h"

enum { LOW = 1 << 20, DATA = 0x40000, RING_SIZE = 8 };
#define HIGH 0x100000000ull

struct rings {
    struct mv_ram ram;
    struct vdriver_heap heap;
    struct vdriver_queue driver;
    struct mv_vq vq;
    struct mv_chain chain;
};

static void rings_start(struct rings *r, uint16_t size, uint64_t features)
{
    r->heap = (struct vdriver_heap){&r->ram, 0x1000, LOW};
    vdriver_queue_open(&r->driver, &r->heap, size, features & MV_F_EVENT_IDX);
    mv_vq_reset(&r->vq);
    r->vq.config = (struct mv_vq_config){size, true, r->driver.desc, r->driver.avail,
                                         r->driver.used};
    assert_true(mv_vq_start(&r->vq, &r->ram, features));
}

static int setup(void **state)
{
    struct rings *r = test_calloc(1, sizeof *r);
    microvm_error err;
    assert_ok(mv_ram_open(&r->ram, 2 * LOW, LOW, HIGH, 0, &err), &err);
    rings_start(r, RING_SIZE, MV_F_INDIRECT_DESC | MV_F_EVENT_IDX);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rings *r = *state;
    mv_ram_close(&r->ram);
    test_free(r);
    return 0;
}

/* -- well-formed chains -- */

static void takes_and_returns_chains(void **state)
{
    struct rings *r = *state;
    const struct vdriver_buffer buffer[] = {{DATA, 16, false},
                                            {HIGH, 100, false},
                                            {DATA + 0x1000, 50, true},
                                            {HIGH + LOW - 1, 1, true}};
    uint16_t head = vdriver_add(&r->driver, buffer, 4), back;
    uint32_t written;
    assert_int_equal(mv_vq_pop(&r->vq, &r->chain), 0); /* not published */
    assert_true(vdriver_publish(&r->driver));
    assert_int_equal(mv_vq_pop(&r->vq, &r->chain), 1);
    assert_int_equal(r->chain.head, head);
    assert_int_equal(r->chain.readable, 2);
    assert_int_equal(r->chain.writable, 2);
    assert_int_equal(r->chain.read_bytes, 116);
    assert_int_equal(r->chain.write_bytes, 51);
    assert_ptr_equal(r->chain.span[1].base, mv_ram_at(&r->ram, HIGH, 1));
    assert_ptr_equal(r->chain.span[3].base, mv_ram_at(&r->ram, HIGH + LOW - 1, 1));
    assert_int_equal(mv_vq_pop(&r->vq, &r->chain), 0);
    assert_false(vdriver_reap(&r->driver, &back, &written));
    mv_vq_push(&r->vq, head, 51);
    assert_true(vdriver_reap(&r->driver, &back, &written));
    assert_int_equal(back, head);
    assert_int_equal(written, 51);
    assert_int_equal(r->driver.free, RING_SIZE);
}

static void follows_indirect_tables(void **state)
{
    struct rings *r = *state;
    struct vdriver_buffer buffer[RING_SIZE];
    for (unsigned i = 0; i < RING_SIZE; i++)
        buffer[i] = (struct vdriver_buffer){DATA + 64ull * i, 63, i >= 3};
    (void)vdriver_add_indirect(&r->driver, &r->heap, buffer, RING_SIZE);
    (void)vdriver_publish(&r->driver);
    assert_int_equal(mv_vq_pop(&r->vq, &r->chain), 1);
    assert_int_equal(r->chain.readable, 3);
    assert_int_equal(r->chain.writable, RING_SIZE - 3);
    for (unsigned i = 0; i < RING_SIZE; i++)
        assert_ptr_equal(r->chain.span[i].base,
                         mv_ram_at(&r->ram, DATA + 64ull * i, 1));
}

/* Pages of a transfer often lie together: fewer spans for the host's kernel. Not across
 * the line between what is read and what is written, nor backwards. */
static void buffers_that_lie_together_are_one_span(void **state)
{
    struct rings *r = *state;
    const struct vdriver_buffer buffer[] = {
        {DATA, 16, false},      {DATA + 16, 100, false}, {DATA + 300, 1, false},
        {DATA + 116, 4, false}, {DATA + 120, 8, true},   {DATA + 128, 4096, true},
        {DATA + 4224, 1, true}, {DATA + 8000, 8, true},  {DATA + 7992, 8, true}};
    rings_start(r, 2 * RING_SIZE, 0);
    (void)vdriver_add(&r->driver, buffer, MV_ARRAY_LEN(buffer));
    (void)vdriver_publish(&r->driver);
    assert_int_equal(mv_vq_pop(&r->vq, &r->chain), 1);
    assert_int_equal(r->chain.readable, 3);
    assert_int_equal(r->chain.writable, 3);
    assert_int_equal(r->chain.read_bytes, 121);
    assert_int_equal(r->chain.write_bytes, 4121);
    assert_int_equal(r->chain.span[0].length, 116);
    assert_int_equal(r->chain.span[2].length, 4);
    assert_ptr_equal(r->chain.span[3].base, mv_ram_at(&r->ram, DATA + 120, 1));
    assert_int_equal(r->chain.span[3].length, 4105);
    assert_int_equal(r->chain.span[4].length, 8);
}

/* 2.7.5.3.2: direct descriptors may come before the indirect one, whose write flag
 * means nothing; and tables need no alignment. */
static void indirect_after_direct(void **state)
{
    struct rings *r = *state;
    const struct vdriver_buffer rest[] = {{DATA + 64, 8, false}, {DATA + 128, 8, true}};
    vdriver_put_desc(&r->driver, 5, (struct vdriver_desc){DATA, 4, VDESC_NEXT, 2});
    vdriver_put_desc(
        &r->driver, 2,
        (struct vdriver_desc){DATA + 0x1001, 32, VDESC_INDIRECT | VDESC_WRITE, 0});
    vdriver_put_table(&r->ram, DATA + 0x1001, rest, 2);
    vdriver_offer(&r->driver, 5);
    (void)vdriver_publish(&r->driver);
    assert_int_equal(mv_vq_pop(&r->vq, &r->chain), 1);
    assert_int_equal(r->chain.readable, 2);
    assert_int_equal(r->chain.read_bytes, 12);
    assert_int_equal(r->chain.write_bytes, 8);
}

/* Twice around the 16 bits of the indexes, two chains in flight, returned in the other
 * order; and with the largest queue. */
static void indexes_wrap(void **state)
{
    struct rings *r = *state;
    const struct vdriver_buffer buffer = {DATA, 1, true};
    rings_start(r, MV_VQ_SIZE_MAX, 0);
    for (unsigned i = 0; i < 70000; i++) {
        uint16_t first, second, back;
        uint32_t written;
        (void)vdriver_add(&r->driver, &buffer, 1);
        (void)vdriver_add(&r->driver, &buffer, 1);
        (void)vdriver_publish(&r->driver);
        assert_int_equal(mv_vq_pop(&r->vq, &r->chain), 1);
        first = r->chain.head;
        assert_int_equal(mv_vq_pop(&r->vq, &r->chain), 1);
        second = r->chain.head;
        mv_vq_push(&r->vq, second, i);
        mv_vq_push(&r->vq, first, 0);
        assert_true(vdriver_reap(&r->driver, &back, &written));
        assert_int_equal(back, second);
        assert_int_equal(written, i);
        assert_true(vdriver_reap(&r->driver, &back, &written));
        assert_int_equal(back, first);
    }
}

static void survives_a_stop(void **state)
{
    struct rings *r = *state;
    const struct vdriver_buffer buffer = {DATA, 1, true};
    uint16_t head, back;
    uint32_t written;
    head = vdriver_add(&r->driver, &buffer, 1);
    (void)vdriver_publish(&r->driver);
    mv_vq_stop(&r->vq);
    assert_int_equal(mv_vq_pop(&r->vq, &r->chain), 0);
    assert_false(mv_vq_listen(&r->vq));
    mv_vq_push(&r->vq, head, 1); /* forgotten */
    assert_false(mv_vq_wants_signal(&r->vq));
    assert_true(mv_vq_start(&r->vq, &r->ram, MV_F_EVENT_IDX));
    assert_false(vdriver_reap(&r->driver, &back, &written));
    assert_int_equal(mv_vq_pop(&r->vq, &r->chain), 1);
    assert_int_equal(r->chain.head, head);
    mv_vq_push(&r->vq, head, 1);
    mv_vq_stop(&r->vq);
    assert_true(mv_vq_start(&r->vq, &r->ram, MV_F_EVENT_IDX));
    assert_false(mv_vq_wants_signal(&r->vq)); /* nothing is new in this life */
}

/* -- chains that no driver would build -- */

#define NEXT VDESC_NEXT
#define IND  VDESC_INDIRECT
#define WR   VDESC_WRITE

/* Descriptors 0 to 3 of the queue, head 0; `inner` at DATA, for indirect ones. */
static const struct bad {
    const char *what;
    struct vdriver_desc desc[4], inner[2];
} bad_chains[] = {
    {"to itself", {{DATA, 1, NEXT, 0}}, {{0}}},
    {"in a circle", {{DATA, 1, NEXT, 1}, {DATA, 1, NEXT, 0}}, {{0}}},
    {"next beyond the table", {{DATA, 1, NEXT, RING_SIZE}}, {{0}}},
    {"next far beyond", {{DATA, 1, NEXT, 0xffff}}, {{0}}},
    {"zero length", {{DATA, 0, 0, 0}}, {{0}}},
    {"in the hole", {{LOW, 1, 0, 0}}, {{0}}},
    {"across the end", {{LOW - 1, 2, 0, 0}}, {{0}}},
    {"beyond memory", {{HIGH + LOW, 1, 0, 0}}, {{0}}},
    {"wraps", {{UINT64_MAX, 2, 0, 0}}, {{0}}},
    {"wraps far", {{UINT64_MAX - 0xfff, 0xffffffff, 0, 0}}, {{0}}},
    {"huge", {{DATA, 0xffffffff, 0, 0}}, {{0}}},
    {"read after write", {{DATA, 1, NEXT | WR, 1}, {DATA, 1, 0, 0}}, {{0}}},
    {"indirect with next", {{DATA, 16, IND | NEXT, 1}, {DATA, 1, 0, 0}}, {{DATA, 1}}},
    {"indirect, length 0", {{DATA, 0, IND, 0}}, {{DATA, 1}}},
    {"indirect, length 17", {{DATA, 17, IND, 0}}, {{DATA, 1}}},
    {"indirect, length 8", {{DATA, 8, IND, 0}}, {{DATA, 1}}},
    {"indirect, out of memory", {{LOW - 16, 32, IND, 0}}, {{0}}},
    {"indirect, huge", {{DATA, 0xfffffff0, IND, 0}}, {{0}}},
    {"indirect in indirect", {{DATA, 16, IND, 0}}, {{DATA, 16, IND, 0}}},
    {"indirect, loop", {{DATA, 32, IND, 0}}, {{DATA, 1, NEXT, 0}}},
    {"indirect, beyond", {{DATA, 32, IND, 0}}, {{DATA, 1, NEXT, 2}}},
    {"indirect, nothing in it", {{DATA + 0x100, 16, IND, 0}}, {{0}}},
};

static void refuses_bad_chains(void **state)
{
    struct rings *r = *state;
    for (size_t i = 0; i < MV_ARRAY_LEN(bad_chains); i++) {
        const struct bad *bad = &bad_chains[i];
        rings_start(r, RING_SIZE, MV_F_INDIRECT_DESC);
        for (uint16_t d = 0; d < 4; d++)
            vdriver_put_desc(&r->driver, d, bad->desc[d]);
        assert_true(mv_ram_write(&r->ram, DATA, bad->inner, sizeof bad->inner));
        vdriver_offer(&r->driver, 0);
        (void)vdriver_publish(&r->driver);
        if (mv_vq_pop(&r->vq, &r->chain) >= 0)
            fail_msg("\"%s\" was taken", bad->what);
    }
}

static void refuses_more_than_the_queue_holds(void **state)
{
    struct rings *r = *state;
    struct vdriver_buffer buffer[RING_SIZE + 1];
    for (unsigned i = 0; i <= RING_SIZE; i++)
        buffer[i] = (struct vdriver_buffer){DATA, 1, true};
    (void)vdriver_add_indirect(&r->driver, &r->heap, buffer, RING_SIZE + 1);
    (void)vdriver_publish(&r->driver);
    assert_true(mv_vq_pop(&r->vq, &r->chain) < 0);
    rings_start(r, RING_SIZE, MV_F_INDIRECT_DESC);
    for (unsigned i = 0; i <= RING_SIZE; i++) /* one span does not make it shorter */
        buffer[i] = (struct vdriver_buffer){DATA + i, 1, true};
    (void)vdriver_add_indirect(&r->driver, &r->heap, buffer, RING_SIZE + 1);
    (void)vdriver_publish(&r->driver);
    assert_true(mv_vq_pop(&r->vq, &r->chain) < 0);
}

static void refuses_a_sum_beyond_32_bits(void **state)
{
    struct rings *r = *state;
    r->ram.region[1].size = MV_GIB(4); /* a lie: nothing is read or written there */
    rings_start(r, RING_SIZE, 0);
    const struct vdriver_buffer half[] = {{HIGH, 0x80000000, true},
                                          {HIGH, 0x80000000, true}};
    (void)vdriver_add(&r->driver, half, 2);
    (void)vdriver_publish(&r->driver);
    assert_true(mv_vq_pop(&r->vq, &r->chain) < 0);
}

static void refuses_indirect_that_was_not_negotiated(void **state)
{
    struct rings *r = *state;
    const struct vdriver_buffer buffer = {DATA, 1, true};
    rings_start(r, RING_SIZE, 0);
    (void)vdriver_add_indirect(&r->driver, &r->heap, &buffer, 1);
    (void)vdriver_publish(&r->driver);
    assert_true(mv_vq_pop(&r->vq, &r->chain) < 0);
}

static void refuses_impossible_indexes(void **state)
{
    struct rings *r = *state;
    const struct vdriver_buffer buffer = {DATA, 1, true};
    rings_start(r, RING_SIZE, 0);
    mv_store16(mv_ram_at(&r->ram, r->driver.avail + 2, 2), RING_SIZE + 1);
    assert_true(mv_vq_pop(&r->vq, &r->chain) < 0);
    mv_store16(mv_ram_at(&r->ram, r->driver.avail + 2, 2), 0xffff);
    assert_true(mv_vq_pop(&r->vq, &r->chain) < 0);

    rings_start(r, RING_SIZE, 0);
    vdriver_offer(&r->driver, RING_SIZE); /* a head that is none */
    (void)vdriver_publish(&r->driver);
    assert_true(mv_vq_pop(&r->vq, &r->chain) < 0);

    /* More chains in flight than there are descriptors: the same one again and again;
     * and an index that goes back. */
    rings_start(r, RING_SIZE, 0);
    uint16_t head = vdriver_add(&r->driver, &buffer, 1);
    for (unsigned i = 1; i < RING_SIZE; i++)
        vdriver_offer(&r->driver, head);
    (void)vdriver_publish(&r->driver);
    for (unsigned i = 0; i < RING_SIZE; i++)
        assert_int_equal(mv_vq_pop(&r->vq, &r->chain), 1);
    mv_store16(mv_ram_at(&r->ram, r->driver.avail + 2, 2), RING_SIZE - 2);
    assert_true(mv_vq_pop(&r->vq, &r->chain) < 0);
    mv_store16(mv_ram_at(&r->ram, r->driver.avail + 2, 2), RING_SIZE + 1);
    assert_true(mv_vq_pop(&r->vq, &r->chain) < 0);
}

static void refuses_bad_places(void **state)
{
    struct rings *r = *state;
    const struct mv_vq_config good = r->vq.config;
    const struct mv_vq_config bad[] = {
        {0, true, good.desc, good.driver, good.device},
        {6, true, good.desc, good.driver, good.device},
        {2 * MV_VQ_SIZE_MAX, true, good.desc, good.driver, good.device},
        {0x8000, true, good.desc, good.driver, good.device},
        {RING_SIZE, true, good.desc + 8, good.driver, good.device},
        {RING_SIZE, true, good.desc, good.driver + 1, good.device},
        {RING_SIZE, true, good.desc, good.driver, good.device + 2},
        {RING_SIZE, true, LOW - 16 * RING_SIZE + 16, good.driver, good.device},
        {RING_SIZE, true, good.desc, LOW - 6 - 2 * RING_SIZE + 2, good.device},
        {RING_SIZE, true, good.desc, good.driver, LOW - 6 - 8 * RING_SIZE + 2},
        {RING_SIZE, true, UINT64_MAX - 15, good.driver, good.device},
        {RING_SIZE, true, good.desc, UINT64_MAX - 1, good.device},
        {RING_SIZE, true, good.desc, good.driver, HIGH + LOW},
    };
    for (size_t i = 0; i < MV_ARRAY_LEN(bad); i++) {
        mv_vq_reset(&r->vq);
        r->vq.config = bad[i];
        assert_false(mv_vq_start(&r->vq, &r->ram, 0));
        assert_false(r->vq.live);
    }
    r->vq.config = good; /* up to the last byte of a region */
    r->vq.config.desc = LOW - 16 * RING_SIZE;
    r->vq.config.driver = HIGH + LOW - 6 - 2 * RING_SIZE;
    assert_true(mv_vq_start(&r->vq, &r->ram, 0));
}

/* -- who is told -- */

static void one_round(struct rings *r)
{
    const struct vdriver_buffer buffer = {DATA, 1, true};
    (void)vdriver_add(&r->driver, &buffer, 1);
    (void)vdriver_publish(&r->driver);
    assert_int_equal(mv_vq_pop(&r->vq, &r->chain), 1);
    mv_vq_push(&r->vq, r->chain.head, 1);
}

static void reap_all(struct rings *r)
{
    uint16_t head;
    uint32_t written;
    while (vdriver_reap(&r->driver, &head, &written))
        ;
}

static void signals_by_flag(void **state)
{
    struct rings *r = *state;
    rings_start(r, RING_SIZE, 0);
    assert_false(mv_vq_wants_signal(&r->vq)); /* nothing pushed */
    one_round(r);
    assert_true(mv_vq_wants_signal(&r->vq));
    assert_false(mv_vq_wants_signal(&r->vq)); /* told already */
    vdriver_hush(&r->driver);
    one_round(r);
    assert_false(mv_vq_wants_signal(&r->vq));
    assert_true(vdriver_listen(&r->driver));
    reap_all(r);
    one_round(r);
    assert_true(mv_vq_wants_signal(&r->vq));
}

/* At every position of the 16-bit index: when used_event is in the batch, only then. */
static void signals_by_event(void **state)
{
    struct rings *r = *state;
    for (unsigned start = 0; start < 0x10000; start += 0x7ff) {
        rings_start(r, RING_SIZE, MV_F_EVENT_IDX);
        r->vq.avail_at = r->vq.used_at = r->vq.signalled_at = (uint16_t)start;
        r->driver.avail_at = r->driver.published_at = (uint16_t)start;
        r->driver.used_at = (uint16_t)start;
        mv_store16(mv_ram_at(&r->ram, r->driver.used + 2, 2), (uint16_t)start);
        assert_false(vdriver_listen(&r->driver));
        one_round(r);
        assert_true(mv_vq_wants_signal(&r->vq));
        one_round(r);
        assert_false(mv_vq_wants_signal(&r->vq)); /* not listened again */
        reap_all(r);
        /* The event is the third from now. */
        uint16_t third = (uint16_t)(r->driver.used_at + 2);
        mv_store16(mv_ram_at(&r->ram, r->driver.avail + 4 + 2 * RING_SIZE, 2), third);
        one_round(r);
        one_round(r);
        assert_false(mv_vq_wants_signal(&r->vq));
        one_round(r);
        assert_true(mv_vq_wants_signal(&r->vq));
    }
}

static void kicks_only_when_listening(void **state)
{
    const uint64_t features[] = {0, MV_F_EVENT_IDX};
    const struct vdriver_buffer buffer = {DATA, 1, true};
    struct rings *r = *state;
    for (unsigned i = 0; i < 2; i++) {
        rings_start(r, RING_SIZE, features[i]);
        (void)vdriver_add(&r->driver, &buffer, 1);
        assert_true(vdriver_publish(&r->driver));
        mv_vq_hush(&r->vq);
        assert_int_equal(mv_vq_pop(&r->vq, &r->chain), 1);
        (void)vdriver_add(&r->driver, &buffer, 1);
        assert_false(vdriver_publish(&r->driver));
        assert_true(mv_vq_listen(&r->vq)); /* that one */
        mv_vq_hush(&r->vq);
        assert_int_equal(mv_vq_pop(&r->vq, &r->chain), 1);
        assert_false(mv_vq_listen(&r->vq));
        (void)vdriver_add(&r->driver, &buffer, 1);
        assert_true(vdriver_publish(&r->driver));
    }
}

/* -- payload -- */

static void copies_across_spans(void **state)
{
    struct rings *r = *state;
    const struct vdriver_buffer buffer[] = {{DATA, 3, false},
                                            {DATA + 100, 5, false},
                                            {DATA + 200, 2, true},
                                            {DATA + 300, 6, true}};
    char text[16] = {0};
    (void)vdriver_add(&r->driver, buffer, 4);
    (void)vdriver_publish(&r->driver);
    assert_true(mv_ram_write(&r->ram, DATA, "abc", 3));
    assert_true(mv_ram_write(&r->ram, DATA + 100, "defgh", 5));
    assert_int_equal(mv_vq_pop(&r->vq, &r->chain), 1);
    assert_int_equal(mv_chain_read(&r->chain, 2, text, 4), 4);
    assert_string_equal(text, "cdef");
    assert_int_equal(mv_chain_read(&r->chain, 0, text, sizeof text), 8);
    assert_string_equal(text, "abcdefgh");
    assert_int_equal(mv_chain_read(&r->chain, 8, text, 1), 0);
    assert_int_equal(mv_chain_read(&r->chain, SIZE_MAX, text, 1), 0);
    assert_int_equal(mv_chain_write(&r->chain, 1, "12345678", 9), 7);
    assert_memory_equal(mv_ram_at(&r->ram, DATA + 200, 2),
                        "\0"
                        "1",
                        2);
    assert_memory_equal(mv_ram_at(&r->ram, DATA + 300, 7), "234567", 7);
    assert_memory_equal(mv_ram_at(&r->ram, DATA, 3), "abc", 3);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(takes_and_returns_chains),
        T(buffers_that_lie_together_are_one_span),
        T(follows_indirect_tables),
        T(indirect_after_direct),
        T(indexes_wrap),
        T(survives_a_stop),
        T(refuses_bad_chains),
        T(refuses_more_than_the_queue_holds),
        T(refuses_a_sum_beyond_32_bits),
        T(refuses_indirect_that_was_not_negotiated),
        T(refuses_impossible_indexes),
        T(refuses_bad_places),
        T(signals_by_flag),
        T(signals_by_event),
        T(kicks_only_when_listening),
        T(copies_across_spans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
