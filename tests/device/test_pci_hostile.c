/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a hostile driver can do on the PCI bus, with devices at work: after each the
 * other device has not noticed, and the driver's own works again when it is set up as
 * it should be.
 */
#include "pcibed.h"

enum { COMMAND_LIVE = PCI_MEMORY | PCI_MASTER | PCI_INTX_OFF };

static struct pcibed *bed_open(void)
{
    static struct pcibed bed;
    pcibed_open(&bed);
    assert_int_equal(pcibed_bells(&bed), 4);
    return &bed;
}

static void bed_works(struct pcibed *bed)
{
    for (unsigned i = 0; i < PCIBED_CARDS; i++)
        for (unsigned q = 0; q < PCIBED_QUEUES; q++) {
            unsigned rung = bed->card[i].rung;
            pcibed_ask(&bed->card[i], q);
            assert_int_equal(bed->card[i].rung, rung + 1); /* by its bell */
            assert_int_equal(bed->card[i].failures, 0);
        }
}

static uint64_t bar(const struct pcibed_card *card)
{
    return card->driver.pci.bar; /* as probed */
}

static void move(struct pcibed_card *card, uint64_t gpa)
{
    pcidriver_move_bar(&card->bed->rig.driver, card->slot, 0, gpa);
}

/* A request whose notification goes through the window in configuration space. */
static void ask_by_window(struct pcibed_card *card)
{
    pcibed_submit(card, 1);
    vdriver_window_write(&card->driver, MV_VPCI_NOTIFY + MV_VPCI_NOTIFY_STEP, 2, 1);
    pcibed_turn(card->bed);
    assert_true(pcibed_answered(card, 1));
}

/* Over RAM, interrupt controllers, ECAM, and beyond all: the memory stays
 * what it is, the bells are gone, the device works on. */
static void a_bar_over_everything(void **state)
{
    struct pcibed *bed = bed_open();
    struct pcibed_card *card = &bed->card[0];
    const uint64_t place[] = {0,
                              0x8000,
                              0x100000,
                              PCIRIG_RAM_END - 0x8000,
                              PCIRIG_CHIP,
                              PCIRIG_ECAM,
                              PCIRIG_ECAM + MV_PCI_ECAM_SIZE - 0x8000,
                              0xfec00000,
                              0xfee00000,
                              PCIRIG_ABOVE - 0x8000,
                              PCIRIG_END,
                              1ull << 63,
                              UINT64_MAX & ~0x7fffull};
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(place); i++) {
        uint64_t at = place[i] + MV_VPCI_NOTIFY;
        const uint8_t *memory = mv_ram_at(&bed->ram, place[i], MV_VPCI_BAR_SIZE);
        uint8_t before = memory ? *memory : 0;
        uint64_t kicks = card->dev->kicks;
        move(card, place[i]);
        assert_int_equal(pcibed_bells(bed), 2);
        pcidriver_store(&bed->rig.driver, at, 2, 0);
        pcidriver_store(&bed->rig.driver, place[i] + 0x14, 1, 0); /* no reset */
        pcibed_turn(bed);
        assert_int_equal(card->dev->kicks, kicks);
        assert_true(!memory || *memory == before);
        ask_by_window(card);
        move(card, bar(card));
        assert_int_equal(pcibed_bells(bed), 4);
    }
    card->messages = 0;
    bed_works(bed);
    pcibed_close(bed);
}

/* The lower slot answers, at its own bells too, which are not bound there. */
static void a_bar_over_another(void **state)
{
    struct pcibed *bed = bed_open();
    struct pcibed_card *low = &bed->card[0], *high = &bed->card[1];
    const uint64_t shift[] = {0, MV_VPCI_BAR_SIZE};
    (void)state;
    move(high, bar(low));
    assert_int_equal(pcibed_bells(bed), 0);
    pcibed_ask(low, 0); /* comes up, and is rung by the transport */
    assert_int_equal(low->rung, 0);
    ask_by_window(high);
    high->messages = 0;
    assert_int_equal(vdriver_read(&low->driver, VREG_STATUS), 15);
    vdriver_write(&low->driver, VREG_STATUS, 0); /* resets the one and not the other */
    assert_int_equal(mv_vdev_status(low->dev), 0);
    assert_int_equal(mv_vdev_status(high->dev), 15);
    move(high, bar(high));
    assert_true(vdriver_start(&low->driver, ~MV_F_EVENT_IDX));
    bed_works(bed);
    /* The other way round, and out of each other's way again. */
    for (unsigned i = 0; i < MV_ARRAY_LEN(shift); i++) {
        move(low, bar(high) + shift[i]);
        assert_int_equal(pcibed_bells(bed), shift[i] ? 4 : 0);
    }
    move(low, bar(low));
    bed_works(bed);
    pcibed_close(bed);
}

