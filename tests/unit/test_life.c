/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The life of a machine, with a kind that only counts: which operation is allowed when,
 * blocking and non-blocking forms, events and their handle, the time limit.
 */
#include "check.h"

#include "machine/machine.h"

#include <stdlib.h>
#include <string.h>

struct counted {
    struct microvm base;
    int starts, pauses, ends;
    bool stubborn;   /* shutdown is not heeded */
    int start_fails; /* with this code */
};

static const microvm_error success = {.code = 0};

static int counted_start(struct microvm *vm, microvm_error *err)
{
    struct counted *c = (struct counted *)(void *)vm;
    c->starts++;
    if (c->start_fails)
        return mv_fail(err, c->start_fails, "kernel 'x': no kernel");
    mv_machine_done(vm, MICROVM_OP_START, MICROVM_RUNNING, &success);
    return 0;
}

static int counted_pause(struct microvm *vm, microvm_error *err)
{
    (void)err;
    ((struct counted *)(void *)vm)->pauses++;
    mv_machine_done(vm, MICROVM_OP_PAUSE, MICROVM_PAUSED, &success);
    return 0;
}

static int counted_shutdown(struct microvm *vm, microvm_error *err)
{
    static const microvm_error why = {.message = "the guest powered itself off"};
    (void)err;
    if (!((struct counted *)(void *)vm)->stubborn)
        mv_machine_ended(vm, MICROVM_EXIT_POWER_OFF, &why);
    return 0;
}

static void counted_end(struct microvm *vm, int reason)
{
    static const microvm_error why = {.message = "told to"};
    ((struct counted *)(void *)vm)->ends++;
    mv_machine_ended(vm, reason, &why);
}

static void counted_close(struct microvm *vm)
{
    (void)vm;
}

static void counted_free(struct microvm *vm)
{
    free(vm);
}

static const struct mv_machine_ops counted_ops = {
    .kind = "counted",
    .start = counted_start,
    .pause = counted_pause, /* no resume: an operation that the kind does not have */
    .shutdown = counted_shutdown,
    .end = counted_end,
    .close = counted_close,
    .free = counted_free,
};

static struct counted *counted_new(uint64_t timeout_ms)
{
    struct counted *c = calloc(1, sizeof *c);
    struct mv_config config;
    microvm_error err;
    mv_config_init(&config);
    config.timeout_ms = timeout_ms;
    assert_ok(mv_machine_open(&c->base, &counted_ops, &config, &err), &err);
    assert_ok(mv_loop_start(&c->base.loop, "test", &err), &err);
    mv_config_done(&config);
    return c;
}

static void operations_follow_the_life_cycle(void **state)
{
    struct counted *c = counted_new(0);
    microvm *vm = &c->base;
    microvm_error err;
    (void)state;
    assert_int_equal(microvm_get_state(vm), MICROVM_CREATED);
    assert_error(microvm_pause(vm, &err), &err, MICROVM_E_NOT_RUNNING, "created");
    assert_error(microvm_shutdown(vm, 0, &err), &err, MICROVM_E_NOT_RUNNING, "created");
    assert_ok(microvm_start(vm, &err), &err);
    assert_error(microvm_start(vm, &err), &err, MICROVM_E_STATE, "running");
    assert_error(microvm_resume(vm, &err), &err, MICROVM_E_STATE, "not paused");
    assert_ok(microvm_pause(vm, &err), &err);
    assert_int_equal(microvm_get_state(vm), MICROVM_PAUSED);
    assert_error(microvm_pause(vm, &err), &err, MICROVM_E_STATE, "paused");
    assert_error(microvm_resume(vm, &err), &err, MICROVM_E_UNSUPPORTED, "kind counted");
    assert_int_equal(microvm_get_state(vm),
                     MICROVM_PAUSED); /* a failure changes nothing */
    assert_ok(microvm_kill(vm, &err), &err);
    assert_ok(microvm_kill(vm, &err), &err);
    assert_int_equal(c->ends, 1);
    assert_error(microvm_pause(vm, &err), &err, MICROVM_E_NOT_RUNNING, "stopped");
    assert_error(microvm_begin(vm, 99, &err), &err, MICROVM_E_INVALID, "99");
    microvm_free(vm);
}

static void shutdown_waits_only_so_long(void **state)
{
    struct counted *c = counted_new(0);
    microvm *vm = &c->base;
    microvm_exit how = MICROVM_EXIT_INIT;
    microvm_error err;
    (void)state;
    c->stubborn = true;
    assert_ok(microvm_start(vm, &err), &err);
    assert_error(microvm_shutdown(vm, 20, &err), &err, MICROVM_E_TIMEOUT, "20 ms");
    assert_error(microvm_wait(vm, 0, &how, &err), &err, MICROVM_E_TIMEOUT, "running");
    c->stubborn = false;
    assert_ok(microvm_shutdown(vm, MICROVM_FOREVER, &err), &err);
    assert_ok(microvm_wait(vm, 0, &how, &err), &err);
    assert_int_equal(how.reason, MICROVM_EXIT_POWER_OFF);
    assert_int_equal(how.code, 0);
    microvm_free(vm);
}

