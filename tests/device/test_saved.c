/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Sleep, save and load, the same cases for every type: idle, live, failed; and states
 * that are another device's or damaged.
 */
#include "life.h"

#include "core/state.h"
#include "util/bytes.h"

static void sleeps_and_wakes(void **state)
{
    struct life *t = life_open(state);
    unsigned q = t->type->request_queue;
    uint16_t head;
    uint32_t written;
    mv_vdev_sleep(t->rig.dev); /* IDLE: nothing happens */
    mv_vdev_wake(t->rig.dev);
    life_start(t);
    life_ask(t);
    for (unsigned i = 0; i < 3; i++) {
        mv_vdev_sleep(t->rig.dev);
        mv_vdev_sleep(t->rig.dev);
        assert_int_equal(t->rig.dev->life, MV_VDEV_ASLEEP);
        (void)life_add(t);
        vdriver_kick(&t->rig.driver, q);
        vrig_turn(&t->rig);
        assert_false(vdriver_reap(life_queue(t), &head, &written));
        mv_vdev_wake(t->rig.dev);
        assert_int_equal(t->rig.dev->life, MV_VDEV_LIVE);
        assert_true(vrig_wait_used(&t->rig, q, &head, &written));
        life_ask(t);
    }
    mv_vdev_sleep(t->rig.dev);
    vdriver_reset(&t->rig.driver);
    life_expect_new(t);
    life_start(t);
    life_ask(t);
    life_close(t);
}

struct saved {
    uint8_t bytes[4096];
    size_t length;
};

static void life_save(struct life *t, struct saved *saved)
{
    struct mv_writer w;
    struct mv_reader whole, payload;
    struct mv_section section;
    microvm_error err;
    mv_writer_open(&w, sizeof saved->bytes);
    mv_writer_begin(&w, 1, 0, 1);
    vrig_save(&t->rig, &w);
    mv_writer_end(&w);
    assert_false(w.failed);
    whole = (struct mv_reader){.data = w.data, .length = w.length};
    assert_int_equal(mv_reader_section(&whole, &section, &payload, &err), 1);
    memcpy(saved->bytes, payload.data, payload.length);
    saved->length = payload.length;
    mv_writer_close(&w);
}

static int life_load(struct life *t, const struct saved *saved, microvm_error *err)
{
    struct mv_reader r = {.data = saved->bytes, .length = saved->length};
    int rc = vrig_load(&t->rig, &r, err);
    if (!rc)
        assert_true(mv_reader_done(&r));
    return rc;
}

static void life_move(struct life *t, const struct saved *saved)
{
    microvm_error err;
    life_replace(t);
    assert_ok(life_load(t, saved, &err), &err);
}

static void goes_on_after_a_save_when_idle(void **state)
{
    struct life *t = life_open(state);
    struct saved saved;
    life_save(t, &saved);
    life_move(t, &saved);
    life_expect_new(t);
    assert_true(vdriver_negotiate(&t->rig.driver, ALL));
    vdriver_write(&t->rig.driver, VREG_QUEUE_SEL, t->type->queues - 1);
    life_save(t, &saved); /* half way through the driver's start */
    life_move(t, &saved);
    assert_int_equal(life_status(t), ACKNOWLEDGE | DRIVER | FEATURES_OK);
    assert_true(vdriver_read(&t->rig.driver, VREG_QUEUE_NUM_MAX) > 0);
    vdriver_setup_queue(&t->rig.driver, t->type->request_queue, 0);
    vdriver_write(&t->rig.driver, VREG_STATUS, RUNNING);
    life_ask(t);
    life_close(t);
}

static void goes_on_after_a_save_when_live(void **state)
{
    struct life *t = life_open(state);
    struct saved saved, again;
    uint16_t head;
    uint32_t written;
    life_start(t);
    for (unsigned i = 0; i < 5; i++)
        life_ask(t);
    (void)vdriver_interrupt(&t->rig.driver);
    (void)vdriver_listen(life_queue(t));
    unsigned pulses = t->rig.pulses;
    life_ask(t);
    life_await_pulses(t, pulses + 1); /* this interrupt is still unread */
    for (unsigned i = 0; i < 3; i++)
        (void)life_add(t);
    mv_vdev_sleep(t->rig.dev);
    vdriver_kick(&t->rig.driver, t->type->request_queue);
    life_save(t, &saved);
    life_save(t, &again);
    assert_int_equal(saved.length, again.length);
    assert_memory_equal(saved.bytes, again.bytes, saved.length);
    pulses = t->rig.pulses;
    life_move(t, &saved);
    /* A message has gone before; lines may have lost their edge and are told again. */
    assert_int_equal(t->rig.pulses, pulses + (t->rig.transport != VRIG_PCI));
    assert_int_equal(vdriver_interrupt(&t->rig.driver), USED);
    life_save(t, &again);
    assert_int_equal(t->rig.dev->life, MV_VDEV_ASLEEP);
    mv_vdev_wake(t->rig.dev);
    for (unsigned i = 0; i < 3; i++)
        assert_true(vrig_wait_used(&t->rig, t->type->request_queue, &head, &written));
    life_ask(t);
    assert_int_equal(life_status(t), RUNNING);
    assert_int_equal(t->rig.failures, 0);
    life_close(t);
}

