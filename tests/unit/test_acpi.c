/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * ACPI tables: every pointer, length and checksum, and the fields that a kernel acts
 * on. With an argument this program writes the tables of a machine with four
 * processors, PCI and twelve devices to that folder, for acpi_iasl.py, which has ACPICA
 * read them.
 */
#include "check.h"

#include "arch/x86/acpi.h"
#include "arch/x86/aml.h"
#include "arch/x86/layout.h"
#include "core/power_regs.h"
#include "os/mem.h"
#include "util/bytes.h"

#include <stdio.h>

static struct mv_ram ram;

static uint8_t sum(const uint8_t *data, size_t length)
{
    uint8_t s = 0;
    while (length--)
        s = (uint8_t)(s + *data++);
    return s;
}

static void open_ram(void)
{
    microvm_error err;
    assert_ok(mv_ram_open(&ram, MV_MIB(2), MV_X86_HOLE, MV_X86_HOLE_END, 0, &err),
              &err);
}

static struct mv_acpi_config machine(unsigned cpus, unsigned devices)
{
    struct mv_acpi_config config = {.cpus = cpus, .serial = true, .devices = devices};
    for (unsigned i = 0; i < devices; i++)
        config.device[i] =
            (struct mv_acpi_device){MV_X86_VIRTIO + i * 0x1000, 5 + i % 19};
    return config;
}

/* The table at gpa, after a look at what all tables have. */
static const uint8_t *table(uint64_t gpa, const char *signature)
{
    const uint8_t *t = mv_ram_at(&ram, gpa, 36);
    assert_non_null(t);
    assert_memory_equal(t, signature, 4);
    uint32_t length = mv_load32(t + 4);
    assert_true(mv_inside(gpa, length, MV_X86_ACPI, MV_X86_ACPI_SIZE) && length >= 36);
    assert_int_equal(sum(t, length), 0);
    return t;
}

static bool contains(const uint8_t *t, const char *text)
{
    size_t n = strlen(text), length = mv_load32(t + 4);
    for (size_t i = 0; i + n <= length; i++)
        if (memcmp(t + i, text, n) == 0)
            return true;
    return false;
}

struct tables {
    const uint8_t *fadt, *madt, *dsdt, *mcfg;
};

static struct tables written(const struct mv_acpi_config *config)
{
    uint64_t gpa = 0;
    assert_true(mv_acpi_write(&ram, config, &gpa));
    assert_int_equal(gpa, MV_X86_ACPI);
    const uint8_t *rsdp = mv_ram_at(&ram, gpa, 36);
    assert_memory_equal(rsdp, "RSD PTR ", 8);
    assert_int_equal(sum(rsdp, 20), 0);
    assert_int_equal(sum(rsdp, 36), 0);
    assert_int_equal(rsdp[15], 2);
    const uint8_t *xsdt = table(mv_load64(rsdp + 24), "XSDT");
    assert_int_equal(mv_load32(xsdt + 4), 36 + (2 + config->pci) * 8);
    struct tables t = {.fadt = table(mv_load64(xsdt + 36), "FACP"),
                       .madt = table(mv_load64(xsdt + 44), "APIC")};
    if (config->pci)
        t.mcfg = table(mv_load64(xsdt + 52), "MCFG");
    t.dsdt = table(mv_load64(t.fadt + 140), "DSDT");
    return t;
}

static void describes_a_reduced_machine(void **state)
{
    (void)state;
    open_ram();
    struct mv_acpi_config config = machine(2, 3);
    struct tables t = written(&config);
    assert_int_equal(mv_load32(t.fadt + 4), 276);
    assert_int_equal(t.fadt[8], 6);
    uint32_t flags = mv_load32(t.fadt + 112);
    assert_true(flags & 1u << 20); /* HW_REDUCED_ACPI */
    assert_true(flags & 1u << 10); /* RESET_REG_SUP */
    assert_int_equal(mv_load64(t.fadt + 120), MV_X86_POWER + MV_POWER_RESET);
    assert_int_equal(t.fadt[128], MV_POWER_RESET_VALUE);
    assert_int_equal(mv_load64(t.fadt + 248), MV_X86_POWER + MV_POWER_SLEEP_CONTROL);
    assert_int_equal(mv_load64(t.fadt + 260), MV_X86_POWER + MV_POWER_SLEEP_STATUS);
    assert_int_equal(mv_load16(t.fadt + 109), 1u << 2 | 1u << 5); /* no VGA, no RTC */
    assert_true(contains(t.dsdt, "LNRO0005"));
    assert_true(contains(t.dsdt, "VI02"));
    assert_false(contains(t.dsdt, "VI03"));
    assert_true(contains(t.dsdt, "ACPI0013"));
    assert_true(contains(t.dsdt, "COM1"));
    assert_false(contains(t.dsdt, "RTC0"));
    config.rtc = true;
    config.serial = false;
    t = written(&config);
    assert_int_equal(mv_load16(t.fadt + 109), 1u << 2);
    assert_true(contains(t.dsdt, "RTC0"));
    assert_false(contains(t.dsdt, "COM1"));
    mv_ram_close(&ram);
}

