/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The PCI transport's registers with the plainest device there can be: identity,
 * every register at every width, vectors, pin and ISR register.
 */
#include "vpci_rig.h"

/* -- the function -- */

static void says_what_it_is(void **state)
{
    struct rig *rig = *state;
    const struct vdriver_function *f = &rig->v.driver.pci;
    assert_int_equal(config(rig, PCI_VENDOR, 2), 0x1af4);
    assert_int_equal(config(rig, PCI_DEVICE, 2), 0x1040 + 42);
    assert_int_equal(config(rig, PCI_REVISION, 4), 0x00ff0001);
    assert_int_equal(config(rig, PCI_SUBVENDOR, 2), 0x1af4);
    assert_true(config(rig, PCI_SUBDEVICE, 2) >= 0x40);
    assert_int_equal(config(rig, PCI_PIN, 1), 1);
    assert_int_equal(f->bar_bytes, 0x8000);
    assert_int_equal(f->vectors, QUEUES + 1);
    assert_int_equal(f->notify_step, 4);
    /* Each part in pages of its own. */
    const uint32_t at[] = {f->common.at, f->isr.at, f->device.at,
                           f->notify.at, f->table,  f->pending};
    for (size_t i = 0; i < MV_ARRAY_LEN(at); i++) {
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(at[i] >> 12, at[j] >> 12);
    }
}

/* -- registers -- */

static const struct {
    uint8_t at, size;
    bool writable;
    uint32_t value; /* after a reset */
} registers[] = {
    {0x00, 4, true, 0},  {0x04, 4, false, 3u << 28}, {0x08, 4, true, 0},
    {0x0c, 4, true, 0},  {0x10, 2, true, NO_VECTOR}, {0x12, 2, false, QUEUES},
    {0x14, 1, true, 0},  {0x15, 1, false, 0},        {0x16, 2, true, 0},
    {0x18, 2, true, 16}, {0x1a, 2, true, NO_VECTOR}, {0x1c, 2, true, 0},
    {0x1e, 2, false, 0}, {0x20, 4, true, 0},         {0x24, 4, true, 0},
    {0x28, 4, true, 0},  {0x2c, 4, true, 0},         {0x30, 4, true, 0},
    {0x34, 4, true, 0},
};

static bool is_register(uint64_t at, unsigned size)
{
    for (size_t i = 0; i < MV_ARRAY_LEN(registers); i++) {
        if (registers[i].at == at && registers[i].size == size)
            return true;
    }
    return false;
}

static void every_register_reads_as_specified(void **state)
{
    struct rig *rig = *state;
    vdriver_reset(&rig->v.driver);
    for (size_t i = 0; i < MV_ARRAY_LEN(registers); i++)
        assert_int_equal(get(rig, registers[i].at, registers[i].size),
                         registers[i].value);
    put(rig, 0x00, 4, 1);
    assert_int_equal(get(rig, 0x04, 4), 1);
    put(rig, 0x00, 4, 2);
    assert_int_equal(get(rig, 0x00, 4), 2);
    assert_int_equal(get(rig, 0x04, 4), 0);
    put(rig, QUEUE_SELECT, 2, 1);
    assert_int_equal(get(rig, QUEUE_NOTIFY_OFF, 2), 1);
    put(rig, QUEUE_SELECT, 2, QUEUES);
    assert_int_equal(get(rig, QUEUE_SIZE, 2), 0);
    put(rig, QUEUE_VECTOR, 2, 1);
    assert_int_equal(get(rig, QUEUE_VECTOR, 2), NO_VECTOR);
}

/* Of the common configuration, the ISR register and what lies between. */
static void other_widths_mean_nothing(void **state)
{
    struct rig *rig = *state;
    struct vdriver *d = &rig->v.driver;
    uint32_t before[MV_ARRAY_LEN(registers)];
    start(rig);
    for (size_t i = 0; i < MV_ARRAY_LEN(registers); i++)
        before[i] = get(rig, registers[i].at, registers[i].size);
    make_config(rig); /* sets the ISR register */
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (uint64_t at = 0; at < MV_VPCI_DEVICE - 8; at++) {
            bool isr = at == MV_VPCI_ISR && size == 1;
            if (is_register(at, size) || isr)
                continue;
            assert_int_equal(d->bus->read(d->chip, at, size), 0);
            if (size == 8 && at > 0x40)
                continue; /* the same, but slow */
            d->bus->write(d->chip, at, size, 0);
            d->bus->write(d->chip, at, size, UINT64_MAX);
            d->bus->write(d->chip, at, size, 1);
        }
    }
    for (size_t i = 0; i < MV_ARRAY_LEN(registers); i++)
        assert_int_equal(get(rig, registers[i].at, registers[i].size), before[i]);
    assert_int_equal(get(rig, MV_VPCI_ISR, 1), CONFIG);
    assert_int_equal(ask(rig, 1), 1);
}

