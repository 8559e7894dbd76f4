/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What only PCI can do to a device, the same cases for every type: bus mastering taken
 * away, a BAR that moves, the window instead of the BAR, messages masked and kept, and
 * a driver that writes anything anywhere in BAR and configuration space.
 */
#include "life.h"

#include "core/state.h"
#include "util/bytes.h"

static void life_command(struct life *t, uint16_t value)
{
    vdriver_pci_write(&t->rig.driver, PCI_COMMAND, 2, value);
}

static void is_a_function_of_its_type(void **state)
{
    struct life *t = life_open(state);
    const struct vdriver *d = &t->rig.driver;
    assert_int_equal(vdriver_pci_read(d, PCI_DEVICE, 2), 0x1040 + t->type->id);
    unsigned vectors = t->type->vectors ? t->type->vectors : t->type->queues + 1;
    assert_int_equal(d->pci.vectors, vectors);
    assert_int_equal(d->pci.device.bytes > 0, t->type->config_bytes > 0);
    assert_int_equal(d->bus->read(d->chip, d->pci.common.at + 0x12, 2),
                     t->type->queues);
    life_close(t);
}

static void sleeps_without_bus_mastering(void **state)
{
    struct life *t = life_open(state);
    unsigned q = t->type->request_queue;
    uint16_t head;
    uint32_t written;
    life_start(t);
    for (unsigned i = 0; i < 3; i++) {
        life_ask(t);
        life_command(t, PCI_MEMORY);
        assert_int_equal(t->rig.dev->life, MV_VDEV_ASLEEP);
        assert_int_equal(life_status(t), RUNNING);
        (void)life_add(t);
        vdriver_kick(&t->rig.driver, q);
        vrig_turn(&t->rig);
        assert_false(vdriver_reap(life_queue(t), &head, &written));
        life_command(t, PCI_MEMORY | PCI_MASTER);
        assert_int_equal(t->rig.dev->life, MV_VDEV_LIVE);
        assert_true(vrig_wait_used(&t->rig, q, &head, &written));
    }
    life_command(t, PCI_MEMORY); /* in flight */
    (void)life_add(t);
    life_command(t, PCI_MEMORY | PCI_MASTER);
    life_command(t, PCI_MEMORY);
    vdriver_reset(&t->rig.driver);
    life_expect_new(t);
    life_start(t); /* DRIVER_OK before it is a master */
    assert_int_equal(t->rig.dev->life, MV_VDEV_ASLEEP);
    life_command(t, PCI_MEMORY | PCI_MASTER);
    life_ask(t);
    assert_int_equal(t->rig.failures, 0);
    life_close(t);
}

static void works_wherever_its_bar_is(void **state)
{
    struct life *t = life_open(state);
    struct vdriver *d = &t->rig.driver;
    life_start(t);
    for (unsigned i = 0; i < 10; i++) {
        uint16_t head = life_add(t), back;
        uint32_t written;
        d->pci.bar = VRIG_WINDOW + 0x100000 + 0x8000ull * (i * 3 % 7);
        pcidriver_move_bar(&d->pci.host, VRIG_SLOT, 0, d->pci.bar);
        vdriver_kick(d, t->type->request_queue);
        assert_true(vrig_wait_used(&t->rig, t->type->request_queue, &back, &written));
        assert_int_equal(back, head);
    }
    life_command(t, PCI_MASTER); /* memory off: it works on, but nobody reaches it */
    assert_int_equal(life_status(t), 0xff);
    assert_int_equal(t->rig.dev->life, MV_VDEV_LIVE);
    life_command(t, PCI_MASTER | PCI_MEMORY);
    life_ask(t);
    life_close(t);
}

static uint64_t window_read(void *chip, uint64_t at, unsigned size)
{
    return vdriver_window_read(chip, (uint32_t)at, size);
}

static void window_write(void *chip, uint64_t at, unsigned size, uint64_t value)
{
    vdriver_window_write(chip, (uint32_t)at, size, (uint32_t)value);
}