static void counts_processors(void **state)
{
    static const unsigned cpus[] = {1, 4, 64};
    (void)state;
    open_ram();
    for (unsigned i = 0; i < MV_ARRAY_LEN(cpus); i++) {
        struct mv_acpi_config config = machine(cpus[i], MV_ACPI_DEVICES_MAX);
        struct tables t = written(&config);
        unsigned lapics = 0, ioapics = 0, length = mv_load32(t.madt + 4);
        assert_int_equal(mv_load32(t.madt + 36), MV_X86_LAPIC);
        assert_int_equal(mv_load32(t.madt + 40), 0); /* no PCAT_COMPAT */
        for (unsigned at = 44; at < length; at += t.madt[at + 1]) {
            const uint8_t *e = t.madt + at;
            assert_true(e[1] >= 6);
            if (e[0] == 0)
                assert_int_equal(e[3], lapics++);
            if (e[0] == 1 && ++ioapics)
                assert_int_equal(mv_load32(e + 4), MV_X86_IOAPIC);
        }
        assert_int_equal(lapics, cpus[i]);
        assert_int_equal(ioapics, 1);
    }
    mv_ram_close(&ram);
}

static void leaves_the_ioapic_to_the_mp_table(void **state)
{
    (void)state;
    open_ram();
    struct mv_acpi_config config = machine(2, 0);
    config.isa_interrupts = true;
    struct tables t = written(&config);
    assert_int_equal(mv_load32(t.madt + 4), 44 + 2 * 8 + 6);
    assert_int_equal(t.madt[44 + 8], 0);  /* a processor, */
    assert_int_equal(t.madt[44 + 16], 4); /* then the NMI */
    mv_ram_close(&ram);
}

static void describes_pci(void **state)
{
    (void)state;
    open_ram();
    struct mv_acpi_config config = machine(1, 0);
    struct tables t = written(&config);
    assert_false(contains(t.dsdt, "PCI0"));
    config.pci = true;
    t = written(&config);
    assert_true(contains(t.dsdt, "PCI0"));
    assert_int_equal(mv_load32(t.mcfg + 4), 36 + 8 + 16);
    assert_int_equal(mv_load64(t.mcfg + 44), MV_X86_ECAM);
    assert_int_equal(mv_load64(t.mcfg + 52), 0); /* segment 0, buses 0 to 0 */
    mv_ram_close(&ram);
}

static void needs_low_memory(void **state)
{
    struct mv_acpi_config config = machine(1, 0);
    microvm_error err;
    uint64_t gpa = 7;
    (void)state;
    assert_ok(mv_ram_open(&ram, MV_KIB(960), MV_X86_HOLE, MV_X86_HOLE_END, 0, &err),
              &err);
    assert_false(mv_acpi_write(&ram, &config, &gpa));
    assert_int_equal(gpa, 7);
    mv_ram_close(&ram);
}

static void remembers_that_aml_did_not_fit(void **state)
{
    uint8_t room[12];
    struct mv_aml aml = {.data = room, .size = sizeof room};
    (void)state;
    mv_aml_device(&aml, "COM1");
    mv_aml_name(&aml, "_CRS");
    mv_aml_resources(&aml);
    mv_aml_interrupt(&aml, 4);
    mv_aml_resources_end(&aml);
    mv_aml_end(&aml);
    assert_true(aml.failed);
    assert_int_equal(aml.length, sizeof room);
}

static void encodes_as_the_specification_says(void **state)
{
    static const uint8_t wanted[] = {
        0x5b, 0x82, 0x8e, 0x01, 0,    'C',  'O',  'M',  '1', /* Device, 30 bytes */
        0x08, '_',  'H',  'I',  'D',  0x0c, 0x41, 0xd0, 0x05, 0x01, /* PNP0501 */
        0x08, '_',  'U',  'I',  'D',  0x01,                         /* OneOp */
        0x0c, 0x44, 0x33, 0x22, 0x11, 0x0a, 0xff};
    uint8_t room[64];
    struct mv_aml aml = {.data = room, .size = sizeof room};
    (void)state;
    mv_aml_device(&aml, "COM1");
    mv_aml_name(&aml, "_HID");
    mv_aml_eisa_id(&aml, "PNP0501");
    mv_aml_name(&aml, "_UID");
    mv_aml_integer(&aml, 1);
    mv_aml_integer(&aml, 0x11223344);
    mv_aml_integer(&aml, 0xff);
    mv_aml_end(&aml);
    assert_int_equal(aml.length, sizeof wanted);
    assert_memory_equal(room, wanted, sizeof wanted);
}

static int dump(const char *folder)
{
    struct mv_acpi_config config = machine(4, 12);
    open_ram();
    config.rtc = true;
    config.pci = true;
    struct tables t = written(&config);
    const uint8_t *all[] = {t.fadt, t.madt, t.dsdt, t.mcfg};
    for (unsigned i = 0; i < MV_ARRAY_LEN(all); i++) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%.4s.aml", folder, (const char *)all[i]);
        FILE *file = fopen(path, "wb");
        if (!file)
            return 1;
        size_t length = mv_load32(all[i] + 4);
        bool ok = fwrite(all[i], 1, length, file) == length;
        if (fclose(file) || !ok)
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describes_a_reduced_machine),
        cmocka_unit_test(counts_processors),
        cmocka_unit_test(leaves_the_ioapic_to_the_mp_table),
        cmocka_unit_test(describes_pci),
        cmocka_unit_test(needs_low_memory),
        cmocka_unit_test(remembers_that_aml_did_not_fit),
        cmocka_unit_test(encodes_as_the_specification_says),
    };
    return argc > 1 ? dump(argv[1]) : cmocka_run_group_tests(tests, NULL, NULL);
}
