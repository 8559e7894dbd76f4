/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One lock and one rule. The rule is msix_settle: a vector that may send makes its
 * message known if it is a new one, and sends if it is pending. It follows everything
 * that can let a vector send (a write to its entry, the capability, the command
 * register), and under the same lock a signal either finds that the vector may send, or
 * leaves the bit that settling finds. So no interrupt is lost and none is sent twice,
 * whoever masks, unmasks and retargets meanwhile.
 */
#include "pci/msix.h"

#include "util/assert.h"
#include "util/bytes.h"

enum { ENTRY_ADDRESS = 0, ENTRY_DATA = 8, ENTRY_CONTROL = 12 };
enum { CONTROL_MASKED = 1 };

/* Bits of an entry that a driver can change: not the two lowest of the address, which
 * are always 0, and of Vector Control only the mask. */
static const uint8_t entry_writable[MV_MSIX_ENTRY_BYTES] = {
    0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0x01, 0x00, 0x00, 0x00};

static const uint8_t *msix_entry(const struct mv_msix *msix, unsigned v)
{
    return &msix->table[v * MV_MSIX_ENTRY_BYTES];
}

int mv_msix_open(struct mv_msix *msix, unsigned vectors,
                 const struct mv_msix_host *host, microvm_error *err)
{
    MV_ASSERT(vectors > 0 && vectors <= MV_MSIX_VECTORS_MAX);
    *msix = (struct mv_msix){.host = *host};
    if (uv_mutex_init(&msix->lock))
        return mv_fail(err, MICROVM_E_NO_MEMORY, "MSI-X table: no lock can be had");
    msix->vectors = vectors;
    for (unsigned v = 0; v < vectors; v++)
        msix->table[v * MV_MSIX_ENTRY_BYTES + ENTRY_CONTROL] = CONTROL_MASKED;
    return 0;
}

void mv_msix_close(struct mv_msix *msix)
{
    if (msix->vectors == 0)
        return;
    msix->vectors = 0;
    uv_mutex_destroy(&msix->lock);
}

/* -- under the lock -- */

static bool msix_may_send(const struct mv_msix *msix, unsigned v)
{
    return msix->enabled && !msix->masked &&
           !(msix_entry(msix, v)[ENTRY_CONTROL] & CONTROL_MASKED);
}

static void msix_tell(struct mv_msix *msix, unsigned v)
{
    uint64_t address = mv_load64(msix_entry(msix, v) + ENTRY_ADDRESS);
    uint32_t data = mv_load32(msix_entry(msix, v) + ENTRY_DATA);
    if (msix->told >> v & 1 && msix->message[v].address == address &&
        msix->message[v].data == data)
        return;
    msix->told |= 1ull << v;
    msix->message[v].address = address;
    msix->message[v].data = data;
    if (msix->host.changed)
        msix->host.changed(msix->host.ctx, v, address, data);
}

static void msix_settle(struct mv_msix *msix, unsigned v)
{
    if (!msix_may_send(msix, v))
        return;
    msix_tell(msix, v);
    if (!(msix->pending >> v & 1))
        return;
    msix->pending &= ~(1ull << v);
    msix->host.send(msix->host.ctx, v, msix->message[v].address, msix->message[v].data);
}

/* -- signals -- */

void mv_msix_control(struct mv_msix *msix, bool enabled, bool masked)
{
    uv_mutex_lock(&msix->lock);
    msix->enabled = enabled;
    msix->masked = masked;
    if (!enabled)
        msix->pending = 0;
    for (unsigned v = 0; v < msix->vectors; v++)
        msix_settle(msix, v);
    uv_mutex_unlock(&msix->lock);
}

bool mv_msix_enabled(struct mv_msix *msix)
{
    uv_mutex_lock(&msix->lock);
    bool enabled = msix->enabled;
    uv_mutex_unlock(&msix->lock);
    return enabled;
}