/* The table and the pending bits at every offset and width, compared with a model. */
static void writes_to_the_table(void **state)
{
    struct pcibed *bed = bed_open();
    struct pcibed_card *card = &bed->card[0];
    const struct vdriver *d = &card->driver;
    enum { BYTES = 16 * (PCIBED_QUEUES + 1) };
    static const uint8_t writable[16] = {0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                         0xff, 0xff, 0xff, 0xff, 0x01, 0,    0,    0};
    uint8_t model[BYTES + 16];
    (void)state;
    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned at = 0; at < BYTES + 8; at++) {
            uint64_t value = 0x123456789abcdef0ull * (at + 1) + size;
            memset(model, 0, sizeof model);
            for (unsigned i = 0; i < BYTES; i++)
                model[i] = (uint8_t)d->bus->read(d->chip, MV_VPCI_TABLE + i, 1);
            for (unsigned i = at; i < at + size && i < BYTES; i++) {
                uint8_t byte = (uint8_t)(value >> (8 * (i - at)));
                model[i] = (uint8_t)((model[i] & ~writable[i % 16]) |
                                     (byte & writable[i % 16]));
            }
            d->bus->write(d->chip, MV_VPCI_TABLE + at, size, value);
            for (unsigned i = 0; i + 8 <= BYTES + 8; i += 8)
                assert_int_equal(d->bus->read(d->chip, MV_VPCI_TABLE + i, 8),
                                 mv_load64(model + i));
        }
    for (unsigned at = 0; at < 0x2000; at += 8) { /* read-only */
        d->bus->write(d->chip, MV_VPCI_PENDING + at, 8, UINT64_MAX);
        assert_int_equal(d->bus->read(d->chip, MV_VPCI_PENDING + at, 8), 0);
    }
    assert_int_equal(card->sent, 0);
    vdriver_pci_enable(d);
    bed_works(bed);
    pcibed_close(bed);
}

/* Rings and buffers in BARs, ECAM, and beyond all: that device fails, alone. */
static void queues_outside_memory(void **state)
{
    struct pcibed *bed = bed_open();
    struct pcibed_card *card = &bed->card[0];
    struct vdriver *d = &card->driver;
    const uint64_t place[] = {bar(card),  bar(&bed->card[1]),    PCIRIG_ECAM,
                              PCIBED_RAM, PCIBED_RAM - 8,        PCIRIG_HIGH,
                              0xfee00000, UINT64_MAX & ~0xfffull};
    (void)state;
    for (unsigned i = 0; i < 4 * MV_ARRAY_LEN(place); i++) {
        struct vdriver_queue *vq = &d->queue[0];
        unsigned failures = card->failures;
        d->heap.at = 1 << 20;
        assert_true(vdriver_negotiate(d, ~MV_F_EVENT_IDX));
        vdriver_queue_open(vq, &d->heap, 16, false);
        const struct vdriver_queue good = *vq;
        if (i % 4 < 3)
            *(uint64_t *[]){&vq->desc, &vq->avail, &vq->used}[i % 4] = place[i / 4];
        vdriver_announce(d, 0);
        vdriver_write(d, VREG_STATUS, 15);
        *vq = good;
        if (i % 4 == 3) {
            const struct vdriver_buffer buffer = {place[i / 4], 64, true};
            (void)vdriver_add(vq, &buffer, 1);
            (void)vdriver_publish(vq);
            vdriver_write(d, VREG_QUEUE_NOTIFY, 0);
            pcibed_turn(bed);
        }
        assert_int_equal(card->failures, failures + 1);
        assert_int_equal(vdriver_read(d, VREG_STATUS), 15 | 64);
        pcibed_ask(&bed->card[1], 0);
    }
    d->heap.at = 1 << 20;
    assert_true(vdriver_start(d, ~MV_F_EVENT_IDX));
    card->messages = 0;
    pcibed_ask(card, 1);
    pcibed_close(bed);
}