static void read_only_registers_stay(void **state)
{
    struct rig *rig = *state;
    start(rig);
    for (size_t i = 0; i < MV_ARRAY_LEN(registers); i++) {
        if (registers[i].writable)
            continue;
        uint32_t was = get(rig, registers[i].at, registers[i].size);
        put(rig, registers[i].at, registers[i].size, UINT32_MAX);
        put(rig, registers[i].at, registers[i].size, 0);
        assert_int_equal(get(rig, registers[i].at, registers[i].size), was);
    }
    put(rig, QUEUE_SELECT, 2, 0);
    put(rig, QUEUE_ENABLE, 2, 0); /* what a driver must not do */
    assert_int_equal(get(rig, QUEUE_ENABLE, 2), 1);
    assert_int_equal(ask(rig, 0), 1);
}

static void queue_addresses_have_halves(void **state)
{
    struct rig *rig = *state;
    assert_true(vdriver_negotiate(&rig->v.driver, UINT64_MAX));
    put(rig, QUEUE_SELECT, 2, 1);
    for (uint32_t at = QUEUE_DESC; at < COMMON_END; at += 8) {
        put(rig, at + 4, 4, at + 1);
        put(rig, at, 4, at);
        assert_int_equal(get(rig, at, 4), at);
        assert_int_equal(get(rig, at + 4, 4), at + 1);
    }
    const struct mv_vq_config *c = &rig->v.dev->vq[1].config;
    assert_true(c->desc == 0x2100000020 && c->driver == 0x2900000028 &&
                c->device == 0x3100000030);
    assert_int_equal(rig->v.dev->vq[0].config.desc, 0);
}

/* A driver that is content with the queue's size need not write it. */
static void queues_have_a_size_from_the_start(void **state)
{
    struct rig *rig = *state;
    struct vdriver *d = &rig->v.driver;
    assert_true(vdriver_negotiate(d, UINT64_MAX));
    vdriver_queue_open(&d->queue[0], &d->heap, 16, true);
    vdriver_write64(d, VREG_QUEUE_DESC, d->queue[0].desc);
    vdriver_write64(d, VREG_QUEUE_DRIVER, d->queue[0].avail);
    vdriver_write64(d, VREG_QUEUE_DEVICE, d->queue[0].used);
    put(rig, QUEUE_ENABLE, 2, 1);
    vdriver_write(d, VREG_STATUS, RUNNING);
    assert_int_equal(ask(rig, 0), 0); /* and has chosen no vector */
    vdriver_reset(d);
    assert_int_equal(get(rig, QUEUE_SIZE, 2), 16);
}

static void notification_rings_one_bell(void **state)
{
    struct rig *rig = *state;
    uint64_t notify = rig->v.driver.pci.notify.at;
    start(rig);
    for (unsigned size = 1; size <= 8; size *= 2) {
        uint64_t kicks = rig->v.dev->kicks;
        put(rig, notify + 4, size, 77); /* only the place counts */
        vrig_turn(&rig->v);
        assert_int_equal(rig->v.dev->kicks, kicks + 1);
        assert_int_equal(get(rig, notify + 4, size), 0);
    }
    uint64_t kicks = rig->v.dev->kicks;
    for (uint64_t at = 0; at < 0x1000; at++) {
        if (at != 0 && at != 4)
            put(rig, notify + at, 1, 0);
    }
    vrig_turn(&rig->v);
    assert_int_equal(rig->v.dev->kicks, kicks);
}

/* -- vectors -- */