bool mv_msix_signal(struct mv_msix *msix, unsigned vector)
{
    uv_mutex_lock(&msix->lock);
    bool enabled = msix->enabled;
    if (enabled && vector < msix->vectors) {
        msix->pending |= 1ull << vector;
        msix_settle(msix, vector);
    }
    uv_mutex_unlock(&msix->lock);
    return enabled;
}

void mv_msix_forget(struct mv_msix *msix)
{
    uv_mutex_lock(&msix->lock);
    msix->pending = 0;
    uv_mutex_unlock(&msix->lock);
}

/* -- the guest -- */

uint64_t mv_msix_read_table(struct mv_msix *msix, uint64_t offset, unsigned size)
{
    uint64_t value = 0, end = (uint64_t)msix->vectors * MV_MSIX_ENTRY_BYTES;
    if (offset >= end)
        return 0;
    uv_mutex_lock(&msix->lock);
    memcpy(&value, &msix->table[offset], (size_t)MV_MIN(size, end - offset));
    uv_mutex_unlock(&msix->lock);
    return value;
}

void mv_msix_write_table(struct mv_msix *msix, uint64_t offset, unsigned size,
                         uint64_t value)
{
    uint64_t end = (uint64_t)msix->vectors * MV_MSIX_ENTRY_BYTES;
    if (offset >= end)
        return;
    size = (unsigned)MV_MIN(size, end - offset);
    unsigned first = (unsigned)offset / MV_MSIX_ENTRY_BYTES;
    unsigned last = (unsigned)(offset + size - 1) / MV_MSIX_ENTRY_BYTES;
    uv_mutex_lock(&msix->lock);
    for (unsigned i = 0; i < size; i++) {
        uint8_t *byte = &msix->table[offset + i];
        uint8_t mask = entry_writable[(offset + i) % MV_MSIX_ENTRY_BYTES];
        *byte = (uint8_t)((*byte & ~mask) | (value >> (8 * i) & mask));
    }
    for (unsigned v = first; v <= last; v++) /* one, or two that it lies across */
        msix_settle(msix, v);
    uv_mutex_unlock(&msix->lock);
}

uint64_t mv_msix_read_pending(struct mv_msix *msix, uint64_t offset, unsigned size)
{
    if (offset >= MV_MSIX_PENDING_BYTES)
        return 0;
    uv_mutex_lock(&msix->lock);
    uint64_t value = msix->pending >> (8 * offset);
    uv_mutex_unlock(&msix->lock);
    return value & mv_size_mask(size);
}

/* -- state -- */

void mv_msix_save(struct mv_msix *msix, struct mv_writer *w)
{
    uv_mutex_lock(&msix->lock);
    mv_put32(w, msix->vectors);
    mv_put64(w, msix->pending);
    mv_put_bytes(w, msix->table, (size_t)msix->vectors * MV_MSIX_ENTRY_BYTES);
    uv_mutex_unlock(&msix->lock);
}

int mv_msix_load(struct mv_msix *msix, struct mv_reader *r, microvm_error *err)
{
    uint8_t table[MV_MSIX_VECTORS_MAX * MV_MSIX_ENTRY_BYTES];
    const size_t bytes = (size_t)msix->vectors * MV_MSIX_ENTRY_BYTES;
    uint32_t vectors = mv_get32(r);
    if (!r->failed && vectors != msix->vectors)
        return mv_fail(
            err, MICROVM_E_DEVICE,
            "MSI-X table: the saved one has %u vectors and this one %u; open "
            "the device as it was when it was saved",
            vectors, msix->vectors);
    uint64_t pending = mv_get64(r);
    mv_get_bytes(r, table, bytes);
    if (r->failed)
        return mv_fail(err, MICROVM_E_DEVICE,
                       "MSI-X table: the saved state is cut short");
    uv_mutex_lock(&msix->lock);
    msix->enabled = false;
    msix->told = 0;
    msix->pending = pending & ((1ull << msix->vectors) - 1);
    for (size_t i = 0; i < bytes; i++)
        msix->table[i] = table[i] & entry_writable[i % MV_MSIX_ENTRY_BYTES];
    uv_mutex_unlock(&msix->lock);
    return 0;
}
