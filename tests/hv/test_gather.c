/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract of hv.h for port writes that are gathered: late, but all of them, in
 * their order, and never behind an access of another kind. The same cases for every
 * hypervisor and rung: the first argument says which.
 */
#include "guests.h"

#include "os/thread.h"
#include "util/bytes.h"

enum { BEFORE_WORD = 200, BEFORE_SAYING = 206, ALL = 213 };

static struct mini_subject subject;

static struct mini_access byte_write(char letter)
{
    return (struct mini_access){true, true, MINI_PORT, (uint64_t)letter, 1};
}

static void wanted_fill(struct mini_access wanted[ALL])
{
    for (unsigned i = 0; i < ALL; i++)
        wanted[i] = byte_write(i < BEFORE_WORD ? 'x' : i < BEFORE_SAYING ? 'z' : 'w');
    wanted[BEFORE_WORD] = (struct mini_access){true, true, MINI_PORT, 0x7979, 2};
}

static void gather_open(struct mini *mini)
{
    microvm_error err;
    mini_open(mini, subject, 1, &guest_of_gather);
    int rc = mini->hv->pio_gather(mini->vm, MINI_PORT, true, &err);
    if (rc == MICROVM_E_UNSUPPORTED) {
        print_message("skipped: %s\n", err.message);
        mini_close(mini);
        skip();
    }
    assert_ok(rc, &err);
}

/* The guest writes it, behind the back of whoever looks for data races. */
__attribute__((no_sanitize("thread"))) static uint8_t guest_byte(const uint8_t *at)
{
    return *(const volatile uint8_t *)at;
}

/* The guest's last byte is written, but nobody has seen it leave. */
static bool is_written(struct mini *mini)
{
    const uint64_t end_ns = uv_hrtime() + 10000000000ull;
    if (!mini_wait(&mini->said, 1))
        return false;
    while (!guest_byte(&mini->memory[0x30000])) {
        if (uv_hrtime() > end_ns)
            return false;
        (void)uv_sleep(1);
    }
    return true;
}

struct watcher {
    struct mini mini;
    unsigned when_said, when_flushed, when_ended;
    bool flush, end;
};

static void watch(void *arg)
{
    struct watcher *w = arg;
    struct mini *mini = &w->mini;
    if (is_written(mini)) {
        w->when_said = mini->accesses;
        if (w->flush)
            mini->hv->pio_flush(mini->vm);
        w->when_flushed = mini->accesses;
        if (w->end)
            (void)mini->hv->pio_gather(mini->vm, MINI_PORT, false, NULL);
        w->when_ended = mini->accesses;
    }
    mini->hv->vcpu_kick(mini->vcpu);
}

static void watched(struct watcher *w)
{
    struct mini_access wanted[ALL];
    uv_thread_t thread;
    microvm_error err;
    gather_open(&w->mini);
    wanted_fill(wanted);
    assert_int_equal(mv_thread_start(&thread, watch, w), 0);
    assert_int_equal(mini_run(&w->mini, &err), MV_HV_KICKED);
    (void)uv_thread_join(&thread);
    mini_expect(&w->mini, wanted, ALL);
    assert_int_equal(w->when_said, BEFORE_SAYING);
    print_message("%u accesses took %u exits\n", ALL + 1,
                  (unsigned)w->mini.hv->vcpu_counts(w->mini.vcpu)->pio);
    assert_in_range(w->mini.hv->vcpu_counts(w->mini.vcpu)->pio, 2, 10);
}

static void what_waits_comes_up_before_a_run_returns(void **state)
{
    struct watcher w = {.flush = false};
    (void)state;
    watched(&w);
    assert_int_equal(w.when_ended, BEFORE_SAYING);
    mini_close(&w.mini);
}

static void what_waits_comes_up_when_it_is_flushed(void **state)
{
    struct watcher w = {.flush = true};
    (void)state;
    watched(&w);
    assert_int_equal(w.when_flushed, ALL);
    mini_close(&w.mini);
}

static void what_waits_comes_up_when_gathering_ends(void **state)
{
    struct watcher w = {.end = true};
    (void)state;
    watched(&w);
    assert_int_equal(w.when_flushed, BEFORE_SAYING);
    assert_int_equal(w.when_ended, ALL);
    mini_close(&w.mini);
}

static void kick_when_written(void *arg)
{
    struct mini *mini = arg;
    (void)is_written(mini);
    mini->hv->vcpu_kick(mini->vcpu);
}

static void gathering_begins_once_and_ends_wholly(void **state)
{
    struct mini_access wanted[ALL];
    struct mini mini;
    uv_thread_t thread;
    microvm_error err;
    (void)state;
    gather_open(&mini);
    assert_error(mini.hv->pio_gather(mini.vm, MINI_PORT + 8, true, &err), &err,
                 MICROVM_E_STATE, "already");
    assert_ok(mini.hv->pio_gather(mini.vm, MINI_PORT, false, &err), &err);
    mini.hv->pio_flush(mini.vm); /* nothing there */
    assert_int_equal(mv_thread_start(&thread, kick_when_written, &mini), 0);
    assert_int_equal(mini_run(&mini, &err), MV_HV_KICKED);
    (void)uv_thread_join(&thread);
    wanted_fill(wanted);
    mini_expect(&mini, wanted, ALL);
    assert_int_equal(mini.hv->vcpu_counts(mini.vcpu)->pio, ALL + 1);
    mini_close(&mini);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_comes_up_before_a_run_returns),
        cmocka_unit_test(what_waits_comes_up_when_it_is_flushed),
        cmocka_unit_test(what_waits_comes_up_when_gathering_ends),
        cmocka_unit_test(gathering_begins_once_and_ends_wholly),
    };
    subject = mini_subject(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
