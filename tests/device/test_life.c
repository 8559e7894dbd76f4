/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The life of a device, the same cases for every type over every transport: negotiation
 * and its failures, work, interrupts, reset at every moment.
 */
#include "life.h"

#include "allocations.h"

#include "util/bytes.h"

/* -- features and status -- */

static void offers_what_it_has(void **state)
{
    struct life *t = life_open(state);
    struct vdriver *d = &t->rig.driver;
    uint64_t common = 1ull << 28 | 1ull << 29 | 1ull << 32;
    assert_int_equal(vdriver_read(d, VREG_DEVICE_ID), t->type->id);
    assert_int_not_equal(vdriver_read(d, VREG_VENDOR_ID), 0);
    assert_true(vdriver_negotiate(d, ALL));
    assert_int_equal(d->features, t->type->features | common);
    vdriver_write(d, VREG_DEVICE_FEATURES_SEL, 2);
    assert_int_equal(vdriver_read(d, VREG_DEVICE_FEATURES), 0);
    vdriver_write(d, VREG_DEVICE_FEATURES_SEL, UINT32_MAX);
    assert_int_equal(vdriver_read(d, VREG_DEVICE_FEATURES), 0);
    life_close(t);
}

static void refuses_features(void **state)
{
    struct life *t = life_open(state);
    struct vdriver *d = &t->rig.driver;
    assert_false(vdriver_demand(d, 0));
    assert_false(vdriver_demand(d, 1ull << 29)); /* without VERSION_1 */
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t one = 1ull << bit;
        bool had = (t->type->features | 1ull << 28 | 1ull << 29 | 1ull << 32) & one;
        assert_int_equal(vdriver_demand(d, one | 1ull << 32), had);
    }
    vdriver_reset(d); /* bit 64 */
    vdriver_write(d, VREG_STATUS, ACKNOWLEDGE | DRIVER);
    vdriver_write(d, VREG_DRIVER_FEATURES_SEL, 1);
    vdriver_write(d, VREG_DRIVER_FEATURES, 1);
    vdriver_write(d, VREG_DRIVER_FEATURES_SEL, 2);
    vdriver_write(d, VREG_DRIVER_FEATURES, 1);
    vdriver_write(d, VREG_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    assert_int_equal(life_status(t), ACKNOWLEDGE | DRIVER);
    life_start(t);
    life_ask(t);
    life_close(t);
}

static void features_stay(void **state)
{
    struct life *t = life_open(state);
    struct vdriver *d = &t->rig.driver;
    vdriver_write(d, VREG_DRIVER_FEATURES_SEL, 1);
    vdriver_write(d, VREG_DRIVER_FEATURES, 1); /* before DRIVER */
    assert_int_equal(t->rig.dev->negotiated, 0);
    assert_true(vdriver_demand(d, 1ull << 32));
    vdriver_write(d, VREG_DRIVER_FEATURES_SEL, 0);
    vdriver_write(d, VREG_DRIVER_FEATURES, UINT32_MAX); /* after FEATURES_OK */
    assert_int_equal(t->rig.dev->negotiated, 1ull << 32);
    vdriver_reset(d);
    assert_int_equal(t->rig.dev->negotiated, 0);
    life_close(t);
}

