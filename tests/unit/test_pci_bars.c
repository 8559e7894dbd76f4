/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * BARs: sized and moved, on and off, laid over everything that a hostile guest can lay
 * them over.
 */
#include "check.h"
#include "pcirig.h"

struct bed {
    struct pcirig rig;
    struct pcicard low, high; /* in slots 2 and 3 */
};

enum { LOW = 2, HIGH = 3 };

static int bed_open(void **state)
{
    static struct bed bed;
    pcirig_open(&bed.rig);
    pcicard_open(&bed.low, &bed.rig, LOW);
    pcicard_open(&bed.high, &bed.rig, HIGH);
    *state = &bed;
    return 0;
}

static int bed_close(void **state)
{
    struct bed *bed = *state;
    pcicard_close(&bed->low);
    pcicard_close(&bed->high);
    pcirig_close(&bed->rig);
    return 0;
}

/* Whether an access at this place reaches this card, in both directions. Where none of
 * them answers, all ones are read. */
static bool answers(struct bed *bed, struct pcicard *card, uint64_t gpa)
{
    unsigned reads = card->reads, writes = card->writes;
    unsigned all = bed->low.reads + bed->high.reads;
    uint64_t value = pcidriver_load(&bed->rig.driver, gpa, 4);
    if (bed->low.reads + bed->high.reads == all)
        assert_int_equal(value, 0xffffffff);
    pcidriver_store(&bed->rig.driver, gpa, 4, 0x01020304);
    assert_int_equal(card->reads - reads, card->writes - writes);
    return card->reads > reads;
}

static void sizes(void **state)
{
    struct bed *bed = *state;
    const struct pcidriver *d = &bed->rig.driver;
    const uint64_t expected[MV_PCI_BARS] = {0x1000, 0, 0x100, 0, 0, 0};
    for (int ports = 0; ports < 2; ports++) {
        bed->rig.driver.ports = ports;
        assert_true(pcidriver_bar_wide(d, LOW, 0));
        assert_false(pcidriver_bar_wide(d, LOW, 2));
        for (unsigned bar = 0; bar < MV_PCI_BARS; bar++)
            if (bar != 1) /* the upper half of BAR 0 */
                assert_int_equal(pcidriver_bar_size(d, LOW, bar), expected[bar]);
    }
    /* The whole register, with its type. */
    pcidriver_move_bar(d, LOW, 0, UINT64_MAX);
    assert_int_equal(pcidriver_read(d, LOW, PCI_BAR0, 4), 0xfffff004);
    assert_int_equal(pcidriver_read(d, LOW, PCI_BAR0 + 4, 4), 0xffffffff);
    pcidriver_move_bar(d, LOW, 2, UINT64_MAX);
    assert_int_equal(pcidriver_read(d, LOW, PCI_BAR0 + 8, 4), 0xffffff00);
}

static void homes_are_apart(void **state)
{
    struct bed *bed = *state;
    const struct pcidriver *d = &bed->rig.driver;
    uint64_t place[4], size[4];
    for (unsigned i = 0; i < 4; i++) {
        place[i] = pcidriver_bar(d, LOW + i / 2, i % 2 * 2);
        size[i] = pcidriver_bar_size(d, LOW + i / 2, i % 2 * 2);
        assert_int_equal(place[i] % size[i], 0);
        assert_true(mv_inside(place[i], size[i], PCIRIG_LOW, PCIRIG_LOW_SIZE));
        for (unsigned j = 0; j < i; j++)
            assert_false(mv_overlap(place[i], size[i], place[j], size[j]));
    }
}

static void memory_enable_is_obeyed(void **state)
{
    struct bed *bed = *state;
    const struct pcidriver *d = &bed->rig.driver;
    uint64_t place = pcidriver_bar(d, LOW, 0), narrow = pcidriver_bar(d, LOW, 2);
    assert_false(answers(bed, &bed->low, place));
    assert_int_equal(bed->low.place[0], MV_PCI_NOWHERE);
    pcidriver_command(d, LOW, PCI_MEMORY, 0);
    assert_int_equal(bed->low.place[0], place);
    assert_int_equal(bed->low.place[2], narrow);
    assert_true(answers(bed, &bed->low, place));
    assert_true(answers(bed, &bed->low, place + 0xffc));
    assert_true(answers(bed, &bed->low, narrow + 0xfc));
    assert_false(answers(bed, &bed->low, narrow + 0xfe)); /* over its end */
    assert_int_equal(bed->high.moves, 0);
    pcidriver_command(d, LOW, 0, PCI_MEMORY);
    assert_int_equal(bed->low.place[0], MV_PCI_NOWHERE);
    assert_false(answers(bed, &bed->low, place));
    assert_int_equal(bed->low.moves, 4);
}