static void vectors_are_given_and_refused(void **state)
{
    struct rig *rig = *state;
    for (uint32_t at = CONFIG_VECTOR; at <= QUEUE_VECTOR; at += 10) {
        for (uint32_t v = 0; v <= QUEUES; v++) {
            put(rig, at, 2, v);
            assert_int_equal(get(rig, at, 2), v);
        }
        for (uint32_t v = QUEUES + 1; v < 0x10000; v += 997) {
            put(rig, at, 2, 0);
            put(rig, at, 2, v);
            assert_int_equal(get(rig, at, 2), NO_VECTOR);
        }
    }
    put(rig, CONFIG_VECTOR, 2, 1);
    put(rig, QUEUE_VECTOR, 2, 1);
    vdriver_reset(&rig->v.driver);
    assert_int_equal(get(rig, CONFIG_VECTOR, 2), NO_VECTOR);
    assert_int_equal(get(rig, QUEUE_VECTOR, 2), NO_VECTOR);
}

static void each_queue_has_its_vector(void **state)
{
    struct rig *rig = *state;
    start(rig);
    rig->v.messages = 0;
    for (unsigned q = 0; q < QUEUES; q++) {
        assert_int_equal(ask(rig, q), 1);
        assert_int_equal(atomic_exchange(&rig->v.messages, 0), 2u << q);
    }
    make_config(rig);
    assert_int_equal(atomic_exchange(&rig->v.messages, 0), 1);
    assert_int_equal(get(rig, MV_VPCI_ISR, 1), CONFIG); /* 4.1.4.5.1 */
    assert_int_equal(get(rig, MV_VPCI_ISR, 1), 0);
    put(rig, QUEUE_SELECT, 2, 0); /* while at work: shared, then none */
    put(rig, QUEUE_VECTOR, 2, 2);
    assert_int_equal(ask(rig, 0), 1);
    assert_int_equal(atomic_exchange(&rig->v.messages, 0), 4);
    put(rig, QUEUE_VECTOR, 2, NO_VECTOR);
    assert_int_equal(ask(rig, 0), 0);
    assert_int_equal(get(rig, MV_VPCI_ISR, 1), 0);
    assert_false(rig->v.pin);
}

static void masked_messages_wait(void **state)
{
    struct rig *rig = *state;
    const struct vdriver_function *f = &rig->v.driver.pci;
    start(rig);
    put(rig, f->table + 16 + 12, 4, 1);
    assert_int_equal(ask(rig, 0), 0);
    assert_int_equal(ask(rig, 0), 0);
    assert_int_equal(ask(rig, 1), 1);
    assert_int_equal(get(rig, f->pending, 4), 2);
    unsigned pulses = rig->v.pulses;
    put(rig, f->table + 16 + 12, 4, 0);
    assert_int_equal(rig->v.pulses, pulses + 1);
    assert_int_equal(get(rig, f->pending, 4), 0);
    vdriver_pci_write(&rig->v.driver, f->msix_at + 2, 2, 0xc000); /* function mask */
    assert_int_equal(ask(rig, 0), 0);
    vdriver_pci_write(&rig->v.driver, f->msix_at + 3, 1, 0x80); /* by its byte */
    assert_int_equal(rig->v.pulses, pulses + 2);
    put(rig, f->table + 16 + 12, 4, 1);
    assert_int_equal(ask(rig, 0), 0);
    vdriver_reset(&rig->v.driver); /* 2.4.1: nothing of before comes afterwards */
    put(rig, f->table + 16 + 12, 4, 0);
    assert_int_equal(rig->v.pulses, pulses + 2);
}

/* Queues that are told of at once, and share a vector: one message. */
static void a_shared_vector_sends_once(void **state)
{
    struct rig *rig = *state;
    const struct mv_vdev_transport *t = &rig->v.dev->transport;
    start(rig);
    unsigned pulses = rig->v.pulses;
    t->signal(t->transport, 3);
    assert_int_equal(rig->v.pulses, pulses + 2);
    assert_int_equal(atomic_exchange(&rig->v.messages, 0), 6);
    put(rig, QUEUE_SELECT, 2, 1);
    put(rig, QUEUE_VECTOR, 2, 1);
    t->signal(t->transport, 3);
    assert_int_equal(rig->v.pulses, pulses + 3);
    assert_int_equal(atomic_exchange(&rig->v.messages, 0), 2);
    put(rig, QUEUE_VECTOR, 2, NO_VECTOR);
    t->signal(t->transport, 2);
    assert_int_equal(rig->v.pulses, pulses + 3);
}

/* -- the pin -- */

