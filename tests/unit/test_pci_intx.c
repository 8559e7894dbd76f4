/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * INTx: slots that share a line, Interrupt Disable, Interrupt Status. The lines of the
 * rig trap when they are told the level they have.
 */
#include "check.h"
#include "pcirig.h"

enum { A = 3, B = 11, C = 19, OTHER = 4, LINE = PCIRIG_GSI + 3 };

struct bed {
    struct pcirig rig;
    struct pcicard a, b, c, other; /* three on one line */
};

static int bed_open(void **state)
{
    static struct bed bed;
    pcirig_open(&bed.rig);
    pcicard_open(&bed.a, &bed.rig, A);
    pcicard_open(&bed.b, &bed.rig, B);
    pcicard_open(&bed.c, &bed.rig, C);
    pcicard_open(&bed.other, &bed.rig, OTHER);
    *state = &bed;
    return 0;
}

static int bed_close(void **state)
{
    struct bed *bed = *state;
    pcicard_close(&bed->a);
    pcicard_close(&bed->b);
    pcicard_close(&bed->c);
    pcicard_close(&bed->other);
    for (unsigned i = 0; i < MV_ARRAY_LEN(bed->rig.line); i++)
        assert_false(bed->rig.line[i].level);
    pcirig_close(&bed->rig);
    return 0;
}

static bool pending(struct bed *bed, unsigned slot)
{
    uint32_t status = pcidriver_read(&bed->rig.driver, slot, PCI_STATUS, 2);
    bool wide = pcidriver_read(&bed->rig.driver, slot, PCI_COMMAND, 4) & 8 << 16;
    bool narrow = pcidriver_read(&bed->rig.driver, slot, PCI_STATUS, 1) & 8;
    assert_int_equal(status & ~8u, PCI_STATUS_CAPS);
    assert_int_equal(wide, narrow);
    assert_int_equal(wide, (status & PCI_STATUS_INTX) != 0);
    return wide;
}

static void a_line_is_the_or_of_its_pins(void **state)
{
    struct bed *bed = *state;
    struct around_line *line = &bed->rig.line[LINE];
    mv_pci_intx(&bed->a.f, true);
    assert_true(line->level);
    mv_pci_intx(&bed->a.f, true); /* once more is nothing */
    mv_pci_intx(&bed->c.f, true);
    mv_pci_intx(&bed->a.f, false);
    assert_true(line->level);
    assert_false(pending(bed, A));
    assert_false(pending(bed, B));
    assert_true(pending(bed, C));
    mv_pci_intx(&bed->other.f, true);
    mv_pci_intx(&bed->c.f, false);
    assert_false(line->level);
    assert_int_equal(line->rises, 1);
    assert_true(bed->rig.line[LINE + 1].level);
    mv_pci_intx(&bed->other.f, false);
    mv_pci_intx(&bed->other.f, false);
    assert_int_equal(line->pulses, 0);
}

static void a_disabled_pin_is_quiet_and_shown(void **state)
{
    struct bed *bed = *state;
    struct around_line *line = &bed->rig.line[LINE];
    const struct pcidriver *d = &bed->rig.driver;
    pcidriver_command(d, A, PCI_INTX_OFF, 0);
    mv_pci_intx(&bed->a.f, true);
    assert_false(line->level);
    assert_true(pending(bed, A));
    mv_pci_intx(&bed->b.f, true);
    assert_true(line->level);
    pcidriver_command(d, B, PCI_INTX_OFF, 0);
    assert_false(line->level);
    pcidriver_command(d, A, 0, PCI_INTX_OFF); /* what is pending comes through */
    assert_true(line->level);
    pcidriver_command(d, A, PCI_INTX_OFF, 0);
    assert_false(line->level);
    mv_pci_intx(&bed->a.f, false);
    pcidriver_command(d, A, 0, PCI_INTX_OFF);
    assert_false(line->level);
    assert_false(pending(bed, A));
    assert_true(pending(bed, B));
    assert_int_equal(line->rises, 2);
}

static void a_removed_card_lets_go(void **state)
{
    struct bed *bed = *state;
    struct around_line *line = &bed->rig.line[LINE];
    mv_pci_intx(&bed->a.f, true);
    mv_pci_intx(&bed->b.f, true);
    pcicard_close(&bed->a);
    assert_true(line->level);
    pcicard_close(&bed->b);
    assert_false(line->level);
}

#define bed_test(f) cmocka_unit_test_setup_teardown(f, bed_open, bed_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        bed_test(a_line_is_the_or_of_its_pins),
        bed_test(a_disabled_pin_is_quiet_and_shown),
        bed_test(a_removed_card_lets_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
