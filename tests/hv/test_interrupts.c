/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract of hv.h for interrupts into the guest and bells out of it. The same
 * cases for every hypervisor and every rung: the first argument says which.
 */
#include "guests.h"

#include "os/thread.h"
#include "util/bytes.h"

static struct mini_subject subject;

static void mini_start(struct mini *mini, const struct mini_guest *guest)
{
    mini_open(mini, subject, 1, guest);
}

enum { IRQS = 1000 };
#define MSI_ADDRESS 0xfee00000ull

struct irqs {
    struct mini mini;
    void (*raise)(struct irqs *irqs);
    intptr_t fd;
    bool lost;
};

static void raise_all(void *arg)
{
    struct irqs *irqs = arg;
    irqs->lost = !mini_wait(&irqs->mini.said, 1);
    for (unsigned i = 1; i <= IRQS && !irqs->lost; i++) {
        irqs->raise(irqs);
        irqs->lost = !mini_wait(&irqs->mini.ticks, i);
    }
    irqs->mini.hv->vcpu_kick(irqs->mini.vcpu);
}

static void every_irq_arrives(struct irqs *irqs)
{
    uv_thread_t raiser;
    microvm_error err;
    assert_int_equal(mv_thread_start(&raiser, raise_all, irqs), 0);
    assert_int_equal(mini_run(&irqs->mini, &err), MV_HV_KICKED);
    (void)uv_thread_join(&raiser);
    assert_false(irqs->lost);
    assert_int_equal(atomic_load(&irqs->mini.ticks), IRQS);
}

/* On rung 2 the I/O APIC is ours, and here that is only its one programmed pin. */
static void route_pin(struct mini *mini, bool level)
{
    struct mv_hv_route route[MINI_PIN + 1];
    microvm_error err;
    if (subject.rung != MV_RUNG_LOCAL)
        return;
    for (unsigned i = 0; i <= MINI_PIN; i++)
        route[i] = (struct mv_hv_route){.masked = true};
    route[MINI_PIN] = (struct mv_hv_route){MSI_ADDRESS, MINI_VECTOR, false, level};
    assert_ok(mini->hv->irq_routes(mini->vm, route, MINI_PIN + 1, &err), &err);
}

static void raise_msi(struct irqs *irqs)
{
    irqs->mini.hv->irq_msi(irqs->mini.vm, MSI_ADDRESS, MINI_VECTOR);
}

static void a_thousand_msis(void **state)
{
    struct irqs irqs = {.raise = raise_msi};
    (void)state;
    mini_start(&irqs.mini, &guest_of_irq);
    every_irq_arrives(&irqs);
    mini_close(&irqs.mini);
}

static void raise_line(struct irqs *irqs)
{
    irqs->mini.hv->irq_line(irqs->mini.vm, MINI_PIN, true);
    irqs->mini.hv->irq_line(irqs->mini.vm, MINI_PIN, false);
}

static void a_thousand_edges_of_a_line(void **state)
{
    struct irqs irqs = {.raise = raise_line};
    (void)state;
    if (subject.hv == &mv_fake_ops) {
        print_message("skipped: the fake connects no lines to vectors\n");
        skip();
    }
    mini_start(&irqs.mini, &guest_of_irq);
    route_pin(&irqs.mini, false);
    every_irq_arrives(&irqs);
    mini_close(&irqs.mini);
}

static void bell_silent(void *arg)
{
    (void)arg;
}

static void raise_fd(struct irqs *irqs)
{
    struct mv_bell bell = {.fd = irqs->fd};
    mv_bell_ring(&bell);
}

static void a_thousand_writes_to_a_bound_eventfd(void **state)
{
    struct irqs irqs = {.raise = raise_fd};
    struct mv_loop loop;
    struct mv_bell bell; /* an eventfd, where there is such a thing; nobody listens */
    microvm_error err;
    (void)state;
    assert_ok(mv_loop_open(&loop, &err), &err);
    assert_ok(mv_bell_open(&bell, &loop, bell_silent, NULL, &err), &err);
    irqs.fd = bell.fd;
    mini_start(&irqs.mini, &guest_of_irq);
    route_pin(&irqs.mini, false);
    int rc = irqs.mini.hv->irq_bind(irqs.mini.vm, MINI_PIN, irqs.fd, &err);
    if (rc == MICROVM_E_UNSUPPORTED && subject.hv == &mv_fake_ops) {
        print_message("no eventfds: %s\n", err.message);
    } else {
        assert_ok(rc, &err);
        every_irq_arrives(&irqs);
    }
    mini_close(&irqs.mini);
    mv_bell_close(&bell);
    mv_loop_close(&loop);
}

static void raise_level(struct irqs *irqs)
{
    atomic_store(&irqs->mini.eoi, -1);
    irqs->mini.hv->irq_msi(irqs->mini.vm, MSI_ADDRESS, MINI_VECTOR | 1u << 15);
}

static void the_end_of_a_level_interrupt_comes_up(void **state)
{
    struct irqs irqs = {.raise = raise_level};
    (void)state;
    if (subject.rung != MV_RUNG_LOCAL && subject.hv != &mv_fake_ops) {
        print_message("skipped: on rung 3 the I/O APIC that wants to know is KVM's\n");
        skip();
    }
    mini_start(&irqs.mini, &guest_of_irq);
    route_pin(&irqs.mini, true);
    every_irq_arrives(&irqs);
    assert_int_equal(atomic_load(&irqs.mini.eoi), MINI_VECTOR);
    mini_close(&irqs.mini);
}

/* ---- bells ---- */

static void heard(void *arg)
{
    unsigned *times = arg;
    ++*times;
}

static void ring(const struct mini_access *wanted, unsigned count, bool unbind)
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
    assert_ok(mini.hv->bell_bind(mini.vm, gpa, 4, 3, &bell, &err), &err);
    if (unbind) {
        assert_ok(mini.hv->bell_unbind(mini.vm, gpa, 4, 3, &bell, &err), &err);
        assert_int_equal(mini.hv->bell_unbind(mini.vm, gpa, 4, 3, &bell, &err),
                         MICROVM_E_HYPERVISOR);
    }
    mini_run_until(&mini, 'Y');
    mv_loop_turn(&loop);
    mini_expect(&mini, wanted, count);
    assert_int_equal(times, unbind ? 0 : 1);
    mini_close(&mini);
    mv_bell_close(&bell);
    mv_loop_close(&loop);
}

static void a_bell_hears_its_value_only(void **state)
{
    const struct mini_access wanted[] = {{false, true, MINI_DEVICE + 0x50, 4, 4},
                                         {false, true, MINI_DEVICE + 0x50, 3, 2}};
    (void)state;
    ring(wanted, 2, false);
}

static void an_unbound_bell_hears_nothing(void **state)
{
    const struct mini_access wanted[] = {{false, true, MINI_DEVICE + 0x50, 3, 4},
                                         {false, true, MINI_DEVICE + 0x50, 4, 4},
                                         {false, true, MINI_DEVICE + 0x50, 3, 2}};
    (void)state;
    ring(wanted, 3, true);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_msis),
        cmocka_unit_test(a_thousand_edges_of_a_line),
        cmocka_unit_test(a_thousand_writes_to_a_bound_eventfd),
        cmocka_unit_test(the_end_of_a_level_interrupt_comes_up),
        cmocka_unit_test(a_bell_hears_its_value_only),
        cmocka_unit_test(an_unbound_bell_hears_nothing),
    };
    subject = mini_subject(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
