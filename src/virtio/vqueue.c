/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Split virtqueues, device side. The rings' places are checked once, when the queue
 * starts; from then on every access is through host pointers that cannot leave guest
 * memory. What the driver writes there is fetched exactly once per use.
 *
 * Order of memory accesses. An index is loaded with acquire before what it covers is
 * read, and stored with release after what it covers was written. Where each side
 * writes its own word and then looks at the other's (used index against used_event,
 * avail_event against available index; 2.7.7 and 2.7.10) that is not enough: both could
 * read the old value and both go to sleep. There a full fence stands in between, as one
 * stands in the driver.
 */
#include "virtio/vqueue.h"

#include "util/assert.h"
#include "util/bytes.h"
#include "virtio/vdev.h"

#include <stdatomic.h>

/* Descriptor, 2.7.5. */
enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4, DESC_BYTES = 16 };

struct desc {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};
_Static_assert(sizeof(struct desc) == DESC_BYTES, "as in guest memory");

/* Both rings begin with flags and index; 2.7.6 and 2.7.8. */
enum { RING_FLAGS = 0, RING_INDEX = 2, RING_ENTRIES = 4, USED_ENTRY_BYTES = 8 };
enum { AVAIL_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 };

static uint16_t ring_load(const uint8_t *word)
{
    return __atomic_load_n((const uint16_t *)(const void *)word, __ATOMIC_ACQUIRE);
}

static void ring_store(uint8_t *word, uint16_t value)
{
    __atomic_store_n((uint16_t *)(void *)word, value, __ATOMIC_RELEASE);
}

bool mv_vq_start(struct mv_vq *vq, const struct mv_ram *ram, uint64_t features)
{
    const struct mv_vq_config *c = &vq->config;
    uint64_t n = c->size;
    if (n == 0 || n > MV_VQ_SIZE_MAX || (n & (n - 1)))
        return false;
    if (c->desc % 16 || c->driver % 2 || c->device % 4)
        return false;
    uint8_t *desc = mv_ram_at(ram, c->desc, DESC_BYTES * n);
    uint8_t *avail = mv_ram_at(ram, c->driver, 6 + 2 * n);
    uint8_t *used = mv_ram_at(ram, c->device, 6 + USED_ENTRY_BYTES * n);
    if (!desc || !avail || !used)
        return false;
    vq->ram = ram;
    vq->desc = desc;
    vq->avail = avail;
    vq->used = used;
    vq->event_idx = features & MV_F_EVENT_IDX;
    vq->indirect = features & MV_F_INDIRECT_DESC;
    vq->signalled_at = vq->used_at;
    vq->live = true;
    return true;
}

void mv_vq_stop(struct mv_vq *vq)
{
    vq->live = false;
    vq->ram = NULL;
    vq->desc = vq->avail = vq->used = NULL;
}

void mv_vq_reset(struct mv_vq *vq)
{
    *vq = (struct mv_vq){.live = false};
}

/* -- taking chains -- */

/* Where a walk through descriptors stands: in the queue's own table, or in an indirect
 * one. */
struct walk {
    const uint8_t *table;
    uint32_t entries, at;
    bool indirect;
};

/* A descriptor into memory of ours. The fence keeps the compiler from fetching any part
 * of it again later, when the driver may have changed it. */
static struct desc walk_fetch(const struct walk *w)
{
    struct desc d;
    memcpy(&d, w->table + (size_t)w->at * DESC_BYTES, sizeof d);
    atomic_signal_fence(memory_order_seq_cst);
    return d;
}

/* Continues in the table that `d` refers to (2.7.5.3). It ends the chain in its own
 * table, and indirect tables do not nest. */
static bool walk_enter(const struct mv_vq *vq, struct walk *w, const struct desc *d)
{
    if (!vq->indirect || w->indirect || d->flags & DESC_NEXT)
        return false;
    if (d->length == 0 || d->length % DESC_BYTES)
        return false;
    const uint8_t *table = mv_ram_at(vq->ram, d->address, d->length);
    if (!table)
        return false;
    *w = (struct walk){table, d->length / DESC_BYTES, 0, true};
    return true;
}

/* Makes the last span longer, if `base` is where it ends. */
static bool chain_grow(struct mv_span *last, const void *base, uint32_t length)
{
    if ((uint8_t *)last->base + last->length != base)
        return false;
    last->length += length;
    return true;
}

/* Adds the buffer of `d`; those that the device writes come last (2.7.4.2). */
static bool chain_add(const struct mv_vq *vq, struct mv_chain *chain,
                      const struct desc *d)
{
    bool write = d->flags & DESC_WRITE;
    uint32_t *bytes = write ? &chain->write_bytes : &chain->read_bytes;
    unsigned n = (unsigned)chain->readable + chain->writable;
    if ((chain->writable && !write) || d->length == 0)
        return false;
    void *base = mv_ram_at(vq->ram, d->address, d->length);
    if (!base || __builtin_add_overflow(*bytes, d->length, bytes))
        return false;
    uint16_t *count = write ? &chain->writable : &chain->readable;
    if (*count && chain_grow(&chain->span[n - 1], base, d->length))
        return true;
    chain->span[n] = (struct mv_span){base, d->length};
    ++*count;
    return true;
}

/* Ends for every content of the tables: each round takes a buffer, of which a chain has
 * at most config.size, or is the one that enters an indirect table. */
