/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract of hv.h without interrupts: kicks, accesses, state, ends, many machines.
 * The same cases for every hypervisor and every rung: the first argument says which.
 */
#include "guests.h"

#include "os/thread.h"
#include "util/bytes.h"

#include <dirent.h>
#include <stdio.h>

static struct mini_subject subject;

static void mini_start(struct mini *mini, const struct mini_guest *guest)
{
    mini_open(mini, subject, 1, guest);
}

/* ---- kicks ---- */

static void a_kick_before_the_run_ends_it(void **state)
{
    struct mini mini;
    microvm_error err;
    (void)state;
    mini_start(&mini, &guest_of_spin);
    for (unsigned i = 0; i < 3; i++)
        mini.hv->vcpu_kick(mini.vcpu);
    assert_int_equal(mini_run(&mini, &err), MV_HV_KICKED);
    assert_int_equal(mini.hv->vcpu_counts(mini.vcpu)->kicks, 1);
    mini_close(&mini);
}

static void kick_when_it_has_spoken(void *arg)
{
    struct mini *mini = arg;
    if (mini_wait(&mini->said, 1))
        (void)uv_sleep(20); /* it is in its loop, or in its halt, by now */
    mini->hv->vcpu_kick(mini->vcpu);
}

static void kick_during(const struct mini_guest *guest)
{
    struct mini mini;
    microvm_error err;
    uv_thread_t kicker;
    mini_start(&mini, guest);
    assert_int_equal(mv_thread_start(&kicker, kick_when_it_has_spoken, &mini), 0);
    assert_int_equal(mini_run(&mini, &err), MV_HV_KICKED);
    assert_int_equal(atomic_load(&mini.said), 1);
    (void)uv_thread_join(&kicker);
    mini_close(&mini);
}

static void a_kick_ends_a_busy_guest(void **state)
{
    (void)state;
    kick_during(&guest_of_spin);
}

static void a_kick_ends_a_halt(void **state)
{
    (void)state;
    kick_during(&guest_of_halt);
}

enum { KICKS = 10000 };

struct kicker {
    struct mini mini;
    atomic_uint wanted;   /* kicks asked for */
    atomic_uint answered; /* the latest `wanted` that a returned run has seen */
    bool in_step;         /* each kick waits for the answer to the one before */
    bool lost;
};

static void kick_many(void *arg)
{
    struct kicker *k = arg;
    for (unsigned i = 1; i <= KICKS && !k->lost; i++) {
        atomic_store(&k->wanted, i);
        k->mini.hv->vcpu_kick(k->mini.vcpu);
        if (k->in_step || i == KICKS)
            k->lost = !mini_wait(&k->answered, i);
    }
    if (k->lost) { /* so that the run ends: the order of wanted and kick is turned */
        atomic_store(&k->wanted, KICKS);
        k->mini.hv->vcpu_kick(k->mini.vcpu);
    }
}

/* A kick is lost when no run returns after it: the kicker then waits in vain. */
static void no_kick_is_lost(bool in_step)
{
    struct kicker k = {.in_step = in_step};
    microvm_error err;
    uv_thread_t kicker;
    mini_start(&k.mini, &guest_of_spin);
    assert_int_equal(mv_thread_start(&kicker, kick_many, &k), 0);
    while (atomic_load(&k.answered) < KICKS) {
        assert_int_equal(mini_run(&k.mini, &err), MV_HV_KICKED);
        atomic_store(&k.answered, atomic_load(&k.wanted));
    }
    (void)uv_thread_join(&kicker);
    assert_false(k.lost);
    assert_in_range(k.mini.hv->vcpu_counts(k.mini.vcpu)->kicks, in_step ? KICKS : 1,
                    KICKS);
    mini_close(&k.mini);
}

static void ten_thousand_kicks_one_by_one(void **state)
{
    (void)state;
    no_kick_is_lost(true);
}

static void ten_thousand_kicks_at_once(void **state)
{
    (void)state;
    no_kick_is_lost(false);
}

/* ---- accesses ---- */

static void ports_of_every_width(void **state)
{
    const struct mini_access wanted[] = {
        {true, true, MINI_PORT, 0xd4, 1},       {true, true, MINI_PORT, 0xc3d4, 2},
        {true, true, MINI_PORT, 0xa1b2c3d4, 4}, {true, false, MINI_PORT, 0, 1},
        {true, false, MINI_PORT, 0, 2},         {true, false, MINI_PORT, 0, 4},
        {true, true, MINI_PORT, 'a', 1},        {true, true, MINI_PORT, 'b', 1},
        {true, true, MINI_PORT, 'c', 1},        {true, false, MINI_PORT, 0, 2},
        {true, false, MINI_PORT, 0, 2},
    };
    struct mini mini;
    (void)state;
    mini_start(&mini, &guest_of_ports);
    mini_run_until(&mini, 'Y');
    mini_expect(&mini, wanted, MV_ARRAY_LEN(wanted));
    assert_true(mini.hv->vcpu_counts(mini.vcpu)->pio >= 7);
    mini_close(&mini);
}

