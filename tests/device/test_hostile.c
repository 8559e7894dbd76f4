/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a hostile driver can do that is the same for every type: queues, chains, indexes
 * and configuration accesses that make no sense. After each the device must have failed
 * alone, said so once, and work again after a reset; or not have noticed.
 */
#include "life.h"

#include "util/bytes.h"

/* -- bad queues -- */

static void life_try_queue(struct life *t, const struct vdriver_queue *bad,
                           const char *what)
{
    struct vdriver *d = &t->rig.driver;
    struct vdriver_queue *vq = life_queue(t);
    assert_true(vdriver_negotiate(d, ALL));
    *vq = *bad;
    vdriver_announce(d, t->type->request_queue);
    vdriver_write(d, VREG_STATUS, RUNNING);
    life_expect_failure(t, what);
    vdriver_reset(d);
}

static void fails_on_bad_rings(void **state)
{
    struct life *t = life_open(state);
    const uint64_t bad[] = {0x200001,
                            VRIG_LOW_BYTES,
                            VRIG_LOW_BYTES - 16,
                            VRIG_HIGH - 16,
                            VRIG_HIGH + VRIG_HIGH_BYTES,
                            UINT64_MAX - 15,
                            1ull << 63};
    assert_true(vdriver_negotiate(&t->rig.driver, ALL));
    vdriver_setup_queue(&t->rig.driver, t->type->request_queue, 0);
    const struct vdriver_queue good = *life_queue(t);
    for (unsigned i = 0; i < MV_ARRAY_LEN(bad); i++) {
        struct vdriver_queue vq = good;
        vq.desc = bad[i];
        life_try_queue(t, &vq, "descriptor table");
        vq = good;
        vq.avail = bad[i];
        life_try_queue(t, &vq, "available ring");
        vq = good;
        vq.used = bad[i];
        life_try_queue(t, &vq, "used ring");
    }
    life_close(t);
}

static void fails_on_bad_sizes(void **state)
{
    struct life *t = life_open(state);
    struct vdriver *d = &t->rig.driver;
    uint32_t most = t->rig.dev->class->queue_size;
    const uint32_t bad[] = {0,        3,          most - 1,   most + 1,
                            2 * most, 0x8000,     0xffff,     0x10000 + most,
                            0x10000,  0x80000000, UINT32_MAX, UINT32_MAX - 0xffff + 8};
    for (unsigned i = 0; i < MV_ARRAY_LEN(bad); i++) {
        if (bad[i] > UINT16_MAX && t->rig.transport != VRIG_MMIO)
            continue; /* PCI's register has 16 bits */
        d->heap.at = VRIG_LOW_BYTES / 2;
        assert_true(vdriver_negotiate(d, ALL));
        vdriver_queue_open(life_queue(t), &d->heap, 8, true);
        vdriver_write(d, VREG_QUEUE_SEL, t->type->request_queue);
        vdriver_write64(d, VREG_QUEUE_DESC, life_queue(t)->desc);
        vdriver_write64(d, VREG_QUEUE_DRIVER, life_queue(t)->avail);
        vdriver_write64(d, VREG_QUEUE_DEVICE, life_queue(t)->used);
        vdriver_write(d, VREG_QUEUE_NUM, bad[i]);
        vdriver_write(d, VREG_QUEUE_READY, 1);
        vdriver_write(d, VREG_STATUS, RUNNING);
        life_expect_failure(t, "size");
        vdriver_reset(d);
    }
    for (uint16_t size = 1; size <= most; size = (uint16_t)(2 * size)) {
        d->heap.at = VRIG_LOW_BYTES / 2;
        assert_true(vdriver_negotiate(d, ALL));
        vdriver_setup_queue(d, t->type->request_queue, size);
        vdriver_write(d, VREG_STATUS, RUNNING);
        struct vdriver_buffer buffer[4];
        if (t->type->request(&t->rig, t->data, buffer) <= size)
            life_ask(t);
        assert_int_equal(life_status(t), RUNNING);
    }
    life_close(t);
}