static void status_only_gains_bits(void **state)
{
    struct life *t = life_open(state);
    struct vdriver *d = &t->rig.driver;
    vdriver_write(d, VREG_STATUS, DRIVER_OK); /* out of nothing */
    assert_int_equal(life_status(t), 0);
    vdriver_write(d, VREG_STATUS, ACKNOWLEDGE);
    vdriver_write(d, VREG_STATUS, ACKNOWLEDGE | DRIVER_OK | DRIVER);
    assert_int_equal(life_status(t), ACKNOWLEDGE | DRIVER);
    vdriver_write(d, VREG_STATUS, 0x10 | 0x20 | NEEDS_RESET | 0xffffff00);
    assert_int_equal(life_status(t), ACKNOWLEDGE | DRIVER);
    life_start(t);
    vdriver_write(d, VREG_STATUS, ACKNOWLEDGE);
    assert_int_equal(life_status(t), RUNNING);
    life_ask(t);
    vdriver_write(d, VREG_STATUS, RUNNING | FAILED);
    assert_int_equal(life_status(t), RUNNING | FAILED);
    vdriver_reset(d);
    vdriver_write(d, VREG_STATUS, ACKNOWLEDGE | DRIVER | FAILED);
    vdriver_write(d, VREG_STATUS, RUNNING);
    assert_int_equal(life_status(t) & DRIVER_OK, 0);
    assert_int_equal(t->rig.failures, 0);
    life_close(t);
}

/* -- work -- */

static void answers_requests(void **state)
{
    const uint64_t version = 1ull << 32, indirect = 1ull << 28, event = 1ull << 29;
    const uint64_t features[] = {version, version | indirect, version | event, ALL};
    struct life *t = life_open(state);
    for (unsigned i = 0; i < 4; i++) {
        t->rig.driver.heap.at = VRIG_LOW_BYTES / 2;
        assert_true(vdriver_start(&t->rig.driver, features[i]));
        for (unsigned n = 0; n < 300; n++) {
            unsigned pulses = t->rig.pulses;
            (void)vdriver_listen(life_queue(t));
            life_ask(t);
            life_await_pulses(t, pulses + 1);
            assert_int_equal(vdriver_interrupt(&t->rig.driver), USED);
            assert_int_equal(vdriver_interrupt(&t->rig.driver), 0);
        }
    }
    life_close(t);
}

static void interrupts_only_when_asked(void **state)
{
    struct life *t = life_open(state);
    for (unsigned i = 0; i < 2; i++) {
        t->rig.driver.heap.at = VRIG_LOW_BYTES / 2;
        assert_true(vdriver_start(&t->rig.driver, i ? ALL : 1ull << 32));
        vdriver_hush(life_queue(t));
        unsigned pulses = t->rig.pulses;
        life_ask(t);
        life_ask(t);
        assert_int_equal(t->rig.pulses, pulses);
        assert_int_equal(vdriver_interrupt(&t->rig.driver), 0);
        assert_false(vdriver_listen(life_queue(t)));
        life_ask(t);
        life_await_pulses(t, pulses + 1);
    }
    life_close(t);
}

/* Chains offered before DRIVER_OK are served at once, without a kick. */
static void sees_what_was_offered_before(void **state)
{
    struct life *t = life_open(state);
    struct vdriver *d = &t->rig.driver;
    unsigned q = t->type->request_queue;
    uint16_t head;
    uint32_t written;
    assert_true(vdriver_negotiate(d, ALL));
    vdriver_setup_queue(d, q, 0);
    (void)life_add(t);
    (void)vdriver_publish(life_queue(t));
    vrig_turn(&t->rig);
    assert_false(vdriver_reap(life_queue(t), &head, &written));
    vdriver_write(d, VREG_STATUS, RUNNING);
    assert_true(vrig_wait_used(&t->rig, q, &head, &written));
    life_close(t);
}

/* Once it is open, whatever its driver does. */
static void asks_for_no_memory(void **state)
{
    ALLOCATIONS_OR_SKIP();
    unsigned long none = allocations();
    struct life *t = life_open(state);
    unsigned long opened = allocations();
    assert_true(opened > none); /* the counter counts */
    for (unsigned i = 0; i < 3; i++) {
        life_start(t);
        for (unsigned n = 0; n < 300; n++) {
            (void)vdriver_listen(life_queue(t));
            life_ask(t);
            (void)vdriver_interrupt(&t->rig.driver);
        }
        mv_vdev_sleep(t->rig.dev);
        mv_vdev_wake(t->rig.dev);
        vdriver_reset(&t->rig.driver);
    }
    assert_int_equal(allocations() - opened, 0);
    life_close(t);
}

