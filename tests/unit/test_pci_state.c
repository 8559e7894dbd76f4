/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Saved PCI state: what was saved comes back, doorbells and lines with it, and a state
 * that no guest can have made is refused and changes nothing.
 */
#include "check.h"
#include "pcirig.h"

enum { SLOT = 7, LINE = PCIRIG_GSI + 7 };

struct bed {
    struct pcirig rig;
    struct pcicard card;
    struct mv_writer root, function;
    microvm_error err;
};

static void bed_renew(struct bed *bed)
{
    pcicard_close(&bed->card);
    pcirig_close(&bed->rig);
    pcirig_open(&bed->rig);
    pcicard_open(&bed->card, &bed->rig, SLOT);
}

/* A guest has been at work: card moved, interrupt pending, notes in its capability. */
static int bed_open(void **state)
{
    static struct bed bed;
    pcirig_open(&bed.rig);
    pcicard_open(&bed.card, &bed.rig, SLOT);
    struct pcidriver *d = &bed.rig.driver;
    pcidriver_move_bar(d, SLOT, 0, PCIRIG_HIGH + 0x5000);
    pcidriver_write(d, SLOT, bed.card.capability + 4, 4, 0x12345678);
    pcidriver_write(d, 0, PCI_LINE, 1, 0x77);
    pcidriver_command(d, SLOT, PCI_MEMORY | PCI_MASTER, 0);
    mv_pci_intx(&bed.card.f, true);
    d->ports = true;
    (void)pcidriver_read(d, SLOT, 0x40, 1);
    d->ports = false;
    mv_writer_open(&bed.root, 4096);
    mv_writer_open(&bed.function, 4096);
    mv_pci_save(&bed.rig.root, &bed.root);
    mv_pci_function_save(&bed.card.f, &bed.function);
    *state = &bed;
    return 0;
}

static int bed_close(void **state)
{
    struct bed *bed = *state;
    pcicard_close(&bed->card);
    pcirig_close(&bed->rig);
    mv_writer_close(&bed->root);
    mv_writer_close(&bed->function);
    return 0;
}

static int load_function(struct bed *bed, size_t length)
{
    struct mv_reader r = {.data = bed->function.data, .length = length};
    int rc = mv_pci_function_load(&bed->card.f, &r, &bed->err);
    if (rc == 0)
        assert_true(mv_reader_done(&r));
    return rc;
}

static int load_root(struct bed *bed, size_t length, uint32_t version)
{
    struct mv_reader r = {.data = bed->root.data, .length = length};
    return mv_pci_load(&bed->rig.root, &r, version, &bed->err);
}

static void round_trip(void **state)
{
    struct bed *bed = *state;
    const struct pcidriver *d = &bed->rig.driver;
    uint64_t address;
    bed_renew(bed);
    assert_ok(load_root(bed, bed->root.length, MV_PCI_STATE_VERSION), &bed->err);
    assert_ok(load_function(bed, bed->function.length), &bed->err);
    assert_int_equal(bed->card.place[0], PCIRIG_HIGH + 0x5000);
    assert_int_equal(bed->card.place[2], pcidriver_bar(d, SLOT, 2));
    assert_int_equal(bed->card.moves, 2);
    assert_int_equal(bed->card.commands, 0);
    assert_int_equal(mv_pci_command(&bed->card.f), PCI_MEMORY | PCI_MASTER);
    assert_true(bed->rig.line[LINE].level);
    assert_int_equal(pcidriver_read(d, SLOT, bed->card.capability + 4, 4), 0x12345678);
    assert_int_equal(pcidriver_read(d, 0, PCI_LINE, 1), 0x77);
    (void)mv_bus_read(&bed->rig.pio, 0xcf8, 4, &address);
    assert_int_equal(address, 0x80003840);
    pcidriver_store(d, PCIRIG_HIGH + 0x5010, 4, 0x55);
    assert_int_equal(bed->card.memory[0x10], 0x55);
    struct mv_writer again; /* the same state is saved again */
    mv_writer_open(&again, 4096);
    mv_pci_function_save(&bed->card.f, &again);
    assert_int_equal(again.length, bed->function.length);
    assert_int_equal(again.length, MV_PCI_FUNCTION_STATE_SIZE);
    assert_memory_equal(again.data, bed->function.data, again.length);
    mv_writer_close(&again);
}

