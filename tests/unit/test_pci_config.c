/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Configuration space: both mechanisms at every width and alignment, what the guest can
 * write and what not, who is not there, what a function's owner is told.
 */
#include "check.h"
#include "pcirig.h"

enum { SLOT = 5, ABSENT = 6 };
#define CONFIG (PCIRIG_ECAM + (SLOT << 15))

struct bed {
    struct pcirig rig;
    struct pcicard card;
};

static int bed_open(void **state)
{
    static struct bed bed;
    pcirig_open(&bed.rig);
    pcicard_open(&bed.card, &bed.rig, SLOT);
    *state = &bed;
    return 0;
}

static int bed_close(void **state)
{
    struct bed *bed = *state;
    pcicard_close(&bed->card);
    pcirig_close(&bed->rig);
    return 0;
}

static uint32_t port_read(struct bed *bed, unsigned port, unsigned size)
{
    uint64_t value;
    (void)mv_bus_read(&bed->rig.pio, port, size, &value);
    return (uint32_t)value;
}

static void port_write(struct bed *bed, unsigned port, unsigned size, uint32_t value)
{
    (void)mv_bus_write(&bed->rig.pio, port, size, value);
}

static void the_host_bridge(void **state)
{
    struct bed *bed = *state;
    for (int ports = 0; ports < 2; ports++) {
        const struct pcidriver *d = &bed->rig.driver;
        bed->rig.driver.ports = ports;
        assert_int_equal(pcidriver_read(d, 0, PCI_VENDOR, 4), 0x00081b36);
        assert_int_equal(pcidriver_read(d, 0, PCI_REVISION, 4), 0x06000000);
        assert_int_equal(pcidriver_read(d, 0, PCI_STATUS, 2), 0);
        assert_int_equal(pcidriver_read(d, 0, PCI_HEADER_TYPE, 1), 0);
        assert_int_equal(pcidriver_read(d, 0, PCI_PIN, 1), 0);
        for (unsigned bar = 0; bar < 6; bar++)
            assert_int_equal(pcidriver_bar_size(d, 0, bar), 0);
    }
}

static void a_header(void **state)
{
    struct bed *bed = *state;
    const struct pcidriver *d = &bed->rig.driver;
    assert_int_equal(pcidriver_read(d, SLOT, PCI_VENDOR, 4), 0xca051af4);
    assert_int_equal(pcidriver_read(d, SLOT, PCI_COMMAND, 4), 0x00100000);
    assert_int_equal(pcidriver_read(d, SLOT, PCI_REVISION, 4), 0x00ff1207);
    assert_int_equal(pcidriver_read(d, SLOT, 0x0c, 4), 0);
    assert_int_equal(pcidriver_read(d, SLOT, PCI_SUBVENDOR, 4), 0x43211af5);
    assert_int_equal(pcidriver_read(d, SLOT, 0x30, 4), 0); /* no expansion ROM */
    assert_int_equal(pcidriver_read(d, SLOT, PCI_PIN, 1), 1);
    assert_int_equal(pcidriver_read(d, SLOT, PCI_LINE, 1), 16 + SLOT % 8);
}

/* Every width at every offset is what the bytes are, through both mechanisms. */
static void reads_of_every_width(void **state)
{
    struct bed *bed = *state;
    uint8_t bytes[256 + 8];
    memset(bytes, 0xff, sizeof bytes); /* what follows is not there */
    for (unsigned i = 0; i < 256; i++)
        bytes[i] = (uint8_t)pcidriver_load(&bed->rig.driver, CONFIG + i, 1);
    assert_int_equal(bytes[0], 0xf4);
    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned i = 0; i < 256; i++) {
            uint64_t expected = 0;
            memcpy(&expected, bytes + i, size);
            assert_int_equal(pcidriver_load(&bed->rig.driver, CONFIG + i, size),
                             expected);
        }
    for (unsigned size = 1; size <= 4; size *= 2)
        for (unsigned i = 0; i < 256; i++) {
            uint32_t expected = 0;
            if (i % 4 + size > 4)
                continue; /* beyond the last port */
            memcpy(&expected, bytes + i, size);
            port_write(bed, 0xcf8, 4, 0x80000000u | SLOT << 11 | (i & 0xfc));
            assert_int_equal(port_read(bed, 0xcfc + i % 4, size), expected);
        }
}

