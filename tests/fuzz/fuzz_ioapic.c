/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Random registers, pins and EOIs against the I/O APIC. After each step: entries hold
 * only bits that exist; a level-triggered pin that is asserted and unmasked waits for
 * an EOI, or for the end of a pause that was asked for; every message sent is of an
 * unmasked entry, and a level-triggered one is known to the hypervisor.
 */
#include "fuzz.h"

#include "chip/ioapic.h"

#define ENTRY_BITS 0xff0000000001efffull
enum { RIRR = 1 << 14, LEVEL = 1 << 15, MASKED = 1 << 16 };

struct apic {
    struct mv_ioapic ioapic;
    struct mv_ioapic_route route[MV_IOAPIC_PINS];
    bool later; /* a pause has been asked for */
};

static void apic_msi(void *ctx, uint64_t address, uint32_t data)
{
    const struct apic *apic = ctx;
    bool found = false;
    for (unsigned pin = 0; pin < MV_IOAPIC_PINS; pin++) {
        const struct mv_ioapic_route *route = &apic->route[pin];
        found |= !route->masked && route->address == address && route->data == data;
    }
    MV_ASSERT(found);
    MV_ASSERT(address >> 20 == 0xfee);
}

static void apic_changed(void *ctx, const struct mv_ioapic_route *route)
{
    struct apic *apic = ctx;
    memcpy(apic->route, route, sizeof apic->route);
}

static void apic_later(void *ctx)
{
    struct apic *apic = ctx;
    apic->later = true;
}

static void apic_resend(struct apic *apic)
{
    apic->later = false;
    mv_ioapic_resend(&apic->ioapic);
}

static void apic_check(const struct apic *apic)
{
    for (unsigned pin = 0; pin < MV_IOAPIC_PINS; pin++) {
        uint64_t entry = apic->ioapic.entry[pin];
        bool asserted = apic->ioapic.asserted >> pin & 1;
        MV_ASSERT(!(entry & ~ENTRY_BITS));
        MV_ASSERT(!(entry & RIRR) || (entry & LEVEL));
        if ((entry & (LEVEL | MASKED)) == LEVEL && asserted)
            MV_ASSERT(entry & RIRR || apic->later);
    }
    MV_ASSERT(apic->ioapic.held == 0 && apic->ioapic.asserted >> MV_IOAPIC_PINS == 0);
}

static void apic_open(struct apic *apic)
{
    const struct mv_ioapic_host host = {apic_msi, apic_changed, apic_later, apic};
    apic->later = false;
    for (unsigned pin = 0; pin < MV_IOAPIC_PINS; pin++)
        apic->route[pin].masked = true;
    MV_ASSERT(mv_ioapic_open(&apic->ioapic, &host, NULL) == 0);
}

/* Saves, and goes on where it was loaded. */
static void apic_move(struct apic *apic)
{
    struct mv_writer w;
    mv_writer_open(&w, 512);
    mv_ioapic_save(&apic->ioapic, &w);
    MV_ASSERT(!w.failed);
    struct mv_reader r = {.data = w.data, .length = w.length};
    mv_ioapic_close(&apic->ioapic);
    apic_open(apic);
    MV_ASSERT(mv_ioapic_load(&apic->ioapic, &r, MV_IOAPIC_STATE_VERSION, NULL) == 0);
    mv_writer_close(&w);
}

static void apic_register(struct apic *apic, struct fuzz *in)
{
    unsigned size = 1u << fuzz8(in) % 4;
    uint64_t offset = fuzz16(in) % (MV_IOAPIC_SIZE - size + 1), value = 0;
    fuzz_bytes(in, &value, size);
    MV_ASSERT(!(mv_ioapic_bus.read(&apic->ioapic, offset, size) & ~mv_size_mask(size)));
    mv_ioapic_bus.write(&apic->ioapic, offset, size, value);
}

static void apic_step(struct apic *apic, struct fuzz *in)
{
    uint8_t what = fuzz8(in);
    struct mv_irq irq = mv_ioapic_pin(&apic->ioapic, (what >> 3) % MV_IOAPIC_PINS);
    uint8_t index = fuzz8(in);
    switch (what % 8) {
    case 0:
        apic_register(apic, in);
        break;
    case 1:
    case 2: /* as drivers do, so that entries are reached often */
        mv_ioapic_bus.write(&apic->ioapic, 0x00, 4, 0x10 + index % 48);
        mv_ioapic_bus.write(&apic->ioapic, 0x10, 4, fuzz32(in));
        break;
    case 3:
        mv_irq_set(&irq, true);
        break;
    case 4:
        mv_irq_set(&irq, false);
        break;
    case 5:
        mv_irq_pulse(&irq);
        break;
    case 6: /* once, or long enough for a pause */
        for (unsigned i = what & 0x80 ? MV_IOAPIC_EOIS_MAX : 1u; i > 0; i--)
            mv_ioapic_eoi(&apic->ioapic, index);
        break;
    default:
        if (what & 0x80)
            apic_resend(apic);
        else
            apic_move(apic);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct fuzz in = {data, length};
    struct apic apic;
    apic_open(&apic);
    while (fuzz_left(&in)) {
        apic_step(&apic, &in);
        apic_check(&apic);
    }
    mv_ioapic_close(&apic.ioapic);
    return 0;
}
