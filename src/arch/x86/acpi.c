/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * ACPI tables. The flags matter more than the tables: each says that something a PC has
 * is not here, and spares the guest the port accesses of probing for it. Every such
 * access is an exit, most of them at boot.
 *
 *     FADT HW_REDUCED_ACPI   no PIC, PIT or PM timer, no SMI command port
 *     FADT boot flags        no VGA, no keyboard controller, no CMOS clock
 *     MADT PCAT_COMPAT = 0   no pair of 8259
 */
#include "arch/x86/acpi.h"

#include "arch/x86/aml.h"
#include "arch/x86/layout.h"
#include "core/config.h"
#include "core/power_regs.h"
#include "util/assert.h"
#include "util/bytes.h"

enum {
    ACPI_HEADER_BYTES = 36,
    ACPI_RSDP_BYTES = 36,
    ACPI_FADT_BYTES = 276,

    /* FADT, ACPI 6.4, table 5.9; flags in table 5.10, boot flags in 5.11 */
    FADT_BOOT_FLAGS = 109,
    FADT_FLAGS = 112,
    FADT_RESET_REG = 116,
    FADT_RESET_VALUE = 128,
    FADT_MINOR = 131,
    FADT_X_DSDT = 140,
    FADT_SLEEP_CONTROL = 244,
    FADT_SLEEP_STATUS = 256,
    FADT_WBINVD = 1 << 0,
    FADT_PWR_BUTTON = 1 << 4, /* the power button is a device of the DSDT */
    FADT_SLP_BUTTON = 1 << 5,
    FADT_RESET_REG_SUP = 1 << 10,
    FADT_HEADLESS = 1 << 12,
    FADT_HW_REDUCED_ACPI = 1 << 20,
    FADT_BOOT_NO_VGA = 1 << 2,
    FADT_BOOT_NO_RTC = 1 << 5,

    ACPI_MCFG_BYTES = ACPI_HEADER_BYTES + 8 + 16,

    /* MADT, 5.2.12 */
    MADT_LAPIC = 0,
    MADT_IOAPIC = 1,
    MADT_LAPIC_NMI = 4
};

/* Where the next table goes. */
struct acpi_area {
    uint8_t *data;
    size_t length, size;
};

/* Ends the table that begins at `table` with its length and checksum, and gives its
 * guest address. The next one begins at a multiple of 16. */
static uint64_t acpi_finish(struct acpi_area *area, uint8_t *table, size_t length)
{
    uint8_t sum = 0;
    mv_store32(table + 4, (uint32_t)length);
    table[9] = 0;
    for (size_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + table[i]);
    table[9] = (uint8_t)-sum;
    uint64_t gpa = MV_X86_ACPI + area->length;
    area->length = mv_align_up(area->length + length, 16);
    MV_ASSERT(area->length <= area->size);
    return gpa;
}

/* The header that all tables but the RSDP have (5.2.6); returns its start. */
static uint8_t *acpi_begin(struct acpi_area *area, const char *signature,
                           uint8_t revision, size_t bytes)
{
    uint8_t *table = area->data + area->length;
    MV_ASSERT(bytes <= area->size - area->length);
    memset(table, 0, bytes);
    memcpy(table, signature, 4);
    table[8] = revision;
    memcpy(table + 10, "MICRO\0", 6);
    memcpy(table + 16, "MICROVM\0", 8);
    mv_store32(table + 24, 1);
    memcpy(table + 28, "MCVM", 4);
    mv_store32(table + 32, 1);
    return table;
}

/* ---- DSDT ----------------------------------------------------------------- */

static void acpi_put_serial(struct mv_aml *aml)
{
    mv_aml_device(aml, "COM1");
    mv_aml_name(aml, "_HID");
    mv_aml_eisa_id(aml, "PNP0501");
    mv_aml_name(aml, "_UID");
    mv_aml_integer(aml, 0);
    mv_aml_name(aml, "_CRS");
    mv_aml_resources(aml);
    mv_aml_io(aml, MV_X86_PORT_SERIAL, 8);
    mv_aml_interrupt(aml, MV_X86_GSI_SERIAL);
    mv_aml_resources_end(aml);
    mv_aml_end(aml);
}