static void saves_a_failed_device(void **state)
{
    struct life *t = life_open(state);
    struct saved saved;
    life_start(t);
    vdriver_offer(life_queue(t), 0xffff);
    vdriver_kick(&t->rig.driver, t->type->request_queue);
    vrig_turn(&t->rig);
    assert_int_equal(life_status(t), RUNNING | NEEDS_RESET);
    mv_vdev_sleep(t->rig.dev);
    life_save(t, &saved);
    life_move(t, &saved);
    mv_vdev_wake(t->rig.dev);
    life_expect_failure(t, "the same after loading");
    life_close(t);
}

/* A state that no device writes: failed before it was started. Found by fuzzing: the
 * queues came to life and a bad ring kept the loop for ever. */
static void a_failed_device_does_not_start(void **state)
{
    struct life *t = life_open(state);
    struct saved saved;
    const size_t status_at = 4 + 4 + 8; /* behind type, version, features */
    assert_true(vdriver_negotiate(&t->rig.driver, ALL));
    vdriver_setup_queue(&t->rig.driver, t->type->request_queue, 0);
    life_save(t, &saved);
    saved.bytes[status_at] |= NEEDS_RESET;
    life_move(t, &saved);
    vdriver_offer(life_queue(t), 0xffff);
    vdriver_write(&t->rig.driver, VREG_STATUS, RUNNING);
    assert_int_equal(life_status(t), (RUNNING | NEEDS_RESET) & ~DRIVER_OK);
    assert_false(t->rig.dev->vq[t->type->request_queue].live);
    vdriver_reset(&t->rig.driver);
    life_expect_new(t);
    life_start(t);
    life_ask(t);
    life_close(t);
}

/* Where a saved state goes on with the transport's. */
static size_t life_transport_at(const struct life *t)
{
    struct mv_writer w;
    mv_writer_open(&w, sizeof((struct saved *)0)->bytes);
    mv_vdev_save(t->rig.dev, &w);
    assert_false(w.failed);
    size_t at = w.length;
    mv_writer_close(&w);
    return at;
}

static void refuses_foreign_states(void **state)
{
    struct life *t = life_open(state);
    struct saved good, bad;
    microvm_error err;
    life_start(t);
    mv_vdev_sleep(t->rig.dev);
    life_save(t, &good);
    const size_t transport_at = life_transport_at(t);
    vdriver_reset(&t->rig.driver);
    bad = good;
    mv_store32(bad.bytes, 77);
    assert_error(life_load(t, &bad, &err), &err, MICROVM_E_DEVICE, "device type 77");
    bad = good;
    mv_store32(bad.bytes + 4, 99);
    assert_error(life_load(t, &bad, &err), &err, MICROVM_E_DEVICE, "version 99");
    bad = good;
    mv_store64(bad.bytes + 8, 1ull << 32 | 1ull << 50);
    assert_error(life_load(t, &bad, &err), &err, MICROVM_E_DEVICE, "features");
    bad = good;
    mv_store32(bad.bytes + 16, RUNNING & ~(uint32_t)FEATURES_OK);
    assert_error(life_load(t, &bad, &err), &err, MICROVM_E_DEVICE, "damaged");
    mv_store32(bad.bytes + 16, 0x100);
    assert_error(life_load(t, &bad, &err), &err, MICROVM_E_DEVICE, "damaged");
    bad = good;
    bad.bytes[24 + t->type->config_bytes] ^= 0x40;
    assert_error(life_load(t, &bad, &err), &err, MICROVM_E_DEVICE, "queues");
    bad = good;
    mv_store32(bad.bytes + transport_at, 2);
    assert_error(life_load(t, &bad, &err), &err, MICROVM_E_DEVICE,
                 "its transport has format 2, this library reads format 1");
    vdriver_reset(&t->rig.driver);
    for (bad = good; bad.length > 0;) {
        bad.length--;
        assert_error(life_load(t, &bad, &err), &err, MICROVM_E_DEVICE, "cut short");
        vdriver_reset(&t->rig.driver); /* the transport's half may have been missing */
    }
    life_start(t);
    life_ask(t);
    life_close(t);
}

/* Whatever the state says about queues, waking it up at worst fails the device. */
static void survives_damaged_states(void **state)
{
    struct life *t = life_open(state);
    struct saved good;
    microvm_error err;
    life_start(t);
    life_ask(t);
    mv_vdev_sleep(t->rig.dev);
    life_save(t, &good);
    vdriver_reset(&t->rig.driver);
    for (size_t at = 0; at < good.length; at++) {
        struct saved bad = good;
        bad.bytes[at] ^= 0xff;
        if (life_load(t, &bad, &err) == 0) {
            mv_vdev_wake(t->rig.dev);
            vrig_turn(&t->rig);
        }
        if (t->rig.transport != VRIG_MMIO) /* the BAR may be anywhere */
            vdriver_pci_enable(&t->rig.driver);
        vdriver_reset(&t->rig.driver);
    }
    life_start(t);
    life_ask(t);
    life_close(t);
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
        LIFE(sleeps_and_wakes),
        LIFE(goes_on_after_a_save_when_idle),
        LIFE(goes_on_after_a_save_when_live),
        LIFE(saves_a_failed_device),
        LIFE(a_failed_device_does_not_start),
        LIFE(refuses_foreign_states),
        LIFE(survives_damaged_states),
    };
    return life_main(cases, MV_ARRAY_LEN(cases), VRIG_MMIO);
}
