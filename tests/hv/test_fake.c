/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The fake hypervisor's own: steps that the contract suite has no use for, its record,
 * and scripts that are wrong.
 */
#include "mini.h"

#include "os/thread.h"
#include "util/bytes.h"

#define GUEST(steps)                                        \
    {                                                       \
        .steps = (steps), .step_count = MV_ARRAY_LEN(steps) \
    }
#define STEP(n) (MINI_CODE + (n) * sizeof(struct mv_fake_step))

static const struct mini_subject fake = {&mv_fake_ops, MV_RUNG_FULL};

static void waits_for_a_kick_then_goes_on(void **state)
{
    static const struct mv_fake_step steps[] = {
        {MV_FAKE_WAIT_KICK, 0, 0, 0},
        {MV_FAKE_PIO_WRITE, 1, MINI_PORT_SAY, 'k'},
        {MV_FAKE_RESET, 0, 0, 0},
    };
    const struct mini_guest guest = GUEST(steps);
    struct mini mini;
    microvm_error err;
    (void)state;
    mini_open(&mini, fake, 1, &guest);
    mini.hv->vcpu_kick(mini.vcpu);
    assert_int_equal(mini_run(&mini, &err), MV_HV_KICKED);
    assert_int_equal(atomic_load(&mini.said), 0);
    assert_int_equal(mini_run(&mini, &err), MV_HV_RESET);
    assert_int_equal(atomic_load(&mini.said), 1);
    mini_close(&mini);
}

static void a_line_is_taken_edge_by_edge(void **state)
{
    static const struct mv_fake_step steps[] = {
        {MV_FAKE_WAIT_LINE, 0, MINI_PIN, 0},
        {MV_FAKE_WAIT_LINE, 0, MINI_PIN, 0},
        {MV_FAKE_PIO_WRITE, 1, MINI_PORT_SAY, 'Y'},
        {MV_FAKE_WAIT_LINE, 0, MINI_PIN, 0},
    };
    const struct mini_guest guest = GUEST(steps);
    struct mv_fake_record record;
    struct mini mini;
    microvm_error err;
    (void)state;
    mini_open(&mini, fake, 1, &guest);
    mini.hv->irq_line(mini.vm, MINI_PIN, true);
    mini.hv->irq_line(mini.vm, MINI_PIN, true); /* no edge */
    mini.hv->irq_line(mini.vm, MINI_PIN, false);
    mini.hv->irq_line(mini.vm, MINI_PIN, true);
    mini_run_until(&mini, 'Y');
    mini.hv->vcpu_kick(mini.vcpu);
    assert_int_equal(mini_run(&mini, &err), MV_HV_KICKED); /* no third edge */
    mv_fake_record_get(mini.vm, &record);
    assert_int_equal(record.edges[MINI_PIN], 2);
    assert_true(record.level[MINI_PIN]);
    assert_int_equal(record.maps, 1);
    assert_int_equal(record.setups, 1);
    mini_close(&mini);
}

struct second {
    struct mini mini;
    enum mv_hv_exit exit;
    microvm_error err;
};

static void second_run(void *arg)
{
    struct second *s = arg;
    struct mv_hv_vcpu *vcpu;
    if (s->mini.hv->vcpu_open(s->mini.vm, 1, &vcpu, &s->err))
        return;
    s->exit = s->mini.hv->vcpu_run(vcpu, &s->err);
    s->mini.hv->vcpu_close(vcpu);
}