static void ignores_queues_that_are_not(void **state)
{
    struct life *t = life_open(state);
    struct vdriver *d = &t->rig.driver;
    const uint32_t none[] = {t->type->queues, 18, 19, 0xffff, 0x10000, UINT32_MAX};
    assert_true(vdriver_negotiate(d, ALL));
    for (unsigned i = 0; i < MV_ARRAY_LEN(none); i++) {
        vdriver_write(d, VREG_QUEUE_NOTIFY, none[i]);
        if (none[i] > UINT16_MAX && t->rig.transport != VRIG_MMIO)
            continue; /* PCI's register has 16 bits */
        vdriver_write(d, VREG_QUEUE_SEL, none[i]);
        assert_int_equal(vdriver_read(d, VREG_QUEUE_NUM_MAX), 0);
        vdriver_write(d, VREG_QUEUE_NUM, 8);
        vdriver_write64(d, VREG_QUEUE_DESC, 0x200000);
        vdriver_write(d, VREG_QUEUE_READY, 1);
        assert_int_equal(vdriver_read(d, VREG_QUEUE_READY), 0);
        vdriver_write(d, VREG_QUEUE_READY, 0);
    }
    for (unsigned q = 0; q < t->type->queues; q++) /* which are not ready */
        vdriver_write(d, VREG_QUEUE_NOTIFY, q);
    vrig_turn(&t->rig);
    vdriver_write(d, VREG_STATUS, RUNNING); /* with no queue at all */
    for (unsigned q = 0; q < t->type->queues; q++)
        vdriver_write(d, VREG_QUEUE_NOTIFY, q);
    vrig_turn(&t->rig);
    assert_int_equal(life_status(t), RUNNING);
    life_close(t);
}

/* 4.2.2.2: not while it is ready, not before FEATURES_OK, not after DRIVER_OK. */
static void queue_registers_have_their_time(void **state)
{
    struct life *t = life_open(state);
    struct vdriver *d = &t->rig.driver;
    const struct mv_vq_config *config = &t->rig.dev->vq[0].config;
    const uint16_t fresh = config->size;
    vdriver_write(d, VREG_QUEUE_NUM, 8);
    vdriver_write(d, VREG_QUEUE_READY, 1);
    assert_int_equal(config->size, fresh);
    assert_false(config->ready);
    assert_true(vdriver_negotiate(d, ALL));
    vdriver_setup_queue(d, 0, 4);
    vdriver_write(d, VREG_QUEUE_NUM, 2);
    vdriver_write64(d, VREG_QUEUE_DESC, 0);
    assert_int_equal(config->size, 4);
    assert_true(config->desc == d->queue[0].desc);
    life_start(t);
    const struct mv_vq_config was = *config;
    vdriver_write(d, VREG_QUEUE_SEL, 0);
    vdriver_write(d, VREG_QUEUE_NUM, 4);
    vdriver_write64(d, VREG_QUEUE_DESC, 0);
    vdriver_write64(d, VREG_QUEUE_DRIVER, 0);
    vdriver_write64(d, VREG_QUEUE_DEVICE, 0);
    vdriver_write(d, VREG_QUEUE_READY, 2);
    assert_int_equal(config->size, was.size);
    assert_true(config->desc == was.desc && config->driver == was.driver &&
                config->device == was.device && config->ready);
    life_ask(t);
    life_close(t);
}

/* -- bad chains -- */

enum { INNER = 0x180000 };

static const struct bad {
    const char *what;
    struct vdriver_desc desc[2], inner[2];
} bad_chains[] = {
    {"in a circle", {{0x1000, 1, VDESC_NEXT, 1}, {0x1000, 1, VDESC_NEXT, 0}}, {{0}}},
    {"to itself", {{0x1000, 1, VDESC_NEXT | VDESC_WRITE, 0}}, {{0}}},
    {"next beyond the table", {{0x1000, 1, VDESC_NEXT, 0xffff}}, {{0}}},
    {"out of memory", {{VRIG_LOW_BYTES, 1, VDESC_WRITE, 0}}, {{0}}},
    {"too long", {{0x1000, UINT32_MAX, VDESC_WRITE, 0}}, {{0}}},
    {"zero length", {{0x1000, 0, 0, 0}}, {{0}}},
    {"read after write",
     {{0x1000, 1, VDESC_NEXT | VDESC_WRITE, 1}, {0x1000, 1, 0, 0}},
     {{0}}},
    {"indirect in indirect",
     {{INNER, 16, VDESC_INDIRECT, 0}},
     {{INNER, 16, VDESC_INDIRECT, 0}}},
    {"indirect with next",
     {{INNER, 16, VDESC_INDIRECT | VDESC_NEXT, 1}, {0x1000, 1, 0, 0}},
     {{0x1000, 1, 0, 0}}},
    {"indirect, not whole", {{INNER, 24, VDESC_INDIRECT, 0}}, {{0x1000, 1, 0, 0}}},
    {"indirect, empty", {{INNER, 0, VDESC_INDIRECT, 0}}, {{0x1000, 1, 0, 0}}},
    {"indirect, out of memory", {{VRIG_HIGH - 16, 16, VDESC_INDIRECT, 0}}, {{0}}},
    {"indirect, in a circle",
     {{INNER, 32, VDESC_INDIRECT, 0}},
     {{0x1000, 1, VDESC_NEXT, 1}, {0x1000, 1, VDESC_NEXT, 0}}},
};