static void every_width_reaches_the_card(void **state)
{
    struct bed *bed = *state;
    const struct pcidriver *d = &bed->rig.driver;
    uint64_t place = pcidriver_bar(d, LOW, 0);
    pcidriver_command(d, LOW, PCI_MEMORY, 0);
    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned i = 0; i < 16; i++) {
            uint64_t value = 0x8877665544332211 & mv_size_mask(size);
            memset(bed->low.memory, 0, sizeof bed->low.memory);
            pcidriver_store(d, place + 0x100 + i, size, UINT64_MAX << 8 | 0x11);
            pcidriver_store(d, place + 0x100 + i, size, value);
            assert_memory_equal(bed->low.memory + 0x100 + i, &value, size);
            assert_int_equal(bed->low.memory[0x100 + i + size], 0);
            assert_int_equal(pcidriver_load(d, place + 0x100 + i, size), value);
        }
}

static void moves(void **state)
{
    struct bed *bed = *state;
    const struct pcidriver *d = &bed->rig.driver;
    uint64_t place = pcidriver_bar(d, LOW, 0);
    const uint64_t to[] = {PCIRIG_LOW + PCIRIG_LOW_SIZE - 0x1000, PCIRIG_HIGH,
                           PCIRIG_HIGH + PCIRIG_HIGH_SIZE - 0x1000,
                           /* Outside the windows, but beside RAM and chips. */
                           PCIRIG_RAM_END, PCIRIG_LOW - 0x1000,
                           PCIRIG_LOW + PCIRIG_LOW_SIZE, PCIRIG_CHIP - 0x1000,
                           PCIRIG_CHIP + 0x1000, PCIRIG_ECAM - 0x1000,
                           PCIRIG_ECAM + MV_PCI_ECAM_SIZE, PCIRIG_CHIPS - 0x1000,
                           PCIRIG_ABOVE, PCIRIG_HIGH - 0x1000,
                           PCIRIG_HIGH + PCIRIG_HIGH_SIZE, PCIRIG_END - 0x1000, place};
    pcidriver_command(d, LOW, PCI_MEMORY, 0);
    for (unsigned i = 0; i < MV_ARRAY_LEN(to); i++) {
        uint64_t before = bed->low.place[0];
        pcidriver_move_bar(d, LOW, 0, to[i]);
        assert_int_equal(bed->low.place[0], to[i]);
        assert_int_equal(pcidriver_bar(d, LOW, 0), to[i]);
        assert_true(answers(bed, &bed->low, to[i]));
        assert_false(answers(bed, &bed->low, before));
    }
    /* The same again is no move; a byte of it is. */
    unsigned told = bed->low.moves;
    pcidriver_move_bar(d, LOW, 0, place);
    assert_int_equal(bed->low.moves, told);
    pcidriver_write(d, LOW, PCI_BAR0 + 3, 1, 0xc8);
    assert_int_equal(bed->low.place[0], (place & 0xffffff) | 0xc8000000);
    assert_int_equal(bed->low.moves, told + 2);
    /* While it is being sized it is nowhere, with decoding on too. */
    pcidriver_write(d, LOW, PCI_BAR0, 4, 0xffffffff);
    assert_int_equal(bed->low.place[0], MV_PCI_NOWHERE);
}

/* RAM, the I/O APIC, the local APIC, a chip, ECAM, just beyond each range. */
static void over_ram_and_chips_it_is_nowhere(void **state)
{
    struct bed *bed = *state;
    const struct pcidriver *d = &bed->rig.driver;
    const uint64_t place[] = {0,
                              0x100000,
                              PCIRIG_RAM_END - 0x1000,
                              PCIRIG_CHIP,
                              PCIRIG_ECAM,
                              PCIRIG_ECAM + (LOW << 15),
                              PCIRIG_ECAM + MV_PCI_ECAM_SIZE - 0x1000,
                              0xfec00000,
                              0xfee00000,
                              PCIRIG_ABOVE - 0x1000,
                              PCIRIG_END,
                              1ull << 63,
                              UINT64_MAX - 0xfff};
    pcidriver_command(d, LOW, PCI_MEMORY, 0);
    for (unsigned i = 0; i < MV_ARRAY_LEN(place); i++) {
        unsigned reads = bed->low.reads;
        pcidriver_move_bar(d, LOW, 0, place[i]);
        assert_int_equal(pcidriver_bar(d, LOW, 0), place[i]);
        assert_int_equal(bed->low.place[0], MV_PCI_NOWHERE);
        (void)pcidriver_load(d, place[i], 4);
        (void)pcidriver_load(d, place[i] + 0xff8, 8);
        assert_int_equal(bed->low.reads, reads);
    }
    assert_int_equal(pcidriver_read(d, LOW, PCI_VENDOR, 2), 0x1af4); /* ECAM is there */
    /* A 32-bit BAR has no upper half that could lift it above 4 GiB. */
    pcidriver_write(d, LOW, PCI_BAR0 + 8, 4, 0);
    pcidriver_write(d, LOW, PCI_BAR0 + 12, 4, 0x40);
    assert_int_equal(bed->low.place[2], MV_PCI_NOWHERE);
    assert_int_equal(pcidriver_read(d, LOW, PCI_BAR0 + 12, 4), 0);
}