static void works_through_the_window(void **state)
{
    static const struct mv_bus_ops window = {window_read, window_write};
    struct life *t = life_open(state);
    struct vdriver real = t->rig.driver;
    life_command(t, PCI_MASTER);
    t->rig.driver.bus = &window;
    t->rig.driver.chip = &real;
    life_start(t);
    for (unsigned i = 0; i < 20; i++)
        life_ask(t);
    vdriver_reset(&t->rig.driver);
    life_expect_new(t);
    life_close(t);
}

/* Masked, asked for again and again, retargeted, unmasked; also across a save. */
static void keeps_messages_until_unmasked(void **state)
{
    struct life *t = life_open(state);
    struct vdriver *d = &t->rig.driver;
    uint32_t entry = d->pci.table + 16 * vdriver_vector(d, t->type->request_queue);
    struct mv_writer w;
    microvm_error err;
    life_start(t);
    d->bus->write(d->chip, entry + 12, 4, 1);
    for (unsigned i = 0; i < 3; i++) {
        (void)vdriver_listen(life_queue(t));
        life_ask(t);
    }
    bool msix = t->rig.transport == VRIG_PCI;
    for (unsigned ms = 0; msix && ms < 1000; ms++) { /* a device may take its time */
        if (d->bus->read(d->chip, d->pci.pending, 4))
            break;
        uv_sleep(1);
        vrig_turn(&t->rig);
    }
    life_await_pulses(t, !msix); /* the pin knows no masks */
    d->bus->write(d->chip, entry + 8, 4, 0x99);
    mv_writer_open(&w, 8192);
    mv_vdev_sleep(t->rig.dev);
    vrig_save(&t->rig, &w);
    assert_false(w.failed);
    life_replace(t);
    struct mv_reader r = {.data = w.data, .length = w.length};
    assert_ok(vrig_load(&t->rig, &r, &err), &err);
    mv_writer_close(&w);
    mv_vdev_wake(t->rig.dev);
    unsigned pulses = t->rig.pulses;
    assert_int_equal(d->bus->read(d->chip, entry + 8, 4), 0x99);
    d->bus->write(d->chip, entry + 12, 4, 0);
    assert_int_equal(t->rig.pulses, pulses + msix);
    assert_true(vdriver_interrupt(d) & USED); /* a device may announce itself besides */
    assert_int_equal(vdriver_interrupt(d), 0);
    pulses = t->rig.pulses;
    (void)vdriver_listen(life_queue(t));
    life_ask(t);
    life_await_pulses(t, pulses + 1);
    assert_int_equal(vdriver_interrupt(d), USED);
    life_close(t);
}

/* Anything anywhere in the function, at every width. The host stands it, and a driver
 * that begins anew has its device. */
static void stands_anything(void **state)
{
    static const uint64_t value[] = {UINT64_MAX, 0, 0x5555555555555555, 1, 4, 15};
    struct life *t = life_open(state);
    struct vdriver *d = &t->rig.driver;
    for (unsigned i = 0; i < MV_ARRAY_LEN(value); i++) {
        life_start(t);
        for (unsigned size = 1; size <= 8; size *= 2) {
            for (uint64_t at = 0; at < d->pci.bar_bytes;
                 at += at % 0x1000 < 64 ? 1 : 97)
                d->bus->write(d->chip, at, size, value[i]);
            for (unsigned at = 0; at < 256; at++)
                vdriver_pci_write(d, at, MV_MIN(size, 4u), (uint32_t)value[i]);
        }
        vrig_turn(&t->rig);
        vdriver_pci_enable(d);
        vdriver_reset(d);
        life_expect_new(t);
        t->rig.messages = 0;
    }
    life_start(t);
    life_ask(t);
    life_close(t);
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
        LIFE(is_a_function_of_its_type),     LIFE(sleeps_without_bus_mastering),
        LIFE(works_wherever_its_bar_is),     LIFE(works_through_the_window),
        LIFE(keeps_messages_until_unmasked), LIFE(stands_anything),
    };
    return life_main(cases, MV_ARRAY_LEN(cases), VRIG_PCI);
}
