/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Virtqueues and the steps of a driver. Written from the specification, not from the
 * device's code, so that a mistake there is not repeated here.
 */
#include "vdriver.h"

#include "util/assert.h"
#include "util/bytes.h"

enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 };
#define F_EVENT_IDX (1ull << 29)

uint64_t vdriver_alloc(struct vdriver_heap *heap, uint64_t size, uint64_t align)
{
    uint64_t gpa = mv_align_up(heap->at, align);
    MV_ASSERT(gpa + size <= heap->end);
    heap->at = gpa + size;
    return gpa;
}

/* -- guest memory -- */

static uint8_t *guest(const struct vdriver_queue *vq, uint64_t gpa, uint64_t length)
{
    uint8_t *p = mv_ram_at(vq->ram, gpa, length);
    MV_ASSERT(p);
    return p;
}

static uint16_t guest_load(const struct vdriver_queue *vq, uint64_t gpa)
{
    uint8_t *word = guest(vq, gpa, 2);
    return __atomic_load_n((uint16_t *)(void *)word, __ATOMIC_SEQ_CST);
}

static void guest_store(const struct vdriver_queue *vq, uint64_t gpa, uint16_t value)
{
    uint8_t *word = guest(vq, gpa, 2);
    __atomic_store_n((uint16_t *)(void *)word, value, __ATOMIC_SEQ_CST);
}

static uint64_t used_event(const struct vdriver_queue *vq)
{
    return vq->avail + 4 + 2ull * vq->size;
}

static uint64_t avail_event(const struct vdriver_queue *vq)
{
    return vq->used + 4 + 8ull * vq->size;
}

/* -- queues -- */

void vdriver_queue_open(struct vdriver_queue *vq, struct vdriver_heap *heap,
                        uint16_t size, bool event_idx)
{
    MV_ASSERT(size <= VDRIVER_QUEUE_MAX);
    *vq = (struct vdriver_queue){.ram = heap->ram, .size = size, .free = size};
    vq->event_idx = event_idx;
    vq->desc = vdriver_alloc(heap, 16ull * size, 16);
    vq->avail = vdriver_alloc(heap, 6 + 2ull * size, 2);
    vq->used = vdriver_alloc(heap, 6 + 8ull * size, 4);
    memset(guest(vq, vq->desc, 16ull * size), 0, 16ull * size);
    memset(guest(vq, vq->avail, 6 + 2ull * size), 0, 6 + 2ull * size);
    memset(guest(vq, vq->used, 6 + 8ull * size), 0, 6 + 8ull * size);
    for (unsigned i = 0; i < size; i++)
        vq->next[i] = (uint16_t)(i + 1);
}

static void put_desc(uint8_t *at, struct vdriver_desc desc)
{
    mv_store64(at, desc.address);
    mv_store32(at + 8, desc.length);
    mv_store16(at + 12, desc.flags);
    mv_store16(at + 14, desc.next);
}

void vdriver_put_desc(const struct vdriver_queue *vq, uint16_t index,
                      struct vdriver_desc desc)
{
    put_desc(guest(vq, vq->desc + 16ull * index, 16), desc);
}

static struct vdriver_desc buffer_desc(const struct vdriver_buffer *b, bool last)
{
    unsigned flags = (b->write ? VDESC_WRITE : 0u) | (last ? 0u : VDESC_NEXT);
    return (struct vdriver_desc){b->gpa, b->length, (uint16_t)flags, 0};
}

void vdriver_put_table(const struct mv_ram *ram, uint64_t gpa,
                       const struct vdriver_buffer *buffer, unsigned n)
{
    uint8_t *table = mv_ram_at(ram, gpa, 16ull * n);
    MV_ASSERT(table);
    for (unsigned i = 0; i < n; i++) {
        struct vdriver_desc desc = buffer_desc(&buffer[i], i + 1 == n);
        desc.next = (uint16_t)(i + 1);
        put_desc(table + 16ull * i, desc);
    }
}

static uint16_t take_free(struct vdriver_queue *vq)
{
    MV_ASSERT(vq->free > 0);
    uint16_t index = vq->free_head;
    vq->free--;
    vq->free_head = vq->next[index];
    return index;
}