/* Into a function that is at work: it is moved to where the saved one was. */
static void loading_over_a_live_function(void **state)
{
    struct bed *bed = *state;
    const struct pcidriver *d = &bed->rig.driver;
    pcidriver_move_bar(d, SLOT, 0, PCIRIG_LOW + 0x100000);
    pcidriver_command(d, SLOT, PCI_INTX_OFF, 0);
    assert_false(bed->rig.line[LINE].level);
    assert_ok(load_function(bed, bed->function.length), &bed->err);
    assert_int_equal(bed->card.place[0], PCIRIG_HIGH + 0x5000);
    assert_true(bed->rig.line[LINE].level);
}

static void nothing_has_changed(struct bed *bed)
{
    assert_int_equal(bed->card.moves, 0);
    assert_int_equal(mv_pci_command(&bed->card.f), 0);
    assert_false(bed->rig.line[LINE].level);
    assert_int_equal(
        pcidriver_read(&bed->rig.driver, SLOT, bed->card.capability + 4, 4), 0);
    assert_int_equal(pcidriver_read(&bed->rig.driver, 0, PCI_LINE, 1), 0);
}

static void a_state_that_is_cut_short(void **state)
{
    struct bed *bed = *state;
    bed_renew(bed);
    for (size_t length = 0; length < bed->function.length; length++)
        assert_error(load_function(bed, length), &bed->err, MICROVM_E_INVALID,
                     "slot 7 is cut short");
    for (size_t length = 0; length < bed->root.length; length++)
        assert_error(load_root(bed, length, MV_PCI_STATE_VERSION), &bed->err,
                     MICROVM_E_INVALID, "too few");
    mv_put8(&bed->root, 0);
    assert_error(load_root(bed, bed->root.length, MV_PCI_STATE_VERSION), &bed->err,
                 MICROVM_E_INVALID, "too many");
    assert_error(load_root(bed, bed->root.length - 1, MV_PCI_STATE_VERSION + 1),
                 &bed->err, MICROVM_E_INVALID, "format");
    nothing_has_changed(bed);
}

/* One bit at a time: what the guest can write is taken, all else refused. */
static void a_state_of_another_device(void **state)
{
    struct bed *bed = *state;
    unsigned refused = 0;
    bed_renew(bed);
    for (unsigned bit = 0; bit < MV_PCI_CONFIG_SIZE * 8; bit++) {
        uint8_t *byte = &bed->function.data[bit / 8];
        if (bed->card.f.writable[bit / 8] & 1u << bit % 8)
            continue;
        *byte ^= (uint8_t)(1u << bit % 8);
        assert_error(load_function(bed, bed->function.length), &bed->err,
                     MICROVM_E_INVALID, "another device");
        *byte ^= (uint8_t)(1u << bit % 8);
        refused++;
    }
    assert_true(refused > 1800);
    bed->function.data[MV_PCI_CONFIG_SIZE] = 2; /* the pin */
    assert_error(load_function(bed, bed->function.length), &bed->err, MICROVM_E_INVALID,
                 "another device");
    for (unsigned bit = 0; bit < 32; bit++) {
        if (0x80fffffcu & 1u << bit)
            continue;
        bed->root.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_error(load_root(bed, bed->root.length, MV_PCI_STATE_VERSION), &bed->err,
                     MICROVM_E_INVALID, "CONFIG_ADDRESS");
        bed->root.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    nothing_has_changed(bed);
}

/* A place outside the windows can be in a saved state, and is nowhere. */
static void a_saved_place_over_memory(void **state)
{
    struct bed *bed = *state;
    bed_renew(bed);
    mv_store32(&bed->function.data[PCI_BAR0 + 4], 0);
    assert_ok(load_function(bed, bed->function.length), &bed->err);
    assert_int_equal(pcidriver_bar(&bed->rig.driver, SLOT, 0), 0x5000);
    assert_int_equal(bed->card.place[0], MV_PCI_NOWHERE);
}

#define bed_test(f) cmocka_unit_test_setup_teardown(f, bed_open, bed_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        bed_test(round_trip),
        bed_test(loading_over_a_live_function),
        bed_test(a_state_that_is_cut_short),
        bed_test(a_state_of_another_device),
        bed_test(a_saved_place_over_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
