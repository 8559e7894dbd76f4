/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Guests that need a real processor, or KVM's idea of one: real mode, long mode, CPUID,
 * and two vCPUs that start and interrupt each other.
 */
#include "guests.h"

#include "os/thread.h"

static struct mini_subject subject;

static void says_yes(const struct mini_guest *guest, unsigned bytes)
{
    struct mini mini;
    mini_open(&mini, subject, 1, guest);
    mini_run_until(&mini, 'Y');
    assert_int_equal(atomic_load(&mini.said), bytes);
    mini_close(&mini);
}

static void real_mode_says_hi(void **state)
{
    (void)state;
    says_yes(&guest_of_hi, 3);
}

static void long_mode_computes(void **state)
{
    (void)state;
    says_yes(&guest_of_long, 1);
}

static void cpuid_is_that_of_a_kvm_guest(void **state)
{
    (void)state;
    says_yes(&guest_of_cpuid, 1);
}

struct second {
    struct mini mini;
    struct mv_hv_vcpu *vcpu;
    atomic_uint opened, kicked;
    enum mv_hv_exit exit;
    microvm_error err;
};

static void second_run(void *arg)
{
    struct second *s = arg;
    microvm_error err;
    int rc = s->mini.hv->vcpu_open(s->mini.vm, 1, &s->vcpu, &err);
    atomic_store(&s->opened, 1);
    if (rc) {
        s->exit = MV_HV_FAILED;
        s->err = err;
        return;
    }
    s->exit = s->mini.hv->vcpu_run(s->vcpu, &s->err);
    (void)mini_wait(&s->kicked, 1);
    s->mini.hv->vcpu_close(s->vcpu);
}

static void second_end(struct second *s, uv_thread_t *thread)
{
    if (s->vcpu)
        s->mini.hv->vcpu_kick(s->vcpu);
    atomic_store(&s->kicked, 1);
    (void)uv_thread_join(thread);
    if (s->exit != MV_HV_KICKED)
        print_error("second vCPU: exit %d, %s\n", s->exit, s->err.message);
    assert_int_equal(s->exit, MV_HV_KICKED);
}

/* A vCPU that the guest has not started yet can be kicked too. */
static void a_waiting_vcpu_can_be_kicked(void **state)
{
    struct second s = {.exit = MV_HV_HALT};
    uv_thread_t thread;
    (void)state;
    mini_open(&s.mini, subject, 2, &guest_of_spin);
    assert_int_equal(mv_thread_start(&thread, second_run, &s), 0);
    assert_true(mini_wait(&s.opened, 1));
    (void)uv_sleep(20);
    second_end(&s, &thread);
    mini_close(&s.mini);
}

static void one_vcpu_starts_and_interrupts_the_other(void **state)
{
    struct second s = {.exit = MV_HV_HALT};
    uv_thread_t thread;
    microvm_error err;
    (void)state;
    mini_open(&s.mini, subject, 2, &guest_of_smp);
    assert_int_equal(mv_thread_start(&thread, second_run, &s), 0);
    assert_true(mini_wait(&s.opened, 1));
    (void)mini_run(&s.mini, &err);
    second_end(&s, &thread);
    assert_int_equal(atomic_load(&s.mini.last), 'Y');
    mini_close(&s.mini);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_mode_says_hi),
        cmocka_unit_test(long_mode_computes),
        cmocka_unit_test(cpuid_is_that_of_a_kvm_guest),
        cmocka_unit_test(a_waiting_vcpu_can_be_kicked),
        cmocka_unit_test(one_vcpu_starts_and_interrupts_the_other),
    };
    subject = mini_subject(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