/* Writes of every width over the capability, whose second dword alone is writable. */
static void writes_of_every_width(void **state)
{
    struct bed *bed = *state;
    const struct pcidriver *d = &bed->rig.driver;
    unsigned base = bed->card.capability, first = pcidriver_read(d, SLOT, base, 4);
    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned i = 0; i < 12; i++) {
            uint64_t value = 0xf1e2d3c4b5a69788;
            uint8_t expected[20] = {0};
            pcidriver_store(d, CONFIG + base + 4, 4, 0);
            memcpy(expected + i, &value, size);
            pcidriver_store(d, CONFIG + base + i, size, value);
            assert_int_equal(pcidriver_read(d, SLOT, base, 4), first);
            assert_int_equal(pcidriver_read(d, SLOT, base + 4, 4),
                             mv_load32(expected + 4));
            assert_int_equal(pcidriver_read(d, SLOT, base + 8, 4), 0);
        }
    for (unsigned size = 1; size <= 4; size *= 2)
        for (unsigned i = 0; i + size <= 4; i++) {
            uint32_t expected = 0x11111111, value = 0xf1e2d3c4;
            pcidriver_write(d, SLOT, base + 4, 4, expected);
            memcpy((uint8_t *)&expected + i, &value, size);
            port_write(bed, 0xcf8, 4, 0x80000000u | SLOT << 11 | (base + 4));
            port_write(bed, 0xcfc + i, size, value);
            assert_int_equal(pcidriver_read(d, SLOT, base + 4, 4), expected);
        }
}

static void what_cannot_be_written(void **state)
{
    struct bed *bed = *state;
    const struct pcidriver *d = &bed->rig.driver;
    for (unsigned reg = 0; reg < 256; reg += 4) {
        uint32_t before = pcidriver_read(d, SLOT, reg, 4), writable = 0;
        if (reg == PCI_COMMAND)
            writable = PCI_MEMORY | PCI_MASTER | PCI_INTX_OFF;
        else if (reg == 0x0c || reg == PCI_LINE)
            writable = 0xff;
        else if (reg == PCI_BAR0)
            writable = 0xfffff000;
        else if (reg == PCI_BAR0 + 4 || reg == bed->card.capability + 4)
            writable = 0xffffffff;
        else if (reg == PCI_BAR0 + 8)
            writable = 0xffffff00;
        pcidriver_write(d, SLOT, reg, 4, 0xffffffff);
        assert_int_equal(pcidriver_read(d, SLOT, reg, 4), before | writable);
        pcidriver_write(d, SLOT, reg, 4, 0);
        assert_int_equal(pcidriver_read(d, SLOT, reg, 4), before & ~writable);
    }
}