uint16_t vdriver_add(struct vdriver_queue *vq, const struct vdriver_buffer *buffer,
                     unsigned n)
{
    MV_ASSERT(n > 0 && n <= vq->free);
    uint16_t head = vq->free_head;
    for (unsigned i = 0; i < n; i++) {
        struct vdriver_desc desc = buffer_desc(&buffer[i], i + 1 == n);
        uint16_t index = take_free(vq);
        desc.next = vq->free_head;
        vdriver_put_desc(vq, index, desc);
    }
    vq->length[head] = (uint16_t)n;
    vdriver_offer(vq, head);
    return head;
}

uint16_t vdriver_add_indirect(struct vdriver_queue *vq, struct vdriver_heap *heap,
                              const struct vdriver_buffer *buffer, unsigned n)
{
    uint64_t table = vdriver_alloc(heap, 16ull * n, 16);
    uint16_t head = take_free(vq);
    vdriver_put_table(vq->ram, table, buffer, n);
    vdriver_put_desc(vq, head, (struct vdriver_desc){table, 16 * n, VDESC_INDIRECT, 0});
    vq->length[head] = 1;
    vdriver_offer(vq, head);
    return head;
}

void vdriver_offer(struct vdriver_queue *vq, uint16_t head)
{
    guest_store(vq, vq->avail + 4 + 2ull * (vq->avail_at % vq->size), head);
    vq->avail_at++;
}

bool vdriver_publish(struct vdriver_queue *vq)
{
    uint16_t old = vq->published_at, now = vq->avail_at;
    if (old == now)
        return false;
    guest_store(vq, vq->avail + 2, now); /* and a full fence */
    vq->published_at = now;
    if (!vq->event_idx)
        return !(guest_load(vq, vq->used) & 1);
    uint16_t event = guest_load(vq, avail_event(vq));
    return (uint16_t)(now - event - 1) < (uint16_t)(now - old); /* 2.7.10 */
}

static void give_back(struct vdriver_queue *vq, uint16_t head)
{
    uint16_t last = head;
    for (unsigned i = 1; i < vq->length[head]; i++)
        last = vq->next[last];
    vq->next[last] = vq->free_head;
    vq->free_head = head;
    vq->free = (uint16_t)(vq->free + vq->length[head]);
    vq->length[head] = 0;
}

bool vdriver_reap(struct vdriver_queue *vq, uint16_t *head, uint32_t *written)
{
    if (guest_load(vq, vq->used + 2) == vq->used_at)
        return false;
    const uint8_t *entry = guest(vq, vq->used + 4 + 8ull * (vq->used_at % vq->size), 8);
    uint32_t id = mv_load32(entry);
    MV_ASSERT(id < vq->size);
    vq->used_at++;
    if (vq->length[id])
        give_back(vq, (uint16_t)id);
    *head = (uint16_t)id;
    *written = mv_load32(entry + 4);
    return true;
}

void vdriver_hush(struct vdriver_queue *vq)
{
    if (vq->event_idx) /* as far away as it can be */
        guest_store(vq, used_event(vq), (uint16_t)(vq->used_at + 0x8000));
    else
        guest_store(vq, vq->avail, 1);
}

bool vdriver_listen(struct vdriver_queue *vq)
{
    if (vq->event_idx)
        guest_store(vq, used_event(vq), vq->used_at);
    else
        guest_store(vq, vq->avail, 0);
    return guest_load(vq, vq->used + 2) != vq->used_at;
}

/* -- registers -- */

uint32_t vdriver_read(const struct vdriver *d, uint32_t reg)
{
    if (reg >= VREG_CONFIG)
        return (uint32_t)vdriver_config_read(d, reg - VREG_CONFIG, 4);
    return d->transport->read(d, reg);
}

void vdriver_write(const struct vdriver *d, uint32_t reg, uint32_t value)
{
    if (reg >= VREG_CONFIG)
        vdriver_config_write(d, reg - VREG_CONFIG, 4, value);
    else
        d->transport->write(d, reg, value);
}

uint64_t vdriver_config_read(const struct vdriver *d, uint32_t at, unsigned size)
{
    return d->bus->read(d->chip, (uint64_t)d->transport->config + at, size);
}

void vdriver_config_write(const struct vdriver *d, uint32_t at, unsigned size,
                          uint64_t value)
{
    d->bus->write(d->chip, (uint64_t)d->transport->config + at, size, value);
}

void vdriver_write64(const struct vdriver *d, uint32_t reg, uint64_t value)
{
    vdriver_write(d, reg, (uint32_t)value);
    vdriver_write(d, reg + 4, (uint32_t)(value >> 32));
}