static void device_memory_of_every_width(void **state)
{
    const struct mini_access wanted[] = {
        {false, true, MINI_DEVICE, 0x18, 1},
        {false, true, MINI_DEVICE + 2, 0x0718, 2},
        {false, true, MINI_DEVICE + 4, 0xe5f60718, 4},
        {false, true, MINI_DEVICE + 8, 0xa1b2c3d4e5f60718, 8},
        {false, false, MINI_DEVICE, 0, 1},
        {false, false, MINI_DEVICE + 2, 0, 2},
        {false, false, MINI_DEVICE + 4, 0, 4},
        {false, false, MINI_DEVICE + 8, 0, 8},
        {false, false, MINI_DEVICE + 16, 0, 1},
        {false, true, MINI_DEVICE + 0xffd, 0x0718, 2},
        {false, true, MINI_DEVICE + 0xfff, 0xf6, 1},
        {false, true, MINI_DEVICE + 0x1000, 0xb2c3d4e5, 4},
        {false, true, MINI_DEVICE + 0x1004, 0xa1, 1},
    };
    struct mini mini;
    (void)state;
    mini_start(&mini, &guest_of_mmio);
    mini_run_until(&mini, 'Y');
    mini_expect(&mini, wanted, MV_ARRAY_LEN(wanted));
    assert_true(mini.hv->vcpu_counts(mini.vcpu)->mmio >= 9);
    mini_close(&mini);
}

/* ---- state ---- */

static void state_comes_back_as_it_was_set(void **state)
{
    const unsigned all =
        MV_CPU_GENERAL | MV_CPU_SYSTEM | MV_CPU_LAPIC | MV_CPU_RUNNABLE;
    struct mv_x86_cpu set = {.rip = 0}, got = {.rip = 0};
    struct mini mini;
    microvm_error err;
    (void)state;
    mini_start(&mini, &guest_of_spin);
    assert_ok(mini.hv->vcpu_get(mini.vcpu, all, &set, &err), &err);
    for (unsigned i = 0; i < 16; i++)
        set.gpr[i] = 0x1111111111111111ull * i + 1;
    set.rip = 0x12345678;
    set.rflags = 0x246;
    set.cr2 = 0xdeadb000;
    set.fs.base = 0x7f0012345000;
    set.tr = (struct mv_x86_segment){
        .base = 0x600, .limit = 0x67, .selector = 24, .type = 11, .present = true};
    set.gdt.limit = 31;
    set.idt = (struct mv_x86_table){0x6000, 0xfff};
    set.runnable = MV_CPU_HALTED;
    assert_ok(mini.hv->vcpu_set(mini.vcpu, all, &set, &err), &err);
    assert_ok(mini.hv->vcpu_get(mini.vcpu, all, &got, &err), &err);
    assert_memory_equal(&set, &got, sizeof set);
    mini_close(&mini);
}

static void a_mask_leaves_the_rest_alone(void **state)
{
    struct mv_x86_cpu cpu, other;
    struct mini mini;
    microvm_error err;
    (void)state;
    mini_start(&mini, &guest_of_spin);
    memset(&cpu, 0xee, sizeof cpu);
    assert_ok(mini.hv->vcpu_get(mini.vcpu, MV_CPU_GENERAL, &cpu, &err), &err);
    assert_int_equal(cpu.rip, MINI_CODE);
    assert_int_equal(cpu.cr3, 0xeeeeeeeeeeeeeeee);
    assert_int_equal(cpu.lapic[0x30], 0xee);
    cpu.rip = 0x4321;
    assert_ok(mini.hv->vcpu_set(mini.vcpu, MV_CPU_GENERAL, &cpu, &err), &err);
    assert_ok(mini.hv->vcpu_get(mini.vcpu, MV_CPU_SYSTEM, &other, &err), &err);
    assert_int_equal(other.cs.selector, 8);
    /* No address is no address: the APIC stays where it is. */
    other.apic_base = 0;
    assert_ok(mini.hv->vcpu_set(mini.vcpu, MV_CPU_SYSTEM, &other, &err), &err);
    assert_ok(mini.hv->vcpu_get(mini.vcpu, MV_CPU_GENERAL | MV_CPU_SYSTEM, &cpu, &err),
              &err);
    assert_int_equal(cpu.rip, 0x4321);
    assert_int_equal(cpu.apic_base & ~0xfffull, 0xfee00000);
    mini_close(&mini);
}

/* ---- ends ---- */