/* CONFIG_ADDRESS: 3.2.2.3.2; narrower accesses pass it. */
static void the_address_port(void **state)
{
    struct bed *bed = *state;
    port_write(bed, 0xcf8, 4, 0xffffffff);
    assert_int_equal(port_read(bed, 0xcf8, 4), 0x80fffffc);
    port_write(bed, 0xcf8, 4, 0x80000000u | SLOT << 11);
    port_write(bed, 0xcf8, 1, 0x40);
    port_write(bed, 0xcfb, 1, 1);
    port_write(bed, 0xcf8, 2, 0x5555);
    assert_int_equal(port_read(bed, 0xcf8, 4), 0x80000000u | SLOT << 11);
    assert_int_equal(port_read(bed, 0xcf8, 1), 0xff);
    assert_int_equal(port_read(bed, 0xcfa, 2), 0xffff);
    assert_int_equal(port_read(bed, 0xcf9, 1), 0xff);
    /* Half before the data port, half in it. */
    assert_int_equal(port_read(bed, 0xcfa, 4), 0x1af4ffff);
    port_write(bed, 0xcf8, 4, 0x80000000u | SLOT << 11 | (bed->card.capability + 4));
    port_write(bed, 0xcfb, 4, 0x33221100);
    assert_int_equal(port_read(bed, 0xcfc, 4), 0x00332211);
    /* Over the last port. */
    assert_int_equal(port_read(bed, 0xcfe, 4), 0xffffffff);
    port_write(bed, 0xcfe, 4, 0x55555555);
    assert_int_equal(port_read(bed, 0xcfc, 4), 0x00332211);
    /* Not enabled. */
    port_write(bed, 0xcf8, 4, SLOT << 11);
    assert_int_equal(port_read(bed, 0xcfc, 4), 0xffffffff);
    port_write(bed, 0xcfc, 4, 0x55555555);
    assert_int_equal(port_read(bed, 0xcf8, 4), SLOT << 11);
}

static void who_is_not_there(void **state)
{
    struct bed *bed = *state;
    const struct pcidriver *d = &bed->rig.driver;
    const uint32_t absent[] = {ABSENT << 11,        31 << 11, SLOT << 11 | 1 << 8,
                               SLOT << 11 | 7 << 8, 1 << 16,  0xff << 16 | SLOT << 11};
    for (unsigned i = 0; i < MV_ARRAY_LEN(absent); i++)
        for (unsigned reg = 0; reg < 256; reg += 4) {
            port_write(bed, 0xcf8, 4, 0x80000000u | absent[i] | reg);
            port_write(bed, 0xcfc, 4, 0);
            assert_int_equal(port_read(bed, 0xcfc, 4), 0xffffffff);
            assert_int_equal(port_read(bed, 0xcff, 1), 0xff);
        }
    for (uint64_t page = 0; page < MV_PCI_ECAM_SIZE >> 12; page++) {
        bool there = page == 0 || page == SLOT << 3;
        uint64_t value = pcidriver_load(d, PCIRIG_ECAM + (page << 12), 2);
        assert_int_equal(value != 0xffff, there);
    }
    /* Extended configuration space. */
    for (unsigned reg = 0x100; reg < 0x1000; reg += 4)
        assert_int_equal(pcidriver_load(d, CONFIG + reg, 4), 0xffffffff);
    assert_int_equal(pcidriver_load(d, CONFIG + 0xff, 2), 0xff00);
    assert_int_equal(pcidriver_load(d, CONFIG - 4, 8), 0xca051af4ffffffff);
    assert_int_equal(pcidriver_load(d, PCIRIG_ECAM + MV_PCI_ECAM_SIZE - 4, 8),
                     UINT64_MAX);
}

static void capabilities_are_a_list(void **state)
{
    struct bed *bed = *state;
    struct mv_pci_function f;
    const struct pcidriver *d = &bed->rig.driver;
    const struct mv_pci_identity id = {.vendor = 1, .device = 2};
    mv_pci_function_init(&f, &id, bed->card.f.ops, &bed->card);
    const unsigned length[] = {16, 20, 13, 12, 3, 2};
    const uint8_t kind[] = {9, 9, 0x11, 9, 5, 9};
    unsigned at[6];
    for (unsigned i = 0; i < 6; i++) {
        at[i] = mv_pci_function_capability(&f, kind[i], length[i]);
        assert_int_equal(at[i] % 4, 0);
        assert_true(at[i] >= (i ? at[i - 1] + length[i - 1] : 0x40));
    }
    assert_int_equal(mv_pci_add(&bed->rig.root, &f, 1, NULL), 0);
    assert_int_equal(pcidriver_capability(d, 1, 9, 0), at[0]);
    assert_int_equal(pcidriver_capability(d, 1, 9, at[0]), at[1]);
    assert_int_equal(pcidriver_capability(d, 1, 9, at[1]), at[3]);
    assert_int_equal(pcidriver_capability(d, 1, 9, at[3]), at[5]);
    assert_int_equal(pcidriver_capability(d, 1, 9, at[5]), 0);
    assert_int_equal(pcidriver_capability(d, 1, 0x11, 0), at[2]);
    assert_int_equal(pcidriver_capability(d, 1, 5, 0), at[4]);
    assert_int_equal(pcidriver_capability(d, 1, 1, 0), 0);
    mv_pci_remove(&f);
    assert_int_equal(pcidriver_read(d, 1, PCI_VENDOR, 2), 0xffff);
}