static bool chain_collect(const struct mv_vq *vq, struct mv_chain *chain)
{
    struct walk w = {vq->desc, vq->config.size, chain->head, false};
    unsigned left = vq->config.size;
    while (w.at < w.entries) {
        struct desc d = walk_fetch(&w);
        if (d.flags & DESC_INDIRECT) {
            if (!walk_enter(vq, &w, &d))
                return false;
            continue;
        }
        if (left-- == 0 || !chain_add(vq, chain, &d))
            return false;
        if (!(d.flags & DESC_NEXT))
            return true;
        w.at = d.next;
    }
    return false;
}

int mv_vq_pop(struct mv_vq *vq, struct mv_chain *chain)
{
    if (!vq->live)
        return 0;
    uint16_t n = vq->config.size;
    uint16_t index = ring_load(vq->avail + RING_INDEX);
    if (index == vq->avail_at)
        return 0;
    /* Counted from used_at: a chain in flight still occupies its descriptors. */
    uint16_t owed = (uint16_t)(index - vq->used_at);
    uint16_t flying = (uint16_t)(vq->avail_at - vq->used_at);
    if (owed > n || flying >= owed)
        return -1;
    chain->head = ring_load(vq->avail + RING_ENTRIES + 2 * (vq->avail_at % n));
    chain->readable = chain->writable = 0;
    chain->read_bytes = chain->write_bytes = 0;
    if (!chain_collect(vq, chain))
        return -1;
    vq->avail_at++;
    return 1;
}

void mv_vq_unpop(struct mv_vq *vq)
{
    MV_ASSERT(vq->avail_at != vq->used_at);
    vq->avail_at--;
}

/* -- giving them back -- */

void mv_vq_fill(struct mv_vq *vq, uint16_t head, uint32_t written)
{
    if (!vq->live)
        return;
    uint8_t *entry = vq->used + RING_ENTRIES +
                     USED_ENTRY_BYTES * (size_t)(vq->used_at % vq->config.size);
    mv_store32(entry, head);
    mv_store32(entry + 4, written);
    vq->used_at++;
}

void mv_vq_publish(struct mv_vq *vq)
{
    if (vq->live)
        ring_store(vq->used + RING_INDEX, vq->used_at);
}

void mv_vq_push(struct mv_vq *vq, uint16_t head, uint32_t written)
{
    mv_vq_fill(vq, head, written);
    mv_vq_publish(vq);
}

/* -- who tells whom -- */

/* The words behind the entries: used_event, the driver's, and avail_event, ours. */
static uint8_t *vq_used_event(const struct mv_vq *vq)
{
    return vq->avail + RING_ENTRIES + 2 * (size_t)vq->config.size;
}

static uint8_t *vq_avail_event(const struct mv_vq *vq)
{
    return vq->used + RING_ENTRIES + USED_ENTRY_BYTES * (size_t)vq->config.size;
}

bool mv_vq_wants_signal(struct mv_vq *vq)
{
    uint16_t from = vq->signalled_at, to = vq->used_at;
    if (!vq->live || from == to)
        return false;
    vq->signalled_at = to;
    atomic_thread_fence(memory_order_seq_cst);
    if (!vq->event_idx)
        return !(ring_load(vq->avail + RING_FLAGS) & AVAIL_NO_INTERRUPT);
    /* 2.7.7.2: when the entry at used_event is one of [from, to). */
    uint16_t event = ring_load(vq_used_event(vq));
    return (uint16_t)(event - from) < (uint16_t)(to - from);
}

/* With EVENT_IDX nothing is to be done: avail_event stays behind, and the driver kicks
 * only when it passes it. */
void mv_vq_hush(struct mv_vq *vq)
{
    if (vq->live && !vq->event_idx)
        ring_store(vq->used + RING_FLAGS, USED_NO_NOTIFY);
}

bool mv_vq_listen(struct mv_vq *vq)
{
    if (!vq->live)
        return false;
    if (vq->event_idx)
        ring_store(vq_avail_event(vq), vq->avail_at);
    else
        ring_store(vq->used + RING_FLAGS, 0);
    atomic_thread_fence(memory_order_seq_cst);
    return ring_load(vq->avail + RING_INDEX) != vq->avail_at;
}

bool mv_vq_pending(const struct mv_vq *vq)
{
    return vq->live && ring_load(vq->avail + RING_INDEX) != vq->avail_at;
}

/* -- payload -- */

/* One of `out` and `in` is given: the direction. */
static size_t chain_copy(const struct mv_span *span, unsigned count, size_t offset,
                         uint8_t *out, const uint8_t *in, size_t length)
{
    size_t done = 0;
    for (unsigned i = 0; i < count && done < length; i++) {
        if (offset >= span[i].length) {
            offset -= span[i].length;
            continue;
        }
        size_t n = MV_MIN(span[i].length - offset, length - done);
        uint8_t *guest = (uint8_t *)span[i].base + offset;
        if (out)
            memcpy(out + done, guest, n);
        else
            memcpy(guest, in + done, n);
        done += n;
        offset = 0;
    }
    return done;
}

size_t mv_chain_read(const struct mv_chain *chain, size_t offset, void *to,
                     size_t length)
{
    return chain_copy(chain->span, chain->readable, offset, to, NULL, length);
}

size_t mv_chain_write(const struct mv_chain *chain, size_t offset, const void *from,
                      size_t length)
{
    return chain_copy(chain->span + chain->readable, chain->writable, offset, NULL,
                      from, length);
}