static void one_vcpu_starts_the_other(void **state)
{
    static const struct mv_fake_step steps[] = {
        {MV_FAKE_START, 0, STEP(3), 1},
        {MV_FAKE_WAIT_MSI, 0, 0, 0x40}, /* the test's answer to the other's shutdown */
        {MV_FAKE_PIO_WRITE, 1, MINI_PORT_SAY, 'Y'},
        {MV_FAKE_STORE, 4, 0x20000, 0x12345678},
        {MV_FAKE_LOAD, 2, 0x20000, 0},
        {MV_FAKE_CHECK, 0, 0, 0x5678},
        {MV_FAKE_SHUTDOWN, 0, 0, 0},
    };
    const struct mini_guest guest = GUEST(steps);
    struct second s = {.exit = MV_HV_FAILED};
    uv_thread_t thread;
    (void)state;
    mini_open(&s.mini, fake, 2, &guest);
    assert_int_equal(mv_thread_start(&thread, second_run, &s), 0);
    s.mini.hv->irq_msi(s.mini.vm, 0xfee00000, 0x40);
    mini_run_until(&s.mini, 'Y');
    (void)uv_thread_join(&thread);
    assert_int_equal(s.exit, MV_HV_SHUTDOWN);
    assert_int_equal(mv_load32(s.mini.memory + 0x20000), 0x12345678);
    mini_close(&s.mini);
}

static void expect_failure(const struct mv_fake_step *step, const char *words)
{
    const struct mini_guest guest = {.steps = step, .step_count = 1};
    struct mini mini;
    microvm_error err;
    mini_open(&mini, fake, 1, &guest);
    assert_int_equal(mini_run(&mini, &err), MV_HV_FAILED);
    assert_error(err.code, &err, MICROVM_E_HYPERVISOR, words);
    mini_close(&mini);
}

static void wrong_steps_fail_with_a_reason(void **state)
{
    static const struct {
        struct mv_fake_step step;
        const char *words;
    } cases[] = {
        {{0, 0, 0, 0}, "no such step: 0x0"},
        {{99, 0, 0, 0}, "no such step: 0x63"},
        {{MV_FAKE_PIO_WRITE, 3, 0, 0}, "no access has size 0x3"},
        {{MV_FAKE_STORE, 4, MINI_MEMORY_BYTES - 2, 0}, "no memory at 0x3ffffe"},
        {{MV_FAKE_LOAD, 9, 0, 0}, "no memory at"},
        {{MV_FAKE_CHECK, 0, 0, 7}, "check found 0x0"},
        {{MV_FAKE_WAIT_LINE, 0, MV_FAKE_LINES, 0}, "no line 0x18"},
        {{MV_FAKE_START, 0, 0, 0}, "cannot start vCPU 0x0"},
        {{MV_FAKE_FAIL, 0, 0, 0xbad}, "scripted failure 0xbad"},
    };
    (void)state;
    for (size_t i = 0; i < MV_ARRAY_LEN(cases); i++)
        expect_failure(&cases[i].step, cases[i].words);
}

static void memory_is_checked(void **state)
{
    const struct mv_hv_config config = {.cpus = 1, .rung = MV_RUNG_FULL};
    static uint8_t page[8192] __attribute__((aligned(4096)));
    struct mv_hv_vm *vm;
    microvm_error err;
    (void)state;
    assert_ok(mv_fake_ops.vm_open(&config, &vm, &err), &err);
    assert_ok(mv_fake_ops.mem_map(vm, 0x1000, page, 8192, &err), &err);
    assert_error(mv_fake_ops.mem_map(vm, 0x2000, page, 4096, &err), &err,
                 MICROVM_E_HYPERVISOR, "overlaps");
    assert_error(mv_fake_ops.mem_map(vm, 0x8001, page, 4096, &err), &err,
                 MICROVM_E_INVALID, "whole pages");
    assert_error(mv_fake_ops.mem_unmap(vm, 0x1000, 4096, &err), &err, MICROVM_E_INVALID,
                 "0x1000");
    assert_ok(mv_fake_ops.mem_unmap(vm, 0x1000, 8192, &err), &err);
    mv_fake_ops.vm_close(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_for_a_kick_then_goes_on),
        cmocka_unit_test(a_line_is_taken_edge_by_edge),
        cmocka_unit_test(one_vcpu_starts_the_other),
        cmocka_unit_test(wrong_steps_fail_with_a_reason),
        cmocka_unit_test(memory_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
