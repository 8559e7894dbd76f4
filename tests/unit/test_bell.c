/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Bells: every ring is heard, however it comes in between, and once.
 */
#include "check.h"
#include "os/bell.h"
#include "os/thread.h"

#include <stdatomic.h>

static struct mv_loop loop;
static struct mv_bell bell, other;
static atomic_uint heard;
static unsigned again; /* rings from within */

static void count(void *arg)
{
    assert_ptr_equal(arg, &bell);
    atomic_fetch_add(&heard, 1);
    if (again > 0) {
        again--;
        mv_bell_ring(&bell);
    }
}

static void count_other(void *arg)
{
    ++*(unsigned *)arg;
}

static int begin(void **state)
{
    microvm_error err;
    (void)state;
    again = 0;
    atomic_store(&heard, 0);
    if (mv_loop_open(&loop, &err) || mv_bell_open(&bell, &loop, count, &bell, &err))
        return -1;
    return 0;
}

static int end(void **state)
{
    (void)state;
    mv_bell_close(&bell);
    mv_loop_close(&loop);
    return 0;
}

static unsigned turn(void)
{
    mv_loop_turn(&loop);
    return atomic_load(&heard);
}

static void rings_are_heard_once(void **state)
{
    (void)state;
    assert_int_equal(turn(), 0);
    for (unsigned i = 1; i < 10; i++) {
        mv_bell_ring(&bell);
        mv_bell_ring(&bell);
        assert_int_equal(turn(), i);
        for (unsigned quiet = 0; quiet < 5; quiet++)
            assert_int_equal(turn(), i);
    }
}

static void a_ring_while_it_is_heard_is_another(void **state)
{
    (void)state;
    again = 3;
    mv_bell_ring(&bell);
    for (unsigned i = 0; i < 10; i++)
        (void)turn();
    assert_int_equal(turn(), 4);
}

static void each_is_heard_for_itself(void **state)
{
    (void)state;
    unsigned others = 0;
    microvm_error err;
    assert_int_equal(mv_bell_open(&other, &loop, count_other, &others, &err), 0);
    for (unsigned i = 1; i < 5; i++) {
        mv_bell_ring(&bell);
        assert_int_equal(turn(), i);
        assert_int_equal(others, i - 1);
        mv_bell_ring(&other);
        assert_int_equal(turn(), i);
        assert_int_equal(others, i);
    }
    mv_bell_ring(&other);
    mv_bell_close(&other);
    (void)turn();
    assert_int_equal(others, 4); /* not after its end */
}

/* As devices and drivers do it: who rings waits until it was heard, thousands of times.
 */
static void no_ring_of_another_thread_is_lost(void **state)
{
    enum { RINGS = 20000 };
    microvm_error err;
    (void)state;
    assert_int_equal(mv_loop_start(&loop, "bells", &err), 0);
    for (unsigned i = 1; i <= RINGS; i++) {
        uint64_t begin_ns = uv_hrtime();
        mv_bell_ring(&bell);
        while (atomic_load(&heard) < i)
            assert_true(uv_hrtime() - begin_ns < 20000000000u);
        assert_int_equal(atomic_load(&heard), i);
    }
}

static void close_on_loop(void *arg)
{
    mv_bell_close(arg);
}

static int end_thread(void **state)
{
    (void)state;
    mv_loop_run(&loop, close_on_loop, &bell);
    mv_loop_close(&loop);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rings_are_heard_once, begin, end),
        cmocka_unit_test_setup_teardown(a_ring_while_it_is_heard_is_another, begin,
                                        end),
        cmocka_unit_test_setup_teardown(each_is_heard_for_itself, begin, end),
        cmocka_unit_test_setup_teardown(no_ring_of_another_thread_is_lost, begin,
                                        end_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
