/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Pins, entries, registers. Whoever changes something under the lock collects the pins
 * that must send, as messages of their own copy, and sends them after it.
 */
#include "chip/ioapic.h"

#include "os/error.h"
#include "util/assert.h"
#include "util/bytes.h"

enum { /* memory-mapped registers, 3.1; EOI: version 0x20 */
       IOAPIC_SELECT = 0x00,
       IOAPIC_WINDOW = 0x10,
       IOAPIC_EOI = 0x40
};

enum { /* registers behind the window, 3.2 */
       INDEX_ID = 0x00,
       INDEX_VERSION = 0x01,
       INDEX_ARBITRATION = 0x02,
       INDEX_ENTRIES = 0x10 /* two for each pin: low, high */
};

enum {
    IOAPIC_VERSION = 0x20 | (MV_IOAPIC_PINS - 1) << 16,
    ID_SHIFT = 24,
    ID_MASK = 0x0f
};

/* Redirection entry, 3.2.4. */
#define ENTRY_VECTOR     0xffull
#define ENTRY_DELIVERY   (7ull << 8)
#define ENTRY_LOGICAL    (1ull << 11)
#define ENTRY_REMOTE_IRR (1ull << 14) /* a level-triggered vector waits for its EOI */
#define ENTRY_LEVEL      (1ull << 15)
#define ENTRY_MASKED     (1ull << 16)
#define ENTRY_DEST_SHIFT 56
/* What the guest may write: those, polarity and destination. */
#define ENTRY_WRITABLE   0xff0000000001afffull

/* Messages, Intel SDM Vol. 3, 11.11. */
enum {
    MSI_ADDRESS = 0xfee00000u,
    MSI_DEST_SHIFT = 12,
    MSI_LOGICAL = 1 << 2,
    MSI_ASSERT = 1 << 14,
    MSI_LEVEL = 1 << 15
};

static struct mv_ioapic_route ioapic_route(uint64_t entry)
{
    bool level = entry & ENTRY_LEVEL;
    return (struct mv_ioapic_route){
        .address = MSI_ADDRESS | entry >> ENTRY_DEST_SHIFT << MSI_DEST_SHIFT |
                   (entry & ENTRY_LOGICAL ? MSI_LOGICAL : 0u),
        .data = (uint32_t)(entry & (ENTRY_VECTOR | ENTRY_DELIVERY)) |
                (level ? MSI_LEVEL | MSI_ASSERT : 0u),
        .masked = entry & ENTRY_MASKED,
        .level = level,
    };
}

/* -- sending -------------------------------------------------------------- */

/* What was decided under the lock and is sent after it. */
struct ioapic_batch {
    struct mv_ioapic_route route[MV_IOAPIC_PINS];
    unsigned count;
};

static void ioapic_send(const struct mv_ioapic *ioapic,
                        const struct ioapic_batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++)
        ioapic->host.msi(ioapic->host.ctx, batch->route[i].address,
                         batch->route[i].data);
}

static void ioapic_add(struct ioapic_batch *batch, uint64_t entry)
{
    batch->route[batch->count++] = ioapic_route(entry);
}

/* A level-triggered pin sends when it is asserted, unmasked and not waiting for the EOI
 * of what it sent before. */
static bool ioapic_may_send(const struct mv_ioapic *ioapic, unsigned pin)
{
    const uint64_t bits = ENTRY_LEVEL | ENTRY_MASKED | ENTRY_REMOTE_IRR;
    return (ioapic->entry[pin] & bits) == ENTRY_LEVEL &&
           (ioapic->asserted & ~ioapic->held & 1u << pin);
}

static void ioapic_check_level(struct mv_ioapic *ioapic, unsigned pin,
                               struct ioapic_batch *batch)
{
    if (!ioapic_may_send(ioapic, pin))
        return;
    ioapic->entry[pin] |= ENTRY_REMOTE_IRR;
    ioapic_add(batch, ioapic->entry[pin]);
}