static void acpi_put_rtc(struct mv_aml *aml)
{
    mv_aml_device(aml, "RTC0");
    mv_aml_name(aml, "_HID");
    mv_aml_eisa_id(aml, "PNP0B00");
    mv_aml_name(aml, "_CRS");
    mv_aml_resources(aml);
    mv_aml_io(aml, MV_X86_PORT_RTC, 2);
    mv_aml_interrupt(aml, MV_X86_GSI_RTC);
    mv_aml_resources_end(aml);
    mv_aml_end(aml);
}

static void acpi_put_virtio(struct mv_aml *aml, unsigned index,
                            const struct mv_acpi_device *device)
{
    char name[] = {'V', 'I', (char)('0' + index / 10), (char)('0' + index % 10), '\0'};
    mv_aml_device(aml, name);
    mv_aml_name(aml, "_HID");
    mv_aml_string(aml, "LNRO0005");
    mv_aml_name(aml, "_UID");
    mv_aml_integer(aml, index);
    mv_aml_name(aml, "_CRS");
    mv_aml_resources(aml);
    mv_aml_memory32(aml, (uint32_t)device->gpa, 0x1000);
    mv_aml_interrupt(aml, device->gsi);
    mv_aml_resources_end(aml);
    mv_aml_end(aml);
}

/* 6.2.13: slot n's pin A has an I/O APIC line of its own, no link device between. Slot
 * 0 is the host bridge. */
static void acpi_put_pci_lines(struct mv_aml *aml)
{
    enum { FIRST = 1, SLOTS = 32, ANY_FUNCTION = 0xffff };
    mv_aml_name(aml, "_PRT");
    mv_aml_package(aml, SLOTS - FIRST);
    for (uint32_t slot = FIRST; slot < SLOTS; slot++) {
        mv_aml_package(aml, 4);
        mv_aml_integer(aml, slot << 16 | ANY_FUNCTION);
        mv_aml_integer(aml, 0); /* pin A */
        mv_aml_integer(aml, 0); /* no link device: */
        mv_aml_integer(aml, MV_X86_GSI_PCI + (slot & MV_X86_GSI_PCI_MASK));
        mv_aml_end(aml);
    }
    mv_aml_end(aml);
}

static void acpi_put_pci(struct mv_aml *aml)
{
    mv_aml_device(aml, "PCI0");
    mv_aml_name(aml, "_HID");
    mv_aml_eisa_id(aml, "PNP0A08");
    mv_aml_name(aml, "_CID");
    mv_aml_eisa_id(aml, "PNP0A03");
    mv_aml_name(aml, "_UID");
    mv_aml_integer(aml, 0);
    mv_aml_name(aml, "_SEG");
    mv_aml_integer(aml, 0);
    mv_aml_name(aml, "_BBN");
    mv_aml_integer(aml, 0);
    mv_aml_name(aml, "_CRS");
    mv_aml_resources(aml);
    mv_aml_bus_numbers(aml, 0, 0);
    mv_aml_io(aml, MV_X86_PORT_PCI, 8);
    mv_aml_window32(aml, MV_X86_PCI32, MV_X86_PCI32_SIZE);
    mv_aml_window64(aml, MV_X86_PCI64, MV_X86_PCI64_SIZE);
    mv_aml_resources_end(aml);
    acpi_put_pci_lines(aml);
    mv_aml_end(aml);

    /* PCI Firmware Specification 3.3, 4.1.2: ECAM is reserved by a device of the
     * motherboard, or kernels do not believe the MCFG. */
    mv_aml_device(aml, "ECAM");
    mv_aml_name(aml, "_HID");
    mv_aml_eisa_id(aml, "PNP0C02");
    mv_aml_name(aml, "_UID");
    mv_aml_integer(aml, 0);
    mv_aml_name(aml, "_CRS");
    mv_aml_resources(aml);
    mv_aml_memory32(aml, MV_X86_ECAM, MV_X86_ECAM_SIZE);
    mv_aml_resources_end(aml);
    mv_aml_end(aml);
}

/* The generic event device (5.6.9): its interrupt runs _EVT, which asks the power chip
 * what happened and tells the button. */
