/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Rate limits under a clock of the test's own: the rate over a long time, the burst,
 * debts, changes, and the ends of the arithmetic.
 */
#include "check.h"

#include "util/bytes.h"
#include "util/limit.h"

#define MS 1000000ull
#define S  1000000000ull

static struct mv_limit limit_of(uint64_t bytes, uint64_t ops, uint32_t burst_ms)
{
    struct mv_limit limit = {{0}, {0}};
    const struct mv_limit_rates rates = {bytes, ops, burst_ms};
    mv_limit_set(&limit, &rates);
    return limit;
}

/* Operations of `bytes` as fast as the limit lets them, told to wait with timers that
 * come up to a millisecond late; how many until the end. */
static unsigned run(struct mv_limit *limit, uint64_t *now, uint64_t end, uint32_t bytes)
{
    unsigned n = 0;
    for (;;) {
        uint64_t wait = mv_limit_wait_ns(limit, *now);
        if (wait)
            *now += (wait / MS + 1) * MS;
        if (*now >= end)
            return n;
        mv_limit_take(limit, *now, 1, bytes);
        n++;
    }
}

static void without_limit_nothing_waits(void **state)
{
    struct mv_limit limit = {{0}, {0}};
    (void)state;
    assert_false(mv_limit_on(&limit));
    for (unsigned i = 0; i < 100; i++) {
        mv_limit_take(&limit, 5, 1, UINT32_MAX);
        assert_int_equal(mv_limit_wait_ns(&limit, 5), 0);
    }
    limit = limit_of(0, 0, 7);
    assert_false(mv_limit_on(&limit));
    limit = limit_of(1, 0, 0);
    assert_true(mv_limit_on(&limit));
    limit = limit_of(0, 1, 0);
    assert_true(mv_limit_on(&limit));
}

static void the_rate_is_kept(void **state)
{
    static const struct {
        uint64_t bytes, ops;
        uint32_t size;
        double per_s;
    } cases[] = {
        {1 << 20, 0, 4096, 256},
        {10 << 20, 0, 1 << 20, 10},
        {0, 500, 4096, 500},
        {0, 100000, 512, 100000},
        {1 << 20, 100, 4096, 100},
        {1 << 20, 100000, 4096, 256},
        {1000000007, 0, 6400, 156250.001},
        {3, 0, 1, 3},
    };
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(cases); i++) {
        struct mv_limit limit = limit_of(cases[i].bytes, cases[i].ops, 10);
        uint64_t now = 77 * S;
        unsigned warm = run(&limit, &now, 78 * S, cases[i].size);
        unsigned n = run(&limit, &now, 82 * S, cases[i].size);
        assert_true(warm >= 1);
        assert_in_range((unsigned)(n / 4.0 / cases[i].per_s * 1000), 985, 1015);
    }
}

static void a_full_bucket_gives_its_burst_at_once(void **state)
{
    struct mv_limit limit = limit_of(0, 1000, 2000);
    uint64_t now = 5 * S;
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        unsigned n = 0;
        for (; mv_limit_wait_ns(&limit, now) == 0; n++)
            mv_limit_take(&limit, now, 1, 4096);
        assert_int_equal(n, 2001); /* the last one on credit */
        assert_int_equal(mv_limit_wait_ns(&limit, now), 1 * MS);
        assert_int_equal(mv_limit_wait_ns(&limit, now + 1 * MS), 0);
        now += 60 * S; /* idle for ever so long: no more than full */
    }
    limit = limit_of(0, 1000, 2000);
    for (unsigned i = 0; i < 2001; i++)
        mv_limit_take(&limit, now, 1, 0);
    now += 1 * S; /* half of it is back */
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(mv_limit_wait_ns(&limit, now), 0);
        mv_limit_take(&limit, now, 1, 0);
    }
    assert_int_equal(mv_limit_wait_ns(&limit, now), 1 * MS);
}

static void debts_are_paid(void **state)
{
    struct mv_limit limit = limit_of(1 << 20, 0, 10);
    (void)state;
    mv_limit_take(&limit, 1 * S, 1, 64 << 20); /* more than any burst */
    uint64_t wait = mv_limit_wait_ns(&limit, 1 * S);
    assert_int_equal(wait, 64 * S - 10 * MS);
    assert_int_equal(mv_limit_wait_ns(&limit, 1 * S + wait - 1), 1);
    assert_int_equal(mv_limit_wait_ns(&limit, 1 * S + wait), 0);
    assert_int_equal(mv_limit_wait_ns(&limit, UINT64_MAX), 0);
}

/* The clock may stand still (it is read once for a batch), never more than that. */
static void a_change_begins_anew(void **state)
{
    struct mv_limit limit = limit_of(1, 0, 0);
    const struct mv_limit_rates none = {0, 0, 0}, faster = {1 << 20, 0, 0};
    (void)state;
    mv_limit_take(&limit, 1 * S, 1, 1 << 20);
    assert_true(mv_limit_wait_ns(&limit, 1 * S) > 86400 * S);
    mv_limit_set(&limit, &faster);
    assert_int_equal(mv_limit_wait_ns(&limit, 1 * S), 0);
    mv_limit_take(&limit, 1 * S, 1, 1 << 20);
    assert_int_equal(mv_limit_wait_ns(&limit, 1 * S), 900 * MS); /* 100 ms is default */
    mv_limit_set(&limit, &none);
    assert_int_equal(mv_limit_wait_ns(&limit, 1 * S), 0);
}

static void the_ends_of_the_arithmetic(void **state)
{
    struct mv_limit limit = limit_of(1, UINT64_MAX, UINT32_MAX);
    (void)state;
    assert_int_equal(limit.ops.rate, MV_LIMIT_RATE_MOST);
    assert_int_equal(limit.ops.burst_ns, 3600 * S);
    for (unsigned i = 0; i < 10; i++)
        mv_limit_take(&limit, S, UINT32_MAX, UINT32_MAX);
    assert_int_equal(limit.bytes.paid_ns, UINT64_MAX); /* not a wrapped one */
    assert_true(mv_limit_wait_ns(&limit, S) > 1ull << 62);
    limit = limit_of(1 << 20, 0, 1);
    assert_int_equal(limit.bytes.burst_ns, 10 * MS);
    mv_limit_take(&limit, 0, 0, 0); /* nothing costs nothing */
    assert_int_equal(limit.bytes.paid_ns, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_limit_nothing_waits),
        cmocka_unit_test(the_rate_is_kept),
        cmocka_unit_test(a_full_bucket_gives_its_burst_at_once),
        cmocka_unit_test(debts_are_paid),
        cmocka_unit_test(a_change_begins_anew),
        cmocka_unit_test(the_ends_of_the_arithmetic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