/* An edge on a masked pin is lost, 3.2.4. */
static void ioapic_assert(struct mv_ioapic *ioapic, unsigned pin,
                          struct ioapic_batch *batch)
{
    bool edge = !(ioapic->asserted & 1u << pin);
    ioapic->asserted |= 1u << pin;
    if (ioapic->entry[pin] & ENTRY_LEVEL)
        ioapic_check_level(ioapic, pin, batch);
    else if (edge && !(ioapic->entry[pin] & ENTRY_MASKED))
        ioapic_add(batch, ioapic->entry[pin]);
}

static void ioapic_deassert(struct mv_ioapic *ioapic, unsigned pin)
{
    ioapic->asserted &= ~(1u << pin);
    ioapic->eois[pin] = 0;
}

static void ioapic_set(void *controller, unsigned pin, bool level)
{
    struct mv_ioapic *ioapic = controller;
    struct ioapic_batch batch;
    batch.count = 0;
    MV_ASSERT(pin < MV_IOAPIC_PINS);
    uv_mutex_lock(&ioapic->lock);
    if (level)
        ioapic_assert(ioapic, pin, &batch);
    else
        ioapic_deassert(ioapic, pin);
    uv_mutex_unlock(&ioapic->lock);
    ioapic_send(ioapic, &batch);
}

static void ioapic_pulse(void *controller, unsigned pin)
{
    struct mv_ioapic *ioapic = controller;
    struct ioapic_batch batch;
    batch.count = 0;
    MV_ASSERT(pin < MV_IOAPIC_PINS);
    uv_mutex_lock(&ioapic->lock);
    ioapic_assert(ioapic, pin, &batch);
    ioapic_deassert(ioapic, pin);
    uv_mutex_unlock(&ioapic->lock);
    ioapic_send(ioapic, &batch);
}

struct mv_irq mv_ioapic_pin(struct mv_ioapic *ioapic, unsigned pin)
{
    MV_ASSERT(pin < MV_IOAPIC_PINS);
    return (struct mv_irq){ioapic_set, ioapic_pulse, ioapic, pin};
}

/* Whether the pin, whose EOI has come, is to be paused: it stays as one that may send,
 * which is all that the end of the pause, or a load, looks at. */
static bool ioapic_storms(struct mv_ioapic *ioapic, unsigned pin)
{
    if (!ioapic_may_send(ioapic, pin) || ++ioapic->eois[pin] < MV_IOAPIC_EOIS_MAX)
        return false;
    ioapic->eois[pin] = 0;
    return true;
}

void mv_ioapic_eoi(struct mv_ioapic *ioapic, uint8_t vector)
{
    struct ioapic_batch batch;
    bool later = false;
    batch.count = 0;
    uv_mutex_lock(&ioapic->lock);
    for (unsigned pin = 0; pin < MV_IOAPIC_PINS; pin++) {
        uint64_t *entry = &ioapic->entry[pin];
        if (!(*entry & ENTRY_REMOTE_IRR) || (*entry & ENTRY_VECTOR) != vector)
            continue;
        *entry &= ~ENTRY_REMOTE_IRR;
        if (ioapic_storms(ioapic, pin))
            later = true;
        else
            ioapic_check_level(ioapic, pin, &batch);
    }
    uv_mutex_unlock(&ioapic->lock);
    ioapic_send(ioapic, &batch);
    if (later)
        ioapic->host.later(ioapic->host.ctx);
}

void mv_ioapic_resend(struct mv_ioapic *ioapic)
{
    struct ioapic_batch batch;
    batch.count = 0;
    uv_mutex_lock(&ioapic->lock);
    for (unsigned pin = 0; pin < MV_IOAPIC_PINS; pin++)
        ioapic_check_level(ioapic, pin, &batch);
    uv_mutex_unlock(&ioapic->lock);
    ioapic_send(ioapic, &batch);
}

/* -- registers ------------------------------------------------------------ */

