/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract of hv.h for interrupts into the guest. The same cases for every
 * hypervisor and every rung: the first argument says which.
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
static void route_to(struct mini *mini, uint8_t vector, bool masked, bool level)
{
    struct mv_hv_route route[MINI_PIN + 1];
    microvm_error err;
    for (unsigned i = 0; i <= MINI_PIN; i++)
        route[i] = (struct mv_hv_route){.masked = true};
    route[MINI_PIN] = (struct mv_hv_route){MSI_ADDRESS, vector, masked, level};
    assert_ok(mini->hv->irq_routes(mini->vm, route, MINI_PIN + 1, &err), &err);
}

static void route_pin(struct mini *mini, bool level)
{
    if (subject.rung == MV_RUNG_LOCAL)
        route_to(mini, MINI_VECTOR, false, level);
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

/* A bell that nobody listens to: an eventfd, where there is such a thing. */
static void silent_open(struct irqs *irqs, struct mv_loop *loop, struct mv_bell *bell)
{
    microvm_error err;
    assert_ok(mv_loop_open(loop, &err), &err);
    assert_ok(mv_bell_open(bell, loop, bell_silent, NULL, &err), &err);
    irqs->fd = bell->fd;
    mini_start(&irqs->mini, &guest_of_irq);
    route_pin(&irqs->mini, false);
}

static void silent_close(struct irqs *irqs, struct mv_loop *loop, struct mv_bell *bell)
{
    mini_close(&irqs->mini);
    mv_bell_close(bell);
    mv_loop_close(loop);
}

static void a_thousand_writes_to_a_bound_eventfd(void **state)
{
    struct irqs irqs = {.raise = raise_fd};
    struct mv_loop loop;
    struct mv_bell bell;
    microvm_error err;
    (void)state;
    silent_open(&irqs, &loop, &bell);
    int rc = irqs.mini.hv->irq_bind(irqs.mini.vm, MINI_PIN, irqs.fd, &err);
    if (rc == MICROVM_E_UNSUPPORTED && subject.hv == &mv_fake_ops) {
        print_message("no eventfds: %s\n", err.message);
    } else {
        assert_ok(rc, &err);
        every_irq_arrives(&irqs);
    }
    silent_close(&irqs, &loop, &bell);
}

/* ---- messages ---- */

enum { MESSAGE = 300 };

static void no_messages_here(void)
{
    if (subject.hv->msi_bind)
        return;
    print_message("skipped: no messages can be bound; irq_msi serves\n");
    skip();
}

static void message_bind(struct irqs *irqs, unsigned index, uint32_t vector)
{
    microvm_error err;
    assert_ok(irqs->mini.hv->msi_bind(irqs->mini.vm, index, irqs->fd, MSI_ADDRESS,
                                      vector, &err),
              &err);
}

static void message_unbind(struct irqs *irqs, unsigned index)
{
    microvm_error err;
    assert_ok(irqs->mini.hv->msi_unbind(irqs->mini.vm, index, irqs->fd, &err), &err);
}

static void a_thousand_writes_to_a_message(void **state)
{
    struct irqs irqs = {.raise = raise_fd};
    struct mv_loop loop;
    struct mv_bell bell;
    (void)state;
    no_messages_here();
    silent_open(&irqs, &loop, &bell);
    message_bind(&irqs, MESSAGE, MINI_VECTOR);
    every_irq_arrives(&irqs);
    silent_close(&irqs, &loop, &bell);
}

/* The lines are in the same table as the messages. */
static void lines_go_on_beside_messages(void **state)
{
    struct irqs irqs = {.raise = raise_line};
    struct mv_loop loop;
    struct mv_bell bell;
    (void)state;
    no_messages_here();
    silent_open(&irqs, &loop, &bell);
    message_bind(&irqs, MESSAGE, MINI_VECTOR);
    every_irq_arrives(&irqs);
    silent_close(&irqs, &loop, &bell);
}

struct retargeter {
    struct irqs irqs;
    atomic_bool over;
    atomic_uint times;
};

static void retarget_on(void *arg)
{
    struct retargeter *r = arg;
    while (!atomic_load(&r->over)) {
        (void)r->irqs.mini.hv->msi_bind(
            r->irqs.mini.vm, MESSAGE, r->irqs.fd, MSI_ADDRESS,
            atomic_fetch_add(&r->times, 1) % 2 ? MINI_VECTOR : MINI_VECTOR_OTHER, NULL);
    }
}

/* Now and then the other thread gets its turn, also where there is little time. */
static void raise_retargeted(struct irqs *irqs)
{
    struct retargeter *r = MV_CONTAINER(irqs, struct retargeter, irqs);
    if (atomic_load(&irqs->mini.ticks) % 50 == 0)
        irqs->lost = !mini_wait(&r->times, atomic_load(&r->times) + 1);
    raise_fd(irqs);
}

/* Each write is one interrupt, wherever the message points while it comes. */
static void a_message_retargeted_while_it_fires(void **state)
{
    struct retargeter r = {.irqs = {.raise = raise_retargeted}};
    struct mv_loop loop;
    struct mv_bell bell;
    uv_thread_t thread;
    (void)state;
    no_messages_here();
    silent_open(&r.irqs, &loop, &bell);
    message_bind(&r.irqs, MESSAGE, MINI_VECTOR);
    assert_int_equal(mv_thread_start(&thread, retarget_on, &r), 0);
    every_irq_arrives(&r.irqs);
    atomic_store(&r.over, true);
    (void)uv_thread_join(&thread);
    print_message("retargeted %u times\n", r.times);
    assert_true(r.times > IRQS / 50);
    silent_close(&r.irqs, &loop, &bell);
}

/* Each third interrupt is sent as another message, then the fd is unbound and bound to
 * another index. */
static void raise_changing(struct irqs *irqs)
{
    unsigned n = atomic_load(&irqs->mini.ticks);
    message_bind(irqs, n, n % 3 ? MINI_VECTOR : MINI_VECTOR_OTHER);
    raise_fd(irqs);
    irqs->lost |= !mini_wait(&irqs->mini.ticks, n + 1) ||
                  atomic_load(&irqs->mini.last) != (n % 3 ? 't' : 'u');
    message_unbind(irqs, n);
}

static void raise_few(void *arg)
{
    struct irqs *irqs = arg;
    irqs->lost = !mini_wait(&irqs->mini.said, 1);
    for (unsigned i = 0; i < MV_HV_MESSAGES_MAX && !irqs->lost; i++)
        raise_changing(irqs);
    raise_fd(irqs); /* bound to nothing now */
    (void)uv_sleep(20);
    irqs->mini.hv->vcpu_kick(irqs->mini.vcpu);
}

static void every_message_goes_where_it_is_bound(void **state)
{
    struct irqs irqs = {.fd = -1};
    struct mv_loop loop;
    struct mv_bell bell;
    uv_thread_t raiser;
    microvm_error err;
    (void)state;
    no_messages_here();
    silent_open(&irqs, &loop, &bell);
    assert_int_equal(mv_thread_start(&raiser, raise_few, &irqs), 0);
    assert_int_equal(mini_run(&irqs.mini, &err), MV_HV_KICKED);
    (void)uv_thread_join(&raiser);
    assert_false(irqs.lost);
    assert_int_equal(atomic_load(&irqs.mini.ticks), MV_HV_MESSAGES_MAX);
    assert_error(irqs.mini.hv->msi_unbind(irqs.mini.vm, 0, irqs.fd, &err), &err,
                 MICROVM_E_INVALID, "message 0 is not bound");
    assert_error(irqs.mini.hv->msi_bind(irqs.mini.vm, MV_HV_MESSAGES_MAX, irqs.fd,
                                        MSI_ADDRESS, MINI_VECTOR, &err),
                 &err, MICROVM_E_INVALID, "message 512");
    silent_close(&irqs, &loop, &bell);
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

static void mask_pin(struct mini *mini)
{
    route_to(mini, MINI_VECTOR_OTHER, true, true);
}

static void raise_unmasked_level(struct irqs *irqs)
{
    route_to(&irqs->mini, MINI_VECTOR_OTHER, false, true);
    atomic_store(&irqs->mini.eoi, -1);
    irqs->mini.hv->irq_msi(irqs->mini.vm, MSI_ADDRESS, MINI_VECTOR_OTHER | 1u << 15);
}

/* Linux masks a pin before it ends the interrupt, where a thread of its own handles it
 * or it is on its way to another processor. */
static void the_end_of_a_masked_one_comes_up_too(void **state)
{
    struct irqs irqs = {.raise = raise_unmasked_level};
    (void)state;
    if (subject.rung != MV_RUNG_LOCAL || subject.hv == &mv_fake_ops) {
        print_message("skipped: there are no routes of ours\n");
        skip();
    }
    mini_start(&irqs.mini, &guest_of_irq);
    irqs.mini.in_service = mask_pin;
    every_irq_arrives(&irqs);
    assert_int_equal(atomic_load(&irqs.mini.eoi), MINI_VECTOR_OTHER);
    mini_close(&irqs.mini);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_msis),
        cmocka_unit_test(a_thousand_edges_of_a_line),
        cmocka_unit_test(a_thousand_writes_to_a_bound_eventfd),
        cmocka_unit_test(a_thousand_writes_to_a_message),
        cmocka_unit_test(lines_go_on_beside_messages),
        cmocka_unit_test(a_message_retargeted_while_it_fires),
        cmocka_unit_test(every_message_goes_where_it_is_bound),
        cmocka_unit_test(the_end_of_a_level_interrupt_comes_up),
        cmocka_unit_test(the_end_of_a_masked_one_comes_up_too),
    };
    subject = mini_subject(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
