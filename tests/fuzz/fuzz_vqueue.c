/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The split queue alone, with rings that the input writes: what pop gives lies in guest
 * memory and adds up, and not more is in flight than the queue can hold.
 */
#include "fuzz.h"
#include "vdriver.h"

#include "virtio/vdev.h"

enum { LOW_BYTES = 0x10000, HIGH_BYTES = 0x1000, RINGS = 0x4000, STEPS_MAX = 500 };
#define HIGH 0x100000000ull

static uint8_t memory[LOW_BYTES + HIGH_BYTES] __attribute__((aligned(4096)));

struct target {
    struct mv_ram ram;
    struct vdriver_heap heap;
    struct vdriver_queue driver;
    struct mv_vq vq;
    struct mv_chain chain;
    uint16_t flying[MV_VQ_SIZE_MAX]; /* heads */
    unsigned flights;
    bool last_in_hand; /* what was popped last may be put back */
};

static void target_open(struct target *t, struct fuzz *in)
{
    uint8_t how = fuzz8(in);
    uint16_t size = (uint16_t)(1u << how % 9u);
    uint64_t features =
        (how & 0x40 ? MV_F_EVENT_IDX : 0) | (how & 0x80 ? MV_F_INDIRECT_DESC : 0);
    memset(memory, 0, sizeof memory);
    *t = (struct target){.flights = 0};
    t->ram = (struct mv_ram){.count = 2};
    t->ram.region[0] = (struct mv_ram_region){0, LOW_BYTES, memory};
    t->ram.region[1] = (struct mv_ram_region){HIGH, HIGH_BYTES, memory + LOW_BYTES};
    t->heap = (struct vdriver_heap){&t->ram, RINGS, LOW_BYTES};
    vdriver_queue_open(&t->driver, &t->heap, size, features & MV_F_EVENT_IDX);
    t->vq.config = (struct mv_vq_config){size, true, t->driver.desc, t->driver.avail,
                                         t->driver.used};
    t->vq.avail_at = t->vq.used_at = fuzz16(in);
    t->driver.avail_at = t->driver.published_at = t->vq.avail_at;
    mv_store16(mv_ram_at(&t->ram, t->driver.avail + 2, 2), t->vq.avail_at);
    bool ok = mv_vq_start(&t->vq, &t->ram, features);
    MV_ASSERT(ok);
}

static void target_check_chain(const struct target *t)
{
    const struct mv_chain *c = &t->chain;
    uint64_t sum[2] = {0, 0};
    unsigned spans = (unsigned)c->readable + c->writable;
    MV_ASSERT(spans > 0 && spans <= t->vq.config.size);
    for (unsigned i = 0; i < spans; i++) {
        uint64_t at = (uint64_t)((uint8_t *)c->span[i].base - memory);
        MV_ASSERT(c->span[i].length > 0);
        MV_ASSERT(mv_inside(at, c->span[i].length, 0, LOW_BYTES) ||
                  mv_inside(at, c->span[i].length, LOW_BYTES, HIGH_BYTES));
        sum[i >= c->readable] += c->span[i].length;
    }
    MV_ASSERT(sum[0] == c->read_bytes && sum[1] == c->write_bytes);
}

static void target_pop(struct target *t)
{
    uint16_t at = t->vq.avail_at;
    int rc = mv_vq_pop(&t->vq, &t->chain);
    t->last_in_hand = rc > 0;
    MV_ASSERT((uint16_t)(at + (rc > 0)) == t->vq.avail_at);
    if (rc <= 0)
        return;
    target_check_chain(t);
    MV_ASSERT(t->flights < t->vq.config.size);
    MV_ASSERT(t->chain.head < t->vq.config.size);
    t->flying[t->flights++] = t->chain.head;
}

static void target_push(struct target *t, struct fuzz *in)
{
    if (t->flights == 0)
        return;
    unsigned i = fuzz8(in) % t->flights;
    uint8_t *entry = mv_ram_at(
        &t->ram, t->driver.used + 4 + 8u * (t->vq.used_at % t->vq.config.size), 8);
    mv_vq_push(&t->vq, t->flying[i], fuzz32(in));
    MV_ASSERT(mv_load32(entry) == t->flying[i]);
    t->flying[i] = t->flying[--t->flights];
    t->last_in_hand = false;
}

static void target_copy(struct target *t, struct fuzz *in)
{
    uint8_t bytes[300] = {0};
    size_t offset = fuzz16(in), length = fuzz16(in) % sizeof bytes;
    if (!t->last_in_hand)
        return;
    const struct mv_chain *c = &t->chain;
    size_t read = mv_chain_read(c, offset, bytes, length);
    size_t written = mv_chain_write(c, offset, bytes, length);
    MV_ASSERT(read ==
              (offset < c->read_bytes ? MV_MIN(length, c->read_bytes - offset) : 0));
    MV_ASSERT(written ==
              (offset < c->write_bytes ? MV_MIN(length, c->write_bytes - offset) : 0));
}

static void target_descriptor(struct target *t, struct fuzz *in)
{
    const uint64_t place[] = {
        0,          t->driver.desc, LOW_BYTES, HIGH, HIGH + HIGH_BYTES,
        UINT64_MAX, t->driver.used, RINGS / 2};
    struct vdriver_desc desc;
    uint16_t index = (uint16_t)(fuzz8(in) % t->vq.config.size);
    uint8_t pick = fuzz8(in);
    desc.address = place[pick % MV_ARRAY_LEN(place)] +
                   (pick & 8 ? fuzz16(in) : -(uint64_t)fuzz8(in));
    desc.length = pick & 16 ? fuzz8(in) : pick & 32 ? 16u * fuzz8(in) : fuzz32(in);
    desc.flags = fuzz8(in);
    desc.next = fuzz8(in);
    vdriver_put_desc(&t->driver, index, desc);
}

static void target_step(struct target *t, struct fuzz *in)
{
    uint16_t word;
    switch (fuzz8(in) % 12) {
    case 0:
    case 1:
        target_descriptor(t, in);
        break;
    case 2:
        vdriver_offer(&t->driver, fuzz8(in));
        break;
    case 3:
        (void)vdriver_publish(&t->driver);
        break;
    case 4:
    case 5:
        target_pop(t);
        break;
    case 6:
        target_push(t, in);
        break;
    case 7:
        target_copy(t, in);
        break;
    case 8: /* any word of the low memory: rings, and tables in it */
        word = fuzz16(in);
        mv_store16(memory + (word & ~1u), fuzz16(in));
        break;
    case 9:
        if (t->last_in_hand) {
            mv_vq_unpop(&t->vq);
            t->flights--;
            t->last_in_hand = false;
        }
        break;
    case 10:
        mv_vq_hush(&t->vq);
        (void)mv_vq_listen(&t->vq);
        break;
    case 11:
        word = t->vq.used_at;
        MV_ASSERT(!(mv_vq_wants_signal(&t->vq) && mv_vq_wants_signal(&t->vq)));
        MV_ASSERT(t->vq.signalled_at == word);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct fuzz in = {data, length};
    struct target t;
    target_open(&t, &in);
    for (unsigned i = 0; i < STEPS_MAX && fuzz_left(&in); i++)
        target_step(&t, &in);
    return 0;
}