/* With write_lock held, so that nobody else changes entries' messages. */
static void ioapic_tell_routes(struct mv_ioapic *ioapic)
{
    struct mv_ioapic_route route[MV_IOAPIC_PINS];
    uv_mutex_lock(&ioapic->lock);
    for (unsigned pin = 0; pin < MV_IOAPIC_PINS; pin++)
        route[pin] = ioapic_route(ioapic->entry[pin]);
    uv_mutex_unlock(&ioapic->lock);
    ioapic->host.changed(ioapic->host.ctx, route);
}

/* The guest's value for an entry; true when `changed` must be told. Making a pin
 * edge-triggered clears its remote IRR, which is how software without the EOI register
 * does that. */
static bool ioapic_replace(struct mv_ioapic *ioapic, unsigned pin, uint64_t value)
{
    uint64_t before = ioapic->entry[pin], after = value & ENTRY_WRITABLE;
    if (after & ENTRY_LEVEL)
        after |= before & ENTRY_REMOTE_IRR;
    ioapic->entry[pin] = after;
    bool silent = before & after & ENTRY_MASKED;
    return !silent && ((before ^ after) & ~ENTRY_REMOTE_IRR) != 0;
}

/* While `changed` makes the hypervisor watch for a vector's EOI, the pin is held: an
 * EOI that came sooner would be lost, and the pin be stuck. */
static void ioapic_write_entry(struct mv_ioapic *ioapic, unsigned index, uint32_t value)
{
    unsigned pin = index / 2, shift = index % 2 ? 32 : 0;
    struct ioapic_batch batch;
    batch.count = 0;
    uv_mutex_lock(&ioapic->write_lock);
    uv_mutex_lock(&ioapic->lock);
    uint64_t kept = ioapic->entry[pin] & ~(0xffffffffull << shift);
    bool told = ioapic_replace(ioapic, pin, kept | (uint64_t)value << shift);
    ioapic->held = 1u << pin;
    uv_mutex_unlock(&ioapic->lock);
    if (told)
        ioapic_tell_routes(ioapic);
    uv_mutex_lock(&ioapic->lock);
    ioapic->held = 0;
    ioapic_check_level(ioapic, pin, &batch);
    uv_mutex_unlock(&ioapic->lock);
    uv_mutex_unlock(&ioapic->write_lock);
    ioapic_send(ioapic, &batch);
}

static uint32_t ioapic_read_window(const struct mv_ioapic *ioapic)
{
    unsigned entry = ioapic->index - (unsigned)INDEX_ENTRIES;
    if (ioapic->index == INDEX_ID || ioapic->index == INDEX_ARBITRATION)
        return (uint32_t)ioapic->id << ID_SHIFT;
    if (ioapic->index == INDEX_VERSION)
        return IOAPIC_VERSION;
    if (ioapic->index < INDEX_ENTRIES || entry >= 2 * MV_IOAPIC_PINS)
        return 0;
    return (uint32_t)(ioapic->entry[entry / 2] >> (entry % 2 ? 32 : 0));
}

static void ioapic_write_window(struct mv_ioapic *ioapic, uint32_t value)
{
    uv_mutex_lock(&ioapic->lock);
    unsigned index = ioapic->index;
    if (index == INDEX_ID)
        ioapic->id = value >> ID_SHIFT & ID_MASK;
    uv_mutex_unlock(&ioapic->lock);
    if (index >= INDEX_ENTRIES && index < INDEX_ENTRIES + 2 * MV_IOAPIC_PINS)
        ioapic_write_entry(ioapic, index - INDEX_ENTRIES, value);
}

/* Registers are 32 bits wide and 16 bytes apart. Narrow accesses see their low bytes,
 * and write zeros to the others; what does not begin at a register hits nothing. */
static uint64_t ioapic_read(void *chip, uint64_t offset, unsigned size)
{
    struct mv_ioapic *ioapic = chip;
    uint32_t value = 0;
    uv_mutex_lock(&ioapic->lock);
    if (offset == IOAPIC_SELECT)
        value = ioapic->index;
    else if (offset == IOAPIC_WINDOW)
        value = ioapic_read_window(ioapic);
    uv_mutex_unlock(&ioapic->lock);
    return value & mv_size_mask(size);
}