/* Pieces in one dword, not of the header; commands with what changed. */
static void the_owner_is_told(void **state)
{
    struct bed *bed = *state;
    struct pcicard *card = &bed->card;
    const struct pcidriver *d = &bed->rig.driver;
    (void)pcidriver_load(d, CONFIG + 0x38, 8);
    pcidriver_store(d, CONFIG + 0x38, 8, 0);
    assert_int_equal(card->config_reads + card->config_writes, 0);
    (void)pcidriver_load(d, CONFIG + 0x40, 4);
    assert_int_equal(card->config_reads, 1);
    (void)pcidriver_load(d, CONFIG + 0x43, 8);
    assert_int_equal(card->config_reads, 4);
    pcidriver_store(d, CONFIG + 0x46, 4, 0);
    assert_int_equal(card->config_writes, 2);
    pcidriver_store(d, CONFIG + 0x3e, 4, 0);
    assert_int_equal(card->config_writes, 3);
    assert_int_equal(card->commands, 0);
    pcidriver_command(d, SLOT, PCI_MASTER, 0);
    assert_int_equal(card->commands, 1);
    assert_int_equal(card->changed, PCI_MASTER);
    assert_int_equal(mv_pci_command(&card->f), PCI_MASTER);
    pcidriver_command(d, SLOT, PCI_MASTER | 0xf9f8, 0);
    assert_int_equal(card->commands, 1); /* nothing that can be written */
    pcidriver_write(d, SLOT, PCI_COMMAND + 1, 1, 4);
    assert_int_equal(card->changed, PCI_INTX_OFF);
    pcidriver_write(d, SLOT, PCI_COMMAND, 2, PCI_MEMORY);
    assert_int_equal(card->changed, PCI_MEMORY | PCI_MASTER | PCI_INTX_OFF);
    assert_int_equal(mv_pci_command(&card->f), PCI_MEMORY);
    assert_int_equal(card->commands, 3);
}

static void slots_are_taken_once(void **state)
{
    struct bed *bed = *state;
    struct mv_pci_function f;
    microvm_error err;
    const struct mv_pci_identity id = {.vendor = 1};
    mv_pci_function_init(&f, &id, bed->card.f.ops, &bed->card);
    assert_error(mv_pci_add(&bed->rig.root, &f, SLOT, &err), &err, MICROVM_E_DEVICE,
                 "slot 5 is taken");
    assert_error(mv_pci_add(&bed->rig.root, &f, 0, &err), &err, MICROVM_E_DEVICE,
                 "taken");
    assert_error(mv_pci_add(&bed->rig.root, &f, 32, &err), &err, MICROVM_E_DEVICE,
                 "slot 32");
    mv_pci_remove(&f); /* was not added: nothing */
    assert_int_equal(pcidriver_read(&bed->rig.driver, SLOT, PCI_VENDOR, 2), 0x1af4);
}

#define bed_test(f) cmocka_unit_test_setup_teardown(f, bed_open, bed_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        bed_test(the_host_bridge),        bed_test(a_header),
        bed_test(reads_of_every_width),   bed_test(writes_of_every_width),
        bed_test(what_cannot_be_written), bed_test(the_address_port),
        bed_test(who_is_not_there),       bed_test(capabilities_are_a_list),
        bed_test(the_owner_is_told),      bed_test(slots_are_taken_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
