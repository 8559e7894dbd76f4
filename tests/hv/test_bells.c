/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract of hv.h for bells: writes of the guest that are heard elsewhere instead
 * of coming up. The same cases for every hypervisor and every rung: the first argument
 * says which.
 */
#include "guests.h"

#include "os/thread.h"
#include "util/assert.h"

#include <unistd.h>

static struct mini_subject subject;

static void mini_start(struct mini *mini, const struct mini_guest *guest)
{
    mini_open(mini, subject, 1, guest);
}

static void heard(void *arg)
{
    unsigned *times = arg;
    ++*times;
}

#define RUNG_AT(offset, value, size)                            \
    {                                                           \
        false, true, MINI_DEVICE + 0x50 + (offset), value, size \
    }

/* Runs guest_of_bell with a bell bound to writes of `size` bytes of `value`. */
static void ring(unsigned size, uint64_t value, const struct mini_access *wanted,
                 unsigned count, unsigned times_wanted)
{
    const uint64_t gpa = MINI_DEVICE + 0x50;
    struct mini mini;
    struct mv_loop loop;
    struct mv_bell bell;
    unsigned times = 0;
    microvm_error err;
    assert_ok(mv_loop_open(&loop, &err), &err);
    assert_ok(mv_bell_open(&bell, &loop, heard, &times, &err), &err);
    mini_start(&mini, &guest_of_bell);
    assert_ok(mini.hv->bell_bind(mini.vm, gpa, size, value, &bell, &err), &err);
    assert_int_equal(mini.hv->bell_bind(mini.vm, gpa, 4, 3, &bell, &err),
                     MICROVM_E_HYPERVISOR);
    if (times_wanted == 0) {
        assert_ok(mini.hv->bell_unbind(mini.vm, gpa, size, value, &bell, &err), &err);
        assert_int_equal(mini.hv->bell_unbind(mini.vm, gpa, size, value, &bell, &err),
                         MICROVM_E_HYPERVISOR);
    }
    mini_run_until(&mini, 'Y');
    mv_loop_turn(&loop);
    mini_expect(&mini, wanted, count);
    assert_int_equal(times, times_wanted);
    mini_close(&mini);
    mv_bell_close(&bell);
    mv_loop_close(&loop);
}

static void a_bell_hears_its_value_only(void **state)
{
    const struct mini_access wanted[] = {RUNG_AT(0, 4, 4), RUNG_AT(0, 3, 2),
                                         RUNG_AT(0, 5, 8), RUNG_AT(0, 6, 1),
                                         RUNG_AT(1, 7, 2)};
    (void)state;
    ring(4, 3, wanted, 5, 1);
}

static void a_bell_without_size_hears_every_write_there(void **state)
{
    const struct mini_access wanted[] = {RUNG_AT(1, 7, 2)};
    (void)state;
    ring(0, 0, wanted, 1, 1); /* rings that nobody has heard are one */
}

static void an_unbound_bell_hears_nothing(void **state)
{
    const struct mini_access wanted[] = {RUNG_AT(0, 3, 4), RUNG_AT(0, 4, 4),
                                         RUNG_AT(0, 3, 2), RUNG_AT(0, 5, 8),
                                         RUNG_AT(0, 6, 1), RUNG_AT(1, 7, 2)};
    (void)state;
    ring(4, 3, wanted, 6, 0);
    ring(0, 0, wanted, 6, 0);
}

/* ---- moving ---- */

enum { RINGS = 5000, STAY_NS = 50000, ROUNDS_MAX = 50 };

struct moved {
    struct mini mini;
    struct mv_bell bell;
    unsigned heard, moves;
    atomic_bool over;
};

/* What a BAR that moves comes to for the hypervisor: the bell goes and comes back. */
static void move_bell(void *arg)
{
    struct moved *m = arg;
    const uint64_t gpa = MINI_DEVICE + 0x50;
    while (!atomic_load(&m->over)) {
        bool there = m->moves++ % 2;
        int rc = (there ? m->mini.hv->bell_unbind
                        : m->mini.hv->bell_bind)(m->mini.vm, gpa, 4, 3, &m->bell, NULL);
        uint64_t until = uv_hrtime() + STAY_NS;
        MV_ASSERT(rc == 0);
        while (uv_hrtime() < until && !atomic_load(&m->over))
            continue;
    }
}

/* Nobody else reads it, so it counts. */
static uint64_t bell_count(const struct mv_bell *bell)
{
    uint64_t count = 0;
    return read((int)bell->fd, &count, sizeof count) == sizeof count ? count : 0;
}

/* Each write either comes up or rings. How many rang. */
static uint64_t ring_moving(void)
{
    static struct moved m;
    struct mv_loop loop;
    uv_thread_t mover;
    microvm_error err;
    m = (struct moved){.moves = 0};
    assert_ok(mv_loop_open(&loop, &err), &err);
    assert_ok(mv_bell_open(&m.bell, &loop, heard, &m.heard, &err), &err);
    mini_start(&m.mini, &guest_of_ring);
    assert_int_equal(mv_thread_start(&mover, move_bell, &m), 0);
    mini_run_until(&m.mini, 'Y');
    atomic_store(&m.over, true);
    (void)uv_thread_join(&mover);
    uint64_t rung = bell_count(&m.bell);
    print_message("%u moves, %u writes came up, %u rang\n", m.moves,
                  atomic_load(&m.mini.written), (unsigned)rung);
    assert_int_equal(atomic_load(&m.mini.written) + rung, RINGS);
    mini_close(&m.mini);
    mv_bell_close(&m.bell);
    mv_loop_close(&loop);
    return rung;
}

/* On a busy host the mover may miss a whole round. */
static void no_write_is_lost_while_a_bell_moves(void **state)
{
    unsigned both = 0;
    (void)state;
    if (subject.hv == &mv_fake_ops) {
        print_message("skipped: the fake has no eventfds that count\n");
        skip();
    }
    for (unsigned round = 0; round < ROUNDS_MAX && both < 3; round++) {
        uint64_t rung = ring_moving();
        both += rung > 0 && rung < RINGS;
    }
    assert_int_equal(both, 3);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bell_hears_its_value_only),
        cmocka_unit_test(a_bell_without_size_hears_every_write_there),
        cmocka_unit_test(an_unbound_bell_hears_nothing),
        cmocka_unit_test(no_write_is_lost_while_a_bell_moves),
    };
    subject = mini_subject(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