static void ioapic_write(void *chip, uint64_t offset, unsigned size, uint64_t value)
{
    struct mv_ioapic *ioapic = chip;
    (void)size; /* the bus has cut the value */
    if (offset == IOAPIC_SELECT) {
        uv_mutex_lock(&ioapic->lock);
        ioapic->index = (uint8_t)value;
        uv_mutex_unlock(&ioapic->lock);
    } else if (offset == IOAPIC_WINDOW) {
        ioapic_write_window(ioapic, (uint32_t)value);
    } else if (offset == IOAPIC_EOI) {
        mv_ioapic_eoi(ioapic, (uint8_t)value);
    }
}

const struct mv_bus_ops mv_ioapic_bus = {ioapic_read, ioapic_write};

/* -- life ----------------------------------------------------------------- */

int mv_ioapic_open(struct mv_ioapic *ioapic, const struct mv_ioapic_host *host,
                   microvm_error *err)
{
    *ioapic = (struct mv_ioapic){.host = *host};
    for (unsigned pin = 0; pin < MV_IOAPIC_PINS; pin++)
        ioapic->entry[pin] = ENTRY_MASKED;
    int rc = uv_mutex_init(&ioapic->lock);
    if (rc)
        return mv_fail_uv(err, rc, "I/O APIC: cannot make a lock");
    rc = uv_mutex_init(&ioapic->write_lock);
    if (rc) {
        uv_mutex_destroy(&ioapic->lock);
        return mv_fail_uv(err, rc, "I/O APIC: cannot make a lock");
    }
    return 0;
}

void mv_ioapic_close(struct mv_ioapic *ioapic)
{
    uv_mutex_destroy(&ioapic->write_lock);
    uv_mutex_destroy(&ioapic->lock);
}

void mv_ioapic_save(struct mv_ioapic *ioapic, struct mv_writer *w)
{
    uv_mutex_lock(&ioapic->lock);
    mv_put8(w, ioapic->id);
    mv_put8(w, ioapic->index);
    mv_put32(w, ioapic->asserted);
    for (unsigned pin = 0; pin < MV_IOAPIC_PINS; pin++)
        mv_put64(w, ioapic->entry[pin]);
    uv_mutex_unlock(&ioapic->lock);
}

static bool ioapic_entry_possible(uint64_t entry)
{
    return !(entry & ~(ENTRY_WRITABLE | ENTRY_REMOTE_IRR)) &&
           !((entry & ENTRY_REMOTE_IRR) && !(entry & ENTRY_LEVEL));
}

int mv_ioapic_load(struct mv_ioapic *ioapic, struct mv_reader *r, uint32_t version,
                   microvm_error *err)
{
    uint64_t entry[MV_IOAPIC_PINS];
    uint8_t id = mv_get8(r), index = mv_get8(r);
    uint32_t asserted = mv_get32(r);
    bool possible = id <= ID_MASK && asserted < 1u << MV_IOAPIC_PINS;
    for (unsigned pin = 0; pin < MV_IOAPIC_PINS; pin++) {
        entry[pin] = mv_get64(r);
        possible = possible && ioapic_entry_possible(entry[pin]);
    }
    int rc = mv_reader_check(r, "I/O APIC", version, MV_IOAPIC_STATE_VERSION, err);
    if (rc)
        return rc;
    if (!possible)
        return mv_fail(
            err, MICROVM_E_INVALID,
            "saved state: I/O APIC: a register has a value that no guest can "
            "give it: the state is not from this library");
    uv_mutex_lock(&ioapic->write_lock);
    uv_mutex_lock(&ioapic->lock);
    ioapic->id = id;
    ioapic->index = index;
    ioapic->asserted = asserted;
    memcpy(ioapic->entry, entry, sizeof entry);
    memset(ioapic->eois, 0, sizeof ioapic->eois);
    uv_mutex_unlock(&ioapic->lock);
    ioapic_tell_routes(ioapic);
    uv_mutex_unlock(&ioapic->write_lock);
    mv_ioapic_resend(ioapic);
    return 0;
}
