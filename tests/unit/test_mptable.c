/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The MP table as a kernel reads it: found by its pointer, walked by entry types.
 */
#include "check.h"

#include "arch/x86/layout.h"
#include "arch/x86/mptable.h"
#include "os/mem.h"
#include "util/bytes.h"

static uint8_t sum(const uint8_t *data, size_t length)
{
    uint8_t s = 0;
    while (length--)
        s = (uint8_t)(s + *data++);
    return s;
}

/* A line of the PCI bus: slot and pin A in bits 6-2 and 1-0, MP 1.4, D.3. */
static void check_pci_line(const uint8_t *e)
{
    assert_int_equal(e[2], 0x0f); /* level, active low */
    assert_int_equal(e[5] & 3, 0);
    assert_int_equal(e[7], 16 + (e[5] >> 2) % 8);
}

/* Walks the table of a machine with `cpus` processors. */
static void walk(unsigned cpus, bool pci)
{
    uint8_t bus_is_pci[2] = {0};
    uint32_t slots = 0;
    struct mv_ram ram;
    microvm_error err;
    unsigned count[5] = {0}, entries = 0;
    uint32_t lines = 0;
    assert_ok(mv_ram_open(&ram, MV_MIB(2), MV_X86_HOLE, MV_X86_HOLE_END, 0, &err),
              &err);
    assert_true(mv_mptable_write(&ram, cpus, pci));

    const uint8_t *p = mv_ram_at(&ram, MV_X86_EBDA, 16);
    assert_memory_equal(p, "_MP_", 4);
    assert_int_equal(sum(p, 16), 0);
    const uint8_t *t = mv_ram_at(&ram, mv_load32(p + 4), 4096);
    assert_non_null(t);
    unsigned length = mv_load16(t + 4);
    assert_memory_equal(t, "PCMP", 4);
    assert_int_equal(sum(t, length), 0);
    assert_int_equal(mv_load32(t + 36), MV_X86_LAPIC);
    for (unsigned at = 44; at < length; entries++) {
        const uint8_t *e = t + at;
        assert_true(e[0] <= 4);
        switch (e[0]) {
        case 0:
            assert_int_equal(e[1], count[0]);              /* APIC id */
            assert_int_equal(e[3], count[0] == 0 ? 3 : 1); /* boot processor */
            break;
        case 1:
            assert_true(e[1] < 2);
            bus_is_pci[e[1]] = memcmp(e + 2, "PCI   ", 6) == 0;
            assert_true(bus_is_pci[e[1]] || memcmp(e + 2, "ISA   ", 6) == 0);
            break;
        case 2:
            assert_int_equal(mv_load32(e + 4), MV_X86_IOAPIC);
            break;
        case 3:
            if (bus_is_pci[e[4]]) {
                check_pci_line(e);
                slots |= 1u << (e[5] >> 2);
                break;
            }
            assert_int_equal(e[2], 5); /* edge, active high */
            assert_int_equal(e[5], e[7]);
            lines |= 1u << e[7];
            break;
        default:
            break;
        }
        at += e[0] == 0 ? 20 : 8;
        count[e[0]]++;
    }
    assert_int_equal(entries, mv_load16(t + 34));
    assert_int_equal(count[0], cpus);
    assert_int_equal(count[1], 1 + pci);
    assert_int_equal(bus_is_pci[0], pci);
    assert_int_equal(count[2], 1);
    assert_int_equal(lines, (1u << (pci ? MV_X86_GSI_PCI : MV_X86_GSI_COUNT)) - 1);
    assert_int_equal(slots, pci ? 0xfffffffe : 0);
    assert_int_equal(count[4], 2);
    mv_ram_close(&ram);
}

static void describes_every_processor(void **state)
{
    (void)state;
    walk(1, false);
    walk(4, false);
    walk(64, false);
}

static void gives_each_pci_slot_its_line(void **state)
{
    (void)state;
    walk(1, true);
    walk(64, true);
}

static void needs_low_memory(void **state)
{
    struct mv_ram ram;
    microvm_error err;
    (void)state;
    assert_ok(mv_ram_open(&ram, MV_KIB(512), MV_X86_HOLE, MV_X86_HOLE_END, 0, &err),
              &err);
    assert_false(mv_mptable_write(&ram, 1, false));
    mv_ram_close(&ram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describes_every_processor),
        cmocka_unit_test(gives_each_pci_slot_its_line),
        cmocka_unit_test(needs_low_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