static void fails_on_bad_chains(void **state)
{
    struct life *t = life_open(state);
    life_start(t);
    for (size_t i = 0; i < MV_ARRAY_LEN(bad_chains); i++) {
        const struct bad *bad = &bad_chains[i];
        vdriver_put_desc(life_queue(t), 0, bad->desc[0]);
        vdriver_put_desc(life_queue(t), 1, bad->desc[1]);
        memcpy(vrig_at(&t->rig, INNER, sizeof bad->inner), bad->inner,
               sizeof bad->inner);
        vdriver_offer(life_queue(t), 0);
        vdriver_kick(&t->rig.driver, t->type->request_queue);
        vrig_turn(&t->rig);
        life_expect_failure(t, bad->what);
        vdriver_reset(&t->rig.driver);
        life_start(t);
    }
    life_close(t);
}

static void fails_on_bad_indexes(void **state)
{
    const uint16_t index[] = {0x8000, 0xffff, 257};
    struct life *t = life_open(state);
    for (unsigned i = 0; i < MV_ARRAY_LEN(index); i++) {
        life_start(t);
        mv_store16(vrig_at(&t->rig, life_queue(t)->avail + 2, 2), index[i]);
        vdriver_write(&t->rig.driver, VREG_QUEUE_NOTIFY, t->type->request_queue);
        vrig_turn(&t->rig);
        life_expect_failure(t, "index");
        vdriver_reset(&t->rig.driver);
    }
    life_close(t);
}

/* Every queue, also those that are not for requests, with a chain that is nonsense. */
static void no_queue_is_fragile(void **state)
{
    struct life *t = life_open(state);
    for (unsigned q = 0; q < t->type->queues; q++) {
        for (unsigned write = 0; write < 2; write++) {
            life_start(t);
            struct vdriver_queue *vq = &t->rig.driver.queue[q];
            for (unsigned i = 0; i < 8; i++) {
                const struct vdriver_buffer odd = {VRIG_HIGH - 1 + i, 3 * i, write};
                const struct vdriver_buffer big = {0x1000, 0x100000, write};
                (void)vdriver_add(vq, i & 1 ? &odd : &big, 1);
                vdriver_kick(&t->rig.driver, q);
                vrig_turn(&t->rig);
            }
            vdriver_reset(&t->rig.driver);
        }
    }
    life_start(t);
    life_ask(t);
    life_close(t);
}

/* -- configuration space -- */

static void reads_config_at_every_width(void **state)
{
    struct life *t = life_open(state);
    const struct vdriver *d = &t->rig.driver;
    uint8_t all[0x200] = {0};
    memcpy(all, t->rig.dev->config, t->type->config_bytes);
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (uint64_t at = 0; at + size <= sizeof all; at++) {
            uint64_t want = 0;
            memcpy(&want, all + at, size);
            assert_int_equal(vdriver_config_read(d, (uint32_t)at, size), want);
        }
        assert_int_equal(vdriver_config_read(d, 0xf00 - size, size), 0);
    }
    life_close(t);
}

static void writes_config_where_it_may(void **state)
{
    struct life *t = life_open(state);
    const struct vdriver *d = &t->rig.driver;
    uint8_t was[MV_VDEV_CONFIG_MAX];
    life_start(t);
    memcpy(was, t->rig.dev->config, sizeof was);
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (uint64_t at = 0; at + size <= 0xf00; at++) {
            if (mv_overlap(at, size, t->type->writable_offset, t->type->writable_bytes))
                continue;
            vdriver_config_write(d, (uint32_t)at, size, UINT64_MAX);
        }
    }
    /* Half in, half out is out. */
    if (t->type->writable_bytes > 0 && t->type->writable_offset >= 2)
        vdriver_config_write(d, t->type->writable_offset - 2, 4, UINT64_MAX);
    assert_memory_equal(t->rig.dev->config, was, sizeof was);
    for (unsigned i = 0; i < t->type->writable_bytes; i++) {
        uint32_t at = t->type->writable_offset + i;
        vdriver_config_write(d, at, 1, 1);
        assert_int_equal(vdriver_config_read(d, at, 1), 1);
    }
    assert_int_equal(t->rig.failures, 0);
    life_close(t);
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
        LIFE(fails_on_bad_rings),          LIFE(fails_on_bad_sizes),
        LIFE(ignores_queues_that_are_not), LIFE(queue_registers_have_their_time),
        LIFE(fails_on_bad_chains),         LIFE(fails_on_bad_indexes),
        LIFE(no_queue_is_fragile),         LIFE(reads_config_at_every_width),
        LIFE(writes_config_where_it_may),
    };
    return life_main(cases, MV_ARRAY_LEN(cases), VRIG_MMIO);
}