static void acpi_put_power(struct mv_aml *aml)
{
    mv_aml_device(aml, "PWRB");
    mv_aml_name(aml, "_HID");
    mv_aml_eisa_id(aml, "PNP0C0C");
    mv_aml_name(aml, "_UID");
    mv_aml_integer(aml, 0);
    mv_aml_end(aml);

    mv_aml_device(aml, "GED_");
    mv_aml_name(aml, "_HID");
    mv_aml_string(aml, "ACPI0013");
    mv_aml_name(aml, "_UID");
    mv_aml_integer(aml, 0);
    mv_aml_name(aml, "_CRS");
    mv_aml_resources(aml);
    mv_aml_interrupt(aml, MV_X86_GSI_POWER);
    mv_aml_resources_end(aml);
    mv_aml_register32(aml, "EREG", "ESEL", MV_X86_POWER + MV_POWER_EVENTS);
    mv_aml_method(aml, "_EVT", 1);
    mv_aml_store_local0(aml, "ESEL");
    mv_aml_if_local0(aml, MV_POWER_EVENT_BUTTON);
    mv_aml_notify(aml, "PWRB", 0x80); /* pressed (5.6.6, control method buttons) */
    mv_aml_end(aml);
    mv_aml_end(aml);
    mv_aml_end(aml);
}

static uint64_t acpi_put_dsdt(struct acpi_area *area,
                              const struct mv_acpi_config *config)
{
    uint8_t *table = acpi_begin(area, "DSDT", 2, ACPI_HEADER_BYTES);
    struct mv_aml aml = {
        .data = table, .length = ACPI_HEADER_BYTES, .size = area->size - area->length};
    mv_aml_scope(&aml, "\\_SB_");
    if (config->serial)
        acpi_put_serial(&aml);
    if (config->rtc)
        acpi_put_rtc(&aml);
    if (config->pci)
        acpi_put_pci(&aml);
    for (unsigned i = 0; i < config->devices; i++)
        acpi_put_virtio(&aml, i, &config->device[i]);
    acpi_put_power(&aml);
    mv_aml_end(&aml);
    /* 7.4.2: what to write into the sleep registers for power off. */
    mv_aml_name(&aml, "\\_S5_");
    mv_aml_package(&aml, 4);
    mv_aml_integer(&aml, MV_POWER_SLP_TYP_OFF);
    mv_aml_integer(&aml, MV_POWER_SLP_TYP_OFF);
    mv_aml_integer(&aml, 0);
    mv_aml_integer(&aml, 0);
    mv_aml_end(&aml);
    MV_ASSERT(!aml.failed); /* 32 devices need 3 KiB of 128 */
    return acpi_finish(area, table, aml.length);
}

/* ---- the other tables ----------------------------------------------------- */

/* Generic address structure (5.2.3.2) of one byte in memory. */
static void acpi_put_address(uint8_t *at, uint64_t gpa)
{
    at[0] = 0; /* system memory */
    at[1] = 8; /* bits */
    at[2] = 0;
    at[3] = 1; /* access by bytes */
    mv_store64(at + 4, gpa);
}

static uint64_t acpi_put_fadt(struct acpi_area *area, uint64_t dsdt_gpa, bool rtc)
{
    uint8_t *table = acpi_begin(area, "FACP", 6, ACPI_FADT_BYTES);
    mv_store16(table + FADT_BOOT_FLAGS,
               FADT_BOOT_NO_VGA | (rtc ? 0 : FADT_BOOT_NO_RTC));
    mv_store32(table + FADT_FLAGS, FADT_WBINVD | FADT_PWR_BUTTON | FADT_SLP_BUTTON |
                                       FADT_RESET_REG_SUP | FADT_HEADLESS |
                                       FADT_HW_REDUCED_ACPI);
    acpi_put_address(table + FADT_RESET_REG, MV_X86_POWER + MV_POWER_RESET);
    table[FADT_RESET_VALUE] = MV_POWER_RESET_VALUE;
    table[FADT_MINOR] = 4; /* of ACPI 6.4 */
    mv_store64(table + FADT_X_DSDT, dsdt_gpa);
    acpi_put_address(table + FADT_SLEEP_CONTROL, MV_X86_POWER + MV_POWER_SLEEP_CONTROL);
    acpi_put_address(table + FADT_SLEEP_STATUS, MV_X86_POWER + MV_POWER_SLEEP_STATUS);
    return acpi_finish(area, table, ACPI_FADT_BYTES);
}