#ifdef _WIN32
#include <windows.h>
static bool handle_is_readable(microvm *vm)
{
    return WaitForSingleObject((HANDLE)microvm_event_handle(vm), 0) == WAIT_OBJECT_0;
}
#else
#include <poll.h>
static bool handle_is_readable(microvm *vm)
{
    struct pollfd p = {.fd = (int)microvm_event_handle(vm), .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}
#endif

static void begun_operations_end_as_events(void **state)
{
    struct counted *c = counted_new(0);
    microvm *vm = &c->base;
    microvm_event event = MICROVM_EVENT_INIT;
    microvm_error err;
    (void)state;
    assert_false(handle_is_readable(vm));
    assert_int_equal(microvm_next_event(vm, &event), 0);
    assert_ok(microvm_begin(vm, MICROVM_OP_START, &err), &err);
    assert_true(handle_is_readable(vm));
    const int32_t seen[] = {MICROVM_BOOTING, MICROVM_RUNNING};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(microvm_next_event(vm, &event), 1);
        assert_int_equal(event.type, MICROVM_EVENT_STATE);
        assert_int_equal(event.state, seen[i]);
    }
    assert_int_equal(microvm_next_event(vm, &event), 1);
    assert_int_equal(event.type, MICROVM_EVENT_DONE);
    assert_int_equal(event.operation, MICROVM_OP_START);
    assert_int_equal(event.code, 0);
    assert_false(handle_is_readable(vm));
    assert_int_equal(event.size, sizeof event);
    assert_ok(microvm_begin(vm, MICROVM_OP_PAUSE, &err), &err);
    while (microvm_next_event(vm, &event) == 1)
        ;
    assert_error(microvm_begin(vm, MICROVM_OP_RESUME, &err), &err,
                 MICROVM_E_UNSUPPORTED, "kind counted");
    assert_int_equal(microvm_next_event(vm, &event), 0); /* it never began */
    microvm_free(vm);
}

static void a_start_that_fails_leaves_its_reason(void **state)
{
    struct counted *c = counted_new(0);
    microvm *vm = &c->base;
    microvm_exit how = MICROVM_EXIT_INIT;
    microvm_error err;
    (void)state;
    c->start_fails = MICROVM_E_KERNEL;
    assert_error(microvm_start(vm, &err), &err, MICROVM_E_KERNEL, "no kernel");
    assert_int_equal(microvm_get_state(vm), MICROVM_FAILED);
    assert_ok(microvm_wait(vm, 0, &how, &err), &err);
    assert_int_equal(how.code, 125);
    assert_non_null(strstr(how.message, "no kernel"));
    microvm_free(vm);
}

static void the_time_limit_ends_it(void **state)
{
    struct counted *c = counted_new(30);
    microvm *vm = &c->base;
    microvm_exit how = MICROVM_EXIT_INIT;
    microvm_error err;
    (void)state;
    assert_ok(microvm_start(vm, &err), &err);
    assert_ok(microvm_wait(vm, 5000, &how, &err), &err);
    assert_int_equal(how.reason, MICROVM_EXIT_TIME_LIMIT);
    assert_int_equal(how.code, 124);
    assert_int_equal(microvm_get_state(vm), MICROVM_STOPPED);
    microvm_free(vm);
}

static void events_that_nobody_takes_are_counted(void **state)
{
    struct mv_events events;
    microvm_event event = MICROVM_EVENT_INIT;
    microvm_error err;
    (void)state;
    assert_ok(mv_events_open(&events, &err), &err);
    for (int i = 0; i < MV_EVENTS_MAX + 3; i++)
        mv_events_push(&events,
                       (microvm_event){.type = MICROVM_EVENT_STATE, .state = i});
    for (int i = 0; i < MV_EVENTS_MAX; i++) {
        assert_int_equal(mv_events_take(&events, &event), 1);
        assert_int_equal(event.state, i);
    }
    assert_int_equal(mv_events_take(&events, &event), 1);
    assert_int_equal(event.type, MICROVM_EVENT_LOST);
    assert_int_equal(event.count, 3);
    assert_int_equal(mv_events_take(&events, &event), 0);
    mv_events_close(&events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_follow_the_life_cycle),
        cmocka_unit_test(shutdown_waits_only_so_long),
        cmocka_unit_test(begun_operations_end_as_events),
        cmocka_unit_test(a_start_that_fails_leaves_its_reason),
        cmocka_unit_test(the_time_limit_ends_it),
        cmocka_unit_test(events_that_nobody_takes_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
