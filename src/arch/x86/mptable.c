/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * MP table: a floating pointer in the extended BIOS data area, the second of the places
 * where kernels look (MP 1.4, chapter 4), and the table it points to. The lines of the
 * I/O APIC are described as edge-triggered interrupts of an ISA bus, with explicit
 * flags, because lines above 15 have no defaults on ISA. Where there is a PCI bus, the
 * lines above 15 are those of its slots instead, level-triggered and active low.
 */
#include "arch/x86/mptable.h"

#include "arch/x86/layout.h"
#include "core/config.h"
#include "util/assert.h"
#include "util/bytes.h"

enum {
    MP_POINTER_BYTES = 16,
    MP_HEADER_BYTES = 44,
    MP_PROCESSOR = 0,
    MP_BUS = 1,
    MP_IOAPIC = 2,
    MP_IO_INTERRUPT = 3,
    MP_LOCAL_INTERRUPT = 4,
    MP_SPEC_1_4 = 4,
    MP_LAPIC_VERSION = 0x14,
    MP_IOAPIC_VERSION = 0x11,
    MP_ACTIVE_HIGH_EDGE = 0x05, /* 4.3.4: polarity 01, trigger 01 */
    MP_ACTIVE_LOW_LEVEL = 0x0f,
    MP_BUS_PCI = 0, /* the number that PCI itself gives it */
    MP_BUS_ISA = 1,
    MP_PCI_SLOTS = 32,
    MP_ALL_LAPICS = 0xff,
    MP_INT = 0, /* interrupt types, table 4-11 */
    MP_NMI = 1,
    MP_EXTINT = 3
};

struct mp_table {
    uint8_t *start, *at;
    unsigned entries;
};

/* The next entry, zeroed, its type set: processors have 20 bytes, all others 8. */
static uint8_t *mp_entry(struct mp_table *table, uint8_t type)
{
    uint8_t *entry = table->at;
    unsigned bytes = type == MP_PROCESSOR ? 20 : 8;
    memset(entry, 0, bytes);
    entry[0] = type;
    table->at += bytes;
    table->entries++;
    return entry;
}

static uint8_t mp_checksum(const uint8_t *data, size_t length)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + data[i]);
    return (uint8_t)-sum;
}

static void mp_add_processors(struct mp_table *table, unsigned cpus)
{
    for (unsigned i = 0; i < cpus; i++) {
        uint8_t *e = mp_entry(table, MP_PROCESSOR);
        e[1] = (uint8_t)i; /* local APIC id */
        e[2] = MP_LAPIC_VERSION;
        e[3] = i == 0 ? 3 : 1;    /* enabled, boot processor */
        mv_store32(e + 4, 0x600); /* family 6; kernels ask CPUID instead */
        mv_store32(e + 8, 0x201); /* FPU, APIC */
    }
}

static void mp_add_bus(struct mp_table *table, uint8_t number, const char *type)
{
    uint8_t *e = mp_entry(table, MP_BUS);
    e[1] = number;
    memcpy(e + 2, type, 6);
}

struct mp_source {
    uint8_t type, flags, bus, line;
};

static void mp_add_interrupt(struct mp_table *table, uint8_t entry_type,
                             const struct mp_source *source, uint8_t apic, uint8_t pin)
{
    uint8_t *e = mp_entry(table, entry_type);
    e[1] = source->type;
    e[2] = source->flags;
    e[4] = source->bus;
    e[5] = source->line;
    e[6] = apic;
    e[7] = pin;
}

static void mp_add_lines(struct mp_table *table, uint8_t ioapic, bool pci)
{
    uint8_t lines = pci ? MV_X86_GSI_PCI : MV_X86_GSI_COUNT;
    for (uint8_t line = 0; line < lines; line++)
        mp_add_interrupt(
            table, MP_IO_INTERRUPT,
            &(struct mp_source){MP_INT, MP_ACTIVE_HIGH_EDGE, MP_BUS_ISA, line}, ioapic,
            line);
    /* D.3: bits 6-2 are the slot, 1-0 the pin: only A is used. Slot 0, the host bridge,
     * has none. */
    for (unsigned slot = 1; pci && slot < MP_PCI_SLOTS; slot++)
        mp_add_interrupt(table, MP_IO_INTERRUPT,
                         &(struct mp_source){MP_INT, MP_ACTIVE_LOW_LEVEL, MP_BUS_PCI,
                                             (uint8_t)(slot << 2)},
                         ioapic,
                         (uint8_t)(MV_X86_GSI_PCI + (slot & MV_X86_GSI_PCI_MASK)));
}

bool mv_mptable_write(const struct mv_ram *ram, unsigned cpus, bool pci)
{
    uint8_t *pointer = mv_ram_at(ram, MV_X86_EBDA, MP_POINTER_BYTES);
    uint8_t *start = mv_ram_at(ram, MV_X86_MPTABLE, MV_X86_MPTABLE_SIZE);
    struct mp_table table = {.start = start};
    uint8_t ioapic = (uint8_t)cpus; /* an id that no processor has */
    MV_ASSERT(cpus >= 1 && cpus <= MV_CPUS_MAX);
    if (!pointer || !start)
        return false;
    memset(start, 0, MP_HEADER_BYTES);
    table.at = start + MP_HEADER_BYTES;
    mp_add_processors(&table, cpus);
    if (pci)
        mp_add_bus(&table, MP_BUS_PCI, "PCI   ");
    mp_add_bus(&table, MP_BUS_ISA, "ISA   ");
    uint8_t *e = mp_entry(&table, MP_IOAPIC);
    e[1] = ioapic;
    e[2] = MP_IOAPIC_VERSION;
    e[3] = 1; /* enabled */
    mv_store32(e + 4, MV_X86_IOAPIC);
    mp_add_lines(&table, ioapic, pci);
    mp_add_interrupt(&table, MP_LOCAL_INTERRUPT,
                     &(struct mp_source){.type = MP_EXTINT, .bus = MP_BUS_ISA}, 0, 0);
    mp_add_interrupt(&table, MP_LOCAL_INTERRUPT,
                     &(struct mp_source){.type = MP_NMI, .bus = MP_BUS_ISA},
                     MP_ALL_LAPICS, 1);

    size_t length = (size_t)(table.at - start);
    MV_ASSERT(length <= MV_X86_MPTABLE_SIZE);
    memcpy(start, "PCMP", 4);
    mv_store16(start + 4, (uint16_t)length);
    start[6] = MP_SPEC_1_4;
    memcpy(start + 8, "MICROVM MICROVM     ", 20);
    mv_store16(start + 34, (uint16_t)table.entries);
    mv_store32(start + 36, MV_X86_LAPIC);
    start[7] = mp_checksum(start, length);

    memset(pointer, 0, MP_POINTER_BYTES);
    memcpy(pointer, "_MP_", 4);
    mv_store32(pointer + 4, MV_X86_MPTABLE);
    pointer[8] = 1; /* length, in 16 bytes */
    pointer[9] = MP_SPEC_1_4;
    pointer[10] = mp_checksum(pointer, MP_POINTER_BYTES);
    return true;
}