static uint64_t offered(const struct vdriver *d)
{
    vdriver_write(d, VREG_DEVICE_FEATURES_SEL, 0);
    uint64_t low = vdriver_read(d, VREG_DEVICE_FEATURES);
    vdriver_write(d, VREG_DEVICE_FEATURES_SEL, 1);
    return low | (uint64_t)vdriver_read(d, VREG_DEVICE_FEATURES) << 32;
}

bool vdriver_demand(struct vdriver *d, uint64_t features)
{
    vdriver_reset(d);
    vdriver_write(d, VREG_STATUS, ACKNOWLEDGE);
    vdriver_write(d, VREG_STATUS, ACKNOWLEDGE | DRIVER);
    for (unsigned half = 0; half < 2; half++) {
        vdriver_write(d, VREG_DRIVER_FEATURES_SEL, half);
        vdriver_write(d, VREG_DRIVER_FEATURES, (uint32_t)(features >> (32 * half)));
    }
    vdriver_write(d, VREG_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    d->features = features;
    if (d->transport->choose)
        d->transport->choose(d, -1);
    return vdriver_read(d, VREG_STATUS) & FEATURES_OK;
}

bool vdriver_negotiate(struct vdriver *d, uint64_t features)
{
    return vdriver_demand(d, features & offered(d));
}

void vdriver_announce(const struct vdriver *d, unsigned q)
{
    vdriver_write(d, VREG_QUEUE_SEL, q);
    vdriver_write(d, VREG_QUEUE_NUM, d->queue[q].size);
    vdriver_write64(d, VREG_QUEUE_DESC, d->queue[q].desc);
    vdriver_write64(d, VREG_QUEUE_DRIVER, d->queue[q].avail);
    vdriver_write64(d, VREG_QUEUE_DEVICE, d->queue[q].used);
    if (d->transport->choose)
        d->transport->choose(d, (int)q);
    vdriver_write(d, VREG_QUEUE_READY, 1);
}

void vdriver_setup_queue(struct vdriver *d, unsigned q, uint16_t size)
{
    vdriver_write(d, VREG_QUEUE_SEL, q);
    uint32_t most = vdriver_read(d, VREG_QUEUE_NUM_MAX);
    vdriver_queue_open(&d->queue[q], &d->heap, size ? size : (uint16_t)most,
                       d->features & F_EVENT_IDX);
    vdriver_announce(d, q);
}

bool vdriver_start(struct vdriver *d, uint64_t features)
{
    if (!vdriver_negotiate(d, features))
        return false;
    for (d->queues = 0; d->queues < VDRIVER_QUEUES; d->queues++) {
        vdriver_write(d, VREG_QUEUE_SEL, d->queues);
        if (vdriver_read(d, VREG_QUEUE_NUM_MAX) == 0)
            break;
        vdriver_setup_queue(d, d->queues, 0);
    }
    uint32_t status = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
    vdriver_write(d, VREG_STATUS, status);
    return vdriver_read(d, VREG_STATUS) == status;
}

void vdriver_reset(struct vdriver *d)
{
    vdriver_write(d, VREG_STATUS, 0);
    MV_ASSERT(vdriver_read(d, VREG_STATUS) == 0);
    d->features = 0;
}

void vdriver_kick(struct vdriver *d, unsigned q)
{
    if (vdriver_publish(&d->queue[q]))
        vdriver_write(d, VREG_QUEUE_NOTIFY, q);
}

uint32_t vdriver_interrupt(const struct vdriver *d)
{
    return d->transport->interrupt(d);
}

/* -- the MMIO transport -- */

static uint32_t mmio_read(const struct vdriver *d, uint32_t reg)
{
    return (uint32_t)d->bus->read(d->chip, reg, 4);
}

static void mmio_write(const struct vdriver *d, uint32_t reg, uint32_t value)
{
    d->bus->write(d->chip, reg, 4, value);
}

/* 4.2.3.4 */
static uint32_t mmio_interrupt(const struct vdriver *d)
{
    uint32_t status = mmio_read(d, VREG_INTERRUPT_STATUS);
    mmio_write(d, VREG_INTERRUPT_ACK, status);
    return status;
}

const struct vdriver_transport vdriver_mmio = {
    .name = "mmio",
    .config = VREG_CONFIG,
    .queues_end = true,
    .read = mmio_read,
    .write = mmio_write,
    .interrupt = mmio_interrupt,
};