/* Every offset of the notification area at every width, but where queues have bells. */
static void notifies_queues_that_are_not(void **state)
{
    struct pcibed *bed = bed_open();
    struct pcibed_card *card = &bed->card[0];
    const struct vdriver *d = &card->driver;
    uint64_t kicks = card->dev->kicks;
    (void)state;
    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned at = 1; at < 0x1000; at++)
            if (at != MV_VPCI_NOTIFY_STEP)
                d->bus->write(d->chip, MV_VPCI_NOTIFY + at, size, at);
    pcibed_turn(bed);
    assert_int_equal(card->dev->kicks, kicks);
    for (uint32_t q = 0; q < 0x10000; q += 0xfff) /* it is the place that counts */
        d->bus->write(d->chip, MV_VPCI_NOTIFY, 4, q << 16 | q);
    pcibed_turn(bed);
    assert_int_equal(vdriver_read(d, VREG_STATUS), 15);
    bed_works(bed);
    pcibed_close(bed);
}

/* Bus mastering off: nothing of the guest's memory is touched, no message is sent.
 * Memory off: nobody is there, the device works on. */
static void commands_while_it_works(void **state)
{
    struct pcibed *bed = bed_open();
    struct pcibed_card *card = &bed->card[0];
    const struct pcidriver *d = &bed->rig.driver;
    (void)state;
    pcidriver_command(d, card->slot, 0, PCI_MASTER);
    pcibed_submit(card, 0);
    vdriver_write(&card->driver, VREG_QUEUE_NOTIFY, 0);
    pcibed_turn(bed);
    assert_false(pcibed_answered(card, 0));
    assert_int_equal(card->sent, 0);
    pcibed_ask(&bed->card[1], 0);
    pcidriver_command(d, card->slot, PCI_MASTER, 0);
    pcibed_turn(bed);
    assert_true(pcibed_answered(card, 0));
    assert_int_equal(card->sent, 1);
    assert_int_equal(atomic_exchange(&card->messages, 0), 2);
    /* Reset and started while it is no bus master: works when it is one. */
    pcidriver_command(d, card->slot, 0, PCI_MASTER);
    assert_true(vdriver_start(&card->driver, ~MV_F_EVENT_IDX));
    pcibed_submit(card, 1);
    vdriver_write(&card->driver, VREG_QUEUE_NOTIFY, 1);
    pcibed_turn(bed);
    assert_false(pcibed_answered(card, 1));
    pcidriver_command(d, card->slot, PCI_MASTER, PCI_MEMORY);
    pcibed_turn(bed);
    assert_true(pcibed_answered(card, 1));
    assert_int_equal(pcibed_bells(bed), 2);
    assert_int_equal(vdriver_read(&card->driver, VREG_STATUS), 0xff);
    ask_by_window(card);
    for (unsigned i = 0; i < 0x800; i++) /* any command, often */
        pcidriver_write(d, card->slot, PCI_COMMAND, 2, i * 0x9e37 & 0xffff);
    pcidriver_write(d, card->slot, PCI_COMMAND, 2, COMMAND_LIVE);
    card->messages = 0;
    bed_works(bed);
    pcibed_close(bed);
}

/* The window of 4.1.4.9 aimed at anything, with any length. */
static void the_window_aimed_at_anything(void **state)
{
    struct pcibed *bed = bed_open();
    struct pcibed_card *card = &bed->card[0];
    const struct vdriver *d = &card->driver;
    const uint32_t offset[] = {
        MV_VPCI_ISR,       MV_VPCI_DEVICE, MV_VPCI_BAR_SIZE - 4, MV_VPCI_BAR_SIZE,
        MV_VPCI_TABLE + 2, 0x7fffffff,     UINT32_MAX,           UINT32_MAX - 3};
    const uint32_t length[] = {0, 1, 2, 3, 4, 5, 8, 0x8000, 0x10000, UINT32_MAX};
    const unsigned at = d->pci.window_at;
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(offset); i++)
        for (unsigned j = 0; j < MV_ARRAY_LEN(length); j++)
            for (unsigned number = 0; number < 256; number += 51) {
                vdriver_pci_write(d, at + 4, 1, number); /* which BAR */
                vdriver_pci_write(d, at + 8, 4, offset[i]);
                vdriver_pci_write(d, at + 12, 4, length[j]);
                (void)vdriver_pci_read(d, at + 16, 4);
                (void)vdriver_pci_read(d, at + 18, 2);
                vdriver_pci_write(d, at + 17, 1, 0xff);
            }
    assert_int_equal(vdriver_window_read(d, 0x14, 1), 15); /* its status */
    vdriver_pci_enable(d);
    card->messages = 0;
    bed_works(bed);
    pcibed_close(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bar_over_everything),
        cmocka_unit_test(a_bar_over_another),
        cmocka_unit_test(writes_to_the_table),
        cmocka_unit_test(queues_outside_memory),
        cmocka_unit_test(notifies_queues_that_are_not),
        cmocka_unit_test(commands_while_it_works),
        cmocka_unit_test(the_window_aimed_at_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