static uint64_t acpi_put_madt(struct acpi_area *area, unsigned cpus, bool ioapic)
{
    size_t bytes = ACPI_HEADER_BYTES + 8 + cpus * 8 + (ioapic ? 12 : 0) + 6;
    uint8_t *table = acpi_begin(area, "APIC", 5, bytes);
    uint8_t *e = table + ACPI_HEADER_BYTES;
    mv_store32(e, MV_X86_LAPIC);
    e += 8;
    for (unsigned i = 0; i < cpus; i++, e += 8) {
        e[0] = MADT_LAPIC;
        e[1] = 8;
        e[2] = (uint8_t)i; /* processor UID */
        e[3] = (uint8_t)i; /* APIC id */
        mv_store32(e + 4, 1);
    }
    if (ioapic) {
        e[0] = MADT_IOAPIC;
        e[1] = 12;
        e[2] = (uint8_t)cpus; /* an id that no processor has */
        mv_store32(e + 4, MV_X86_IOAPIC);
        e += 12;
    }
    e[0] = MADT_LAPIC_NMI;
    e[1] = 6;
    e[2] = 0xff; /* all processors */
    e[5] = 1;    /* LINT1 */
    return acpi_finish(area, table, bytes);
}

/* PCI Firmware Specification 3.3, table 4-2. */
static uint64_t acpi_put_mcfg(struct acpi_area *area)
{
    uint8_t *table = acpi_begin(area, "MCFG", 1, ACPI_MCFG_BYTES);
    mv_store64(table + ACPI_HEADER_BYTES + 8, MV_X86_ECAM);
    /* segment, first and last bus: all 0 */
    return acpi_finish(area, table, ACPI_MCFG_BYTES);
}

static uint64_t acpi_put_xsdt(struct acpi_area *area, const uint64_t *gpa,
                              unsigned count)
{
    size_t bytes = ACPI_HEADER_BYTES + count * 8;
    uint8_t *table = acpi_begin(area, "XSDT", 1, bytes);
    for (unsigned i = 0; i < count; i++)
        mv_store64(table + ACPI_HEADER_BYTES + i * 8, gpa[i]);
    return acpi_finish(area, table, bytes);
}

static void acpi_put_rsdp(uint8_t *rsdp, uint64_t xsdt_gpa)
{
    uint8_t sum = 0;
    memset(rsdp, 0, ACPI_RSDP_BYTES);
    memcpy(rsdp, "RSD PTR ", 8);
    memcpy(rsdp + 9, "MICRO\0", 6);
    rsdp[15] = 2; /* revision */
    mv_store32(rsdp + 20, ACPI_RSDP_BYTES);
    mv_store64(rsdp + 24, xsdt_gpa);
    for (unsigned i = 0; i < 20; i++) /* 5.2.5.3: that of ACPI 1.0 ... */
        sum = (uint8_t)(sum + rsdp[i]);
    rsdp[8] = (uint8_t)-sum;
    sum = 0;
    for (unsigned i = 0; i < ACPI_RSDP_BYTES; i++) /* ... and of all */
        sum = (uint8_t)(sum + rsdp[i]);
    rsdp[32] = (uint8_t)-sum;
}

bool mv_acpi_write(const struct mv_ram *ram, const struct mv_acpi_config *config,
                   uint64_t *rsdp_gpa)
{
    struct acpi_area area = {.data = mv_ram_at(ram, MV_X86_ACPI, MV_X86_ACPI_SIZE),
                             .size = MV_X86_ACPI_SIZE};
    MV_ASSERT(config->cpus >= 1 && config->cpus <= MV_CPUS_MAX);
    MV_ASSERT(config->devices <= MV_ACPI_DEVICES_MAX);
    if (!area.data)
        return false;
    area.length = mv_align_up(ACPI_RSDP_BYTES, 16);
    uint64_t dsdt_gpa = acpi_put_dsdt(&area, config), gpa[3];
    unsigned count = 0;
    gpa[count++] = acpi_put_fadt(&area, dsdt_gpa, config->rtc);
    gpa[count++] = acpi_put_madt(&area, config->cpus, !config->isa_interrupts);
    if (config->pci)
        gpa[count++] = acpi_put_mcfg(&area);
    acpi_put_rsdp(area.data, acpi_put_xsdt(&area, gpa, count));
    *rsdp_gpa = MV_X86_ACPI;
    return true;
}