/* A range that begins and ends inside the place of a BAR. */
static void over_the_spaces_end_it_is_nowhere(void **state)
{
    struct mv_pci_root root;
    struct mv_bus mmio = {.count = 0};
    struct pcidriver d = {.mmio = &mmio, .ecam = PCIRIG_ECAM};
    struct pcirig *rig = &((struct bed *)*state)->rig;
    struct mv_pci_board board = {
        .low = {0xc0000800, 0x2000},
        .space = {{0xc0000800, 0x2000}},
        .ecam_base = PCIRIG_ECAM,
    };
    struct mv_pci_function f;
    struct pcicard *card = &((struct bed *)*state)->low;
    const struct mv_pci_identity id = {.vendor = 1};
    memcpy(board.line, rig->root.line, sizeof board.line);
    assert_int_equal(mv_pci_open(&root, &board, NULL), 0);
    assert_int_equal(mv_pci_attach(&root, &mmio, NULL, NULL), 0);
    mv_pci_function_init(&f, &id, card->f.ops, card);
    mv_pci_function_bar(&f, 0, 0x1000, true, card->f.bar[0].ops, card);
    assert_int_equal(mv_pci_add(&root, &f, 1, NULL), 0);
    pcidriver_command(&d, 1, PCI_MEMORY, 0);
    assert_int_equal(card->place[0], 0xc0001000); /* the one place there is */
    pcidriver_move_bar(&d, 1, 0, 0xc0002000);
    assert_int_equal(card->place[0], MV_PCI_NOWHERE);
    assert_int_equal(pcidriver_load(&d, 0xc0002000, 4), 0xffffffff);
    pcidriver_move_bar(&d, 1, 0, 0xc0000000);
    assert_int_equal(card->place[0], MV_PCI_NOWHERE);
    pcidriver_move_bar(&d, 1, 0, 0xc0001000);
    assert_int_equal(pcidriver_load(&d, 0xc0001ffc, 4), 0);
    assert_int_equal(pcidriver_load(&d, 0xc0001ffe, 4), 0xffffffff);
    mv_pci_remove(&f);
    mv_pci_close(&root);
}

/* Two in one place: the lower slot answers, nobody has doorbells there; and when they
 * part both are told. */
static void over_another_card(void **state)
{
    struct bed *bed = *state;
    const struct pcidriver *d = &bed->rig.driver;
    uint64_t place = pcidriver_bar(d, LOW, 0), other = pcidriver_bar(d, HIGH, 0);
    pcidriver_command(d, LOW, PCI_MEMORY, 0);
    pcidriver_command(d, HIGH, PCI_MEMORY, 0);
    pcidriver_move_bar(d, HIGH, 0, place);
    assert_int_equal(bed->low.place[0], MV_PCI_NOWHERE);
    assert_int_equal(bed->high.place[0], MV_PCI_NOWHERE);
    assert_true(answers(bed, &bed->low, place));
    assert_false(answers(bed, &bed->high, place));
    pcidriver_move_bar(d, HIGH, 0, other);
    assert_int_equal(bed->low.place[0], place);
    assert_int_equal(bed->high.place[0], other);
    pcidriver_move_bar(d, LOW, 0, other);
    assert_true(answers(bed, &bed->low, other));
    pcidriver_command(d, LOW, 0, PCI_MEMORY);
    assert_int_equal(bed->high.place[0], other);
    assert_true(answers(bed, &bed->high, other));
    /* A small one over a part of a large one: the rest is still the large one's. */
    pcidriver_move_bar(d, HIGH, 0, place);
    pcidriver_move_bar(d, LOW, 0, PCIRIG_HIGH);
    pcidriver_move_bar(d, LOW, 2, place + 0x400);
    pcidriver_command(d, LOW, PCI_MEMORY, 0);
    assert_int_equal(bed->high.place[0], MV_PCI_NOWHERE);
    assert_int_equal(bed->low.place[2], MV_PCI_NOWHERE);
    assert_true(answers(bed, &bed->high, place + 0x3fc));
    assert_true(answers(bed, &bed->low, place + 0x400));
    assert_false(answers(bed, &bed->high, place + 0x4fc));
    assert_true(answers(bed, &bed->high, place + 0x500));
}