static void isr_holds_the_pin(void **state)
{
    struct rig *rig = *state;
    start(rig);
    make_used(rig, 0);
    make_used(rig, 1);
    assert_true(rig->v.pin);
    assert_int_equal(rig->v.pulses, 1);
    assert_true(config(rig, PCI_STATUS, 2) & PCI_STATUS_INTX);
    make_config(rig);
    assert_int_equal(get(rig, MV_VPCI_ISR, 1), USED | CONFIG);
    assert_false(rig->v.pin);
    assert_false(config(rig, PCI_STATUS, 2) & PCI_STATUS_INTX);
    assert_int_equal(get(rig, MV_VPCI_ISR, 1), 0);
    make_used(rig, 0);
    assert_int_equal(rig->v.pulses, 2);
    vdriver_reset(&rig->v.driver);
    assert_false(rig->v.pin);
    assert_int_equal(get(rig, MV_VPCI_ISR, 1), 0);
}

static void interrupt_disable_keeps_the_pin_down(void **state)
{
    struct rig *rig = *state;
    start(rig);
    command(rig, PCI_MEMORY | PCI_MASTER | PCI_INTX_OFF);
    make_used(rig, 0);
    assert_false(rig->v.pin);
    assert_true(config(rig, PCI_STATUS, 2) & PCI_STATUS_INTX);
    command(rig, PCI_MEMORY | PCI_MASTER);
    assert_true(rig->v.pin);
    assert_int_equal(get(rig, MV_VPCI_ISR, 1), USED);
    assert_false(rig->v.pin);
}

static void messages_take_over_from_the_pin(void **state)
{
    struct rig *rig = *state;
    struct vdriver *d = &rig->v.driver;
    start(rig);
    make_used(rig, 0);
    assert_true(rig->v.pin);
    vdriver_pci_write(d, d->pci.msix_at + 2, 2, 0x8000);
    assert_false(rig->v.pin);
    make_used(rig, 0); /* it has no vector */
    assert_false(rig->v.pin);
    vdriver_pci_write(d, d->pci.msix_at + 2, 2, 0);
    assert_true(rig->v.pin); /* the ISR register has not been read */
    assert_int_equal(get(rig, MV_VPCI_ISR, 1), USED);
    assert_false(rig->v.pin);
}

/* A message has told of it: the pin is for what comes while MSI-X is off. */
static void the_pin_repeats_no_message(void **state)
{
    struct rig *rig = *state;
    struct vdriver *d = &rig->v.driver;
    start(rig);
    vdriver_pci_write(d, d->pci.msix_at + 2, 2, 0x8000);
    make_config(rig);
    vdriver_pci_write(d, d->pci.msix_at + 2, 2, 0);
    assert_false(rig->v.pin);
    assert_false(config(rig, PCI_STATUS, 2) & PCI_STATUS_INTX);
    assert_int_equal(get(rig, MV_VPCI_ISR, 1), 0);
    make_config(rig);
    assert_true(rig->v.pin);
    /* What the pin has told and nobody has read is told again, and no less. */
    vdriver_pci_write(d, d->pci.msix_at + 2, 2, 0x8000);
    assert_false(rig->v.pin);
    make_config(rig);
    vdriver_pci_write(d, d->pci.msix_at + 2, 2, 0);
    assert_true(rig->v.pin);
    assert_int_equal(get(rig, MV_VPCI_ISR, 1), CONFIG);
    assert_false(rig->v.pin);
    /* Reading forgets both: the next one is the pin's again. */
    vdriver_pci_write(d, d->pci.msix_at + 2, 2, 0x8000);
    make_config(rig);
    assert_int_equal(get(rig, MV_VPCI_ISR, 1), CONFIG);
    vdriver_pci_write(d, d->pci.msix_at + 2, 2, 0);
    make_config(rig);
    assert_true(rig->v.pin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(says_what_it_is),
        T(every_register_reads_as_specified),
        T(other_widths_mean_nothing),
        T(read_only_registers_stay),
        T(queue_addresses_have_halves),
        T(queues_have_a_size_from_the_start),
        T(notification_rings_one_bell),
        T(vectors_are_given_and_refused),
        T(each_queue_has_its_vector),
        T(masked_messages_wait),
        T(a_shared_vector_sends_once),
        PIN(isr_holds_the_pin),
        PIN(interrupt_disable_keeps_the_pin_down),
        PIN(messages_take_over_from_the_pin),
        PIN(the_pin_repeats_no_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