/* -- reset -- */

static void resets_at_any_time(void **state)
{
    struct life *t = life_open(state);
    struct vdriver *d = &t->rig.driver;
    life_expect_new(t);
    vdriver_reset(d);
    life_expect_new(t);
    assert_true(vdriver_negotiate(d, ALL));
    vdriver_setup_queue(d, 0, 0);
    vdriver_reset(d);
    life_expect_new(t);
    for (unsigned i = 0; i < 20; i++) {
        life_start(t);
        (void)vdriver_listen(life_queue(t));
        if (i & 1)
            life_ask(t); /* its interrupt is not acknowledged */
        vdriver_reset(d);
        life_expect_new(t);
    }
    life_close(t);
}

/* When the reset has been read back, the memory is the driver's. */
static void resets_in_flight(void **state)
{
    struct life *t = life_open(state);
    struct vdriver *d = &t->rig.driver;
    uint16_t head;
    uint32_t written;
    for (unsigned turns = 0; turns < 3; turns++) {
        life_start(t);
        for (unsigned i = 0; i < 8; i++)
            (void)life_add(t);
        vdriver_kick(d, t->type->request_queue);
        for (unsigned i = 0; i < turns; i++)
            mv_loop_turn(&t->rig.loop);
        vdriver_reset(d);
        uint8_t *used = vrig_at(&t->rig, life_queue(t)->used, 4);
        memset(used, 0x5a, 4);
        vrig_turn(&t->rig);
        uv_sleep(5);
        vrig_turn(&t->rig);
        assert_int_equal(mv_load32(used), 0x5a5a5a5a);
        life_expect_new(t);
        life_start(t);
        assert_false(vdriver_reap(life_queue(t), &head, &written));
        life_ask(t);
        vdriver_reset(d);
    }
    assert_int_equal(t->rig.failures, 0);
    life_close(t);
}

/* 4.2.2.2: a driver may take one queue away, and only that stands still. */
static void gives_a_queue_back(void **state)
{
    struct life *t = life_open(state);
    struct vdriver *d = &t->rig.driver;
    uint16_t head;
    uint32_t written;
    life_start(t);
    life_ask(t);
    vdriver_write(d, VREG_QUEUE_SEL, t->type->request_queue);
    assert_int_equal(vdriver_read(d, VREG_QUEUE_READY), 1);
    vdriver_write(d, VREG_QUEUE_READY, 0);
    if (!d->transport->queues_end) { /* PCI, 4.1.4.3.2: not without RING_RESET */
        assert_int_equal(vdriver_read(d, VREG_QUEUE_READY), 1);
        life_ask(t);
        life_close(t);
        return;
    }
    assert_int_equal(vdriver_read(d, VREG_QUEUE_READY), 0);
    (void)life_add(t);
    (void)vdriver_publish(life_queue(t));
    vdriver_write(d, VREG_QUEUE_NOTIFY, t->type->request_queue);
    vrig_turn(&t->rig);
    assert_false(vdriver_reap(life_queue(t), &head, &written));
    assert_int_equal(life_status(t), RUNNING);
    vdriver_write(d, VREG_QUEUE_READY, 1); /* too late in this life */
    assert_int_equal(vdriver_read(d, VREG_QUEUE_READY), 0);
    life_close(t);
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
        LIFE(offers_what_it_has), LIFE(refuses_features),
        LIFE(features_stay),      LIFE(status_only_gains_bits),
        LIFE(answers_requests),   LIFE(interrupts_only_when_asked),
        LIFE(asks_for_no_memory), LIFE(sees_what_was_offered_before),
        LIFE(resets_at_any_time), LIFE(resets_in_flight),
        LIFE(gives_a_queue_back),
    };
    return life_main(cases, MV_ARRAY_LEN(cases), VRIG_MMIO);
}