static void over_its_own_other_bar(void **state)
{
    struct bed *bed = *state;
    const struct pcidriver *d = &bed->rig.driver;
    uint64_t place = pcidriver_bar(d, LOW, 0);
    pcidriver_command(d, LOW, PCI_MEMORY, 0);
    pcidriver_move_bar(d, LOW, 2, place + 0x100);
    assert_int_equal(bed->low.place[0], MV_PCI_NOWHERE);
    assert_int_equal(bed->low.place[2], MV_PCI_NOWHERE);
    pcidriver_store(d, place + 0x100, 1, 0x5a);
    assert_int_equal(bed->low.memory[0x100], 0x5a); /* BAR 0 */
    pcidriver_move_bar(d, LOW, 2, PCIRIG_LOW + 0x8000000);
    assert_int_equal(bed->low.place[0], place);
    assert_int_equal(bed->low.place[2], PCIRIG_LOW + 0x8000000);
}

static void a_removed_card_is_nowhere(void **state)
{
    struct bed *bed = *state;
    const struct pcidriver *d = &bed->rig.driver;
    uint64_t place = pcidriver_bar(d, LOW, 0);
    pcidriver_command(d, LOW, PCI_MEMORY, 0);
    pcidriver_command(d, HIGH, PCI_MEMORY, 0);
    pcidriver_move_bar(d, HIGH, 0, place);
    pcicard_close(&bed->low);
    assert_false(answers(bed, &bed->low, place));
    assert_true(answers(bed, &bed->high, place));
    assert_int_equal(bed->high.place[0], place);
    assert_int_equal(bed->low.place[2], MV_PCI_NOWHERE);
    pcicard_open(&bed->low, &bed->rig, LOW); /* gets the same home again */
    assert_int_equal(pcidriver_bar(d, LOW, 0), place);
}

/* Large BARs fill the low window; wide ones go on in the high one. */
static void windows_fill_up(void **state)
{
    struct bed *bed = *state;
    static struct mv_pci_function f[5];
    const struct mv_pci_identity id = {.vendor = 1};
    const struct pcidriver *d = &bed->rig.driver;
    microvm_error err;
    for (unsigned i = 0; i < 5; i++) {
        mv_pci_function_init(&f[i], &id, bed->low.f.ops, &bed->low);
        mv_pci_function_bar(&f[i], 0, 64 << 20, i == 4, bed->low.f.bar[0].ops,
                            &bed->low);
    }
    for (unsigned i = 0; i < 3; i++) { /* the first 64 MiB have the cards */
        assert_ok(mv_pci_add(&bed->rig.root, &f[i], 10 + i, &err), &err);
        assert_int_equal(pcidriver_bar(d, 10 + i, 0), PCIRIG_LOW + ((i + 1) << 26));
    }
    assert_error(mv_pci_add(&bed->rig.root, &f[3], 13, &err), &err, MICROVM_E_DEVICE,
                 "no room for a BAR of 67108864 bytes");
    assert_int_equal(pcidriver_read(d, 13, PCI_VENDOR, 2), 0xffff);
    assert_ok(mv_pci_add(&bed->rig.root, &f[4], 13, &err), &err);
    assert_int_equal(pcidriver_bar(d, 13, 0), PCIRIG_HIGH);
    for (unsigned i = 0; i < 5; i++)
        mv_pci_remove(&f[i]);
}

#define bed_test(f) cmocka_unit_test_setup_teardown(f, bed_open, bed_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        bed_test(sizes),
        bed_test(homes_are_apart),
        bed_test(memory_enable_is_obeyed),
        bed_test(every_width_reaches_the_card),
        bed_test(moves),
        bed_test(over_ram_and_chips_it_is_nowhere),
        bed_test(over_the_spaces_end_it_is_nowhere),
        bed_test(over_another_card),
        bed_test(over_its_own_other_bar),
        bed_test(a_removed_card_is_nowhere),
        bed_test(windows_fill_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
