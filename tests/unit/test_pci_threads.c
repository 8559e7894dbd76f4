/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * vCPUs at once: one moves a card over others and away, switches decoding and pins;
 * another moves its small BAR through the other mechanism and reads back what it wrote;
 * others work with cards that stay, one above and one below, and a device asserts its
 * pin. Cards trap when an end or a beginning is told twice, lines when a level is.
 */
#include "check.h"
#include "pcirig.h"

#include "os/thread.h"

enum { FIRST = 2, MOVING = 10, LAST = 18, LINE = PCIRIG_GSI + 2 };
enum { MOVES = 4000, DURATION_MS = 500 }; /* at least, both */

struct bed {
    struct pcirig rig;
    struct pcicard first, moving, last;
    uint64_t first_place, last_place;
    _Atomic bool ended;
    _Atomic unsigned first_answers, last_answers;
};

/* Over the first card, over the last one, over nobody, over RAM, and off and on. */
static void mover(void *arg)
{
    struct bed *bed = arg;
    const struct pcidriver d = bed->rig.driver;
    const uint64_t place[] = {bed->first_place, bed->last_place, PCIRIG_HIGH, 0x100000};
    uint64_t end = uv_hrtime() + DURATION_MS * 1000000ull;
    for (unsigned i = 0; i < MOVES || uv_hrtime() < end || bed->first_answers == 0 ||
                         bed->last_answers == 0;
         i++) {
        pcidriver_move_bar(&d, MOVING, 0, place[i % 4]);
        if (i % 3 == 0)
            pcidriver_command(&d, MOVING, i & 1 ? PCI_MEMORY : PCI_INTX_OFF,
                              i & 1 ? PCI_INTX_OFF : PCI_MEMORY);
    }
    bed->ended = true;
}

/* The first card has the lowest slot: nobody can take its place from it. */
static void first_user(void *arg)
{
    struct bed *bed = arg;
    const struct pcidriver d = bed->rig.driver;
    uint32_t count = 0;
    while (!bed->ended) {
        pcidriver_store(&d, bed->first_place + 8, 4, ++count);
        MV_ASSERT(pcidriver_load(&d, bed->first_place + 8, 4) == count);
        bed->first_answers++;
    }
}

/* The last one's place may have been taken by a BAR of the moving one, which answers
 * then. Each card's first bytes say which one it is. */
static void last_user(void *arg)
{
    struct bed *bed = arg;
    const struct pcidriver d = bed->rig.driver;
    while (!bed->ended) {
        uint64_t who = pcidriver_load(&d, bed->last_place, 2);
        MV_ASSERT(who == LAST || who == MOVING);
        bed->last_answers += who == LAST;
    }
}

static void config_user(void *arg)
{
    struct bed *bed = arg;
    struct pcidriver d = bed->rig.driver;
    d.ports = true;
    for (uint64_t i = 0; !bed->ended; i++) {
        pcidriver_move_bar(&d, MOVING, 2, bed->last_place + i % 32 * 0x100);
        pcidriver_write(&d, MOVING, PCI_LINE, 1, (uint32_t)i & 0xff);
        MV_ASSERT(pcidriver_read(&d, MOVING, PCI_LINE, 1) == (i & 0xff));
        MV_ASSERT(pcidriver_read(&d, LAST, PCI_DEVICE, 2) == 0xca00 + LAST);
        pcidriver_write(&d, LAST, bed->last.capability + 4, 4, 0x5a5a5a5a);
        MV_ASSERT(pcidriver_read(&d, LAST, bed->last.capability + 4, 4) == 0x5a5a5a5a);
        MV_ASSERT(pcidriver_bar(&d, LAST, 0) == bed->last_place);
    }
}

static void device(void *arg)
{
    struct bed *bed = arg;
    for (unsigned i = 0; !bed->ended; i++) {
        mv_pci_intx(&bed->moving.f, i & 1);
        mv_pci_intx(&bed->last.f, i & 2);
    }
    mv_pci_intx(&bed->moving.f, true);
    mv_pci_intx(&bed->last.f, false);
}

static struct pcicard *bed_card(struct bed *bed, struct pcicard *card, unsigned slot)
{
    pcicard_open(card, &bed->rig, slot);
    mv_store16(card->memory, (uint16_t)slot);
    pcidriver_command(&bed->rig.driver, slot, PCI_MEMORY, 0);
    return card;
}

static void cards_move_under_load(void **state)
{
    static struct bed bed;
    uv_thread_cb user[] = {mover, first_user, last_user, config_user, device};
    uv_thread_t thread[MV_ARRAY_LEN(user)];
    (void)state;
    pcirig_open(&bed.rig);
    bed.first_place = bed_card(&bed, &bed.first, FIRST)->place[0];
    bed_card(&bed, &bed.moving, MOVING);
    bed.last_place = bed_card(&bed, &bed.last, LAST)->place[0];
    for (unsigned i = 0; i < MV_ARRAY_LEN(user); i++)
        assert_int_equal(mv_thread_start(&thread[i], user[i], &bed), 0);
    for (unsigned i = 0; i < MV_ARRAY_LEN(user); i++)
        assert_int_equal(uv_thread_join(&thread[i]), 0);
    assert_true(bed.first.moves > 2 && bed.last.moves > 2 && bed.moving.moves > 2);
    /* What is there in the end is what the registers say. */
    bool off = pcidriver_read(&bed.rig.driver, MOVING, PCI_COMMAND, 2) & PCI_INTX_OFF;
    assert_int_equal(bed.rig.line[LINE].level, !off);
    pcidriver_command(&bed.rig.driver, MOVING, 0, PCI_MEMORY | PCI_INTX_OFF);
    assert_true(bed.rig.line[LINE].level);
    assert_int_equal(bed.first.place[0], bed.first_place);
    assert_int_equal(bed.last.place[0], bed.last_place);
    pcicard_close(&bed.moving);
    assert_false(bed.rig.line[LINE].level);
    pcicard_close(&bed.first);
    pcicard_close(&bed.last);
    pcirig_close(&bed.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cards_move_under_load)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