static void a_triple_fault_is_a_shutdown(void **state)
{
    struct mini mini;
    microvm_error err;
    (void)state;
    mini_start(&mini, &guest_of_shutdown);
    assert_int_equal(mini_run(&mini, &err), MV_HV_SHUTDOWN);
    mini_close(&mini);
}

static void running_where_nothing_is_fails_with_the_place(void **state)
{
    struct mini mini;
    microvm_error err;
    (void)state;
    mini_start(&mini, &guest_of_nowhere);
    enum mv_hv_exit exit = mini_run(&mini, &err);
    print_message("%s\n", err.message);
    assert_int_equal(exit, MV_HV_FAILED);
    assert_error(err.code, &err, MICROVM_E_HYPERVISOR, "d0000123");
    mini_close(&mini);
}

/* ---- many ---- */

static void two_machines_do_not_see_each_other(void **state)
{
    struct mini a, b;
    (void)state;
    mini_start(&a, &guest_of_ports);
    mini_start(&b, &guest_of_mmio);
    a.memory[0x30000] = 1;
    mini_run_until(&b, 'Y');
    mini_run_until(&a, 'Y');
    assert_int_equal(a.accesses, 11);
    assert_int_equal(b.accesses, 13);
    assert_int_equal(b.memory[0x30000], 0);
    mini_close(&a);
    mini_close(&b);
}

/* Entries of a folder, or lines of a file of /proc; 0 where there is none. */
static unsigned count_fds(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        count++;
    if (dir)
        (void)closedir(dir);
    return count;
}

static unsigned count_mappings(void)
{
    unsigned count = 0;
    int c;
    FILE *file = fopen("/proc/self/maps", "r");
    while (file && (c = fgetc(file)) != EOF)
        count += c == '\n';
    if (file)
        (void)fclose(file);
    return count;
}

static void a_hundred_machines_leave_nothing(void **state)
{
    struct mini mini;
    unsigned fds = 0, mappings = 0;
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        mini_start(&mini, &guest_of_ports);
        mini_run_until(&mini, 'Y');
        mini_close(&mini);
        if (i == 9) { /* what libraries keep, they have by now */
            fds = count_fds();
            mappings = count_mappings();
        }
    }
    assert_int_equal(count_fds(), fds);
    assert_in_range(count_mappings(), 0, mappings + 2); /* the heap may grow */
}

static void wrong_configurations_are_refused(void **state)
{
    struct mv_hv_config config = {.cpus = 0, .rung = subject.rung};
    struct mv_hv_vm *vm = NULL;
    microvm_error err;
    (void)state;
    assert_error(subject.hv->vm_open(&config, &vm, &err), &err, MICROVM_E_INVALID,
                 "cpus: 0");
    config.cpus = 100000;
    assert_error(subject.hv->vm_open(&config, &vm, &err), &err, MICROVM_E_INVALID,
                 "cpus: 100000");
    config = (struct mv_hv_config){.cpus = 1, .rung = MV_RUNG_NONE};
    assert_error(subject.hv->vm_open(&config, &vm, &err), &err, MICROVM_E_UNSUPPORTED,
                 "rung 1");
    assert_null(vm);
}

static void the_clock_goes_on_from_where_it_is_set(void **state)
{
    struct mini mini;
    microvm_error err;
    uint64_t before, after;
    (void)state;
    mini_start(&mini, &guest_of_halt);
    assert_ok(mini.hv->clock_get(mini.vm, &before, &err), &err);
    (void)uv_sleep(100);
    assert_ok(mini.hv->clock_get(mini.vm, &after, &err), &err);
    assert_true(after >= before + 100000000);
    assert_ok(mini.hv->clock_set(mini.vm, before, &err), &err);
    assert_ok(mini.hv->clock_get(mini.vm, &after, &err), &err);
    assert_in_range(after, before, before + 90000000);
    mini_close(&mini);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kick_before_the_run_ends_it),
        cmocka_unit_test(a_kick_ends_a_busy_guest),
        cmocka_unit_test(a_kick_ends_a_halt),
        cmocka_unit_test(ten_thousand_kicks_one_by_one),
        cmocka_unit_test(ten_thousand_kicks_at_once),
        cmocka_unit_test(ports_of_every_width),
        cmocka_unit_test(device_memory_of_every_width),
        cmocka_unit_test(state_comes_back_as_it_was_set),
        cmocka_unit_test(a_mask_leaves_the_rest_alone),
        cmocka_unit_test(a_triple_fault_is_a_shutdown),
        cmocka_unit_test(running_where_nothing_is_fails_with_the_place),
        cmocka_unit_test(two_machines_do_not_see_each_other),
        cmocka_unit_test(a_hundred_machines_leave_nothing),
        cmocka_unit_test(wrong_configurations_are_refused),
        cmocka_unit_test(the_clock_goes_on_from_where_it_is_set),
    };
    subject = mini_subject(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
