/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The MMIO transport with the plainest device there can be: every register at every
 * width and interrupts in every order of looking and acknowledging.
 */
#include "check.h"
#include "vrig.h"

#include "core/state.h"
#include "util/bytes.h"

enum { RUNNING = 15, USED = 1, CONFIG = 2, DATA = 0x100000 };

/* -- a device that returns what it is given -- */

static bool echo_serve(struct mv_vdev *dev, unsigned q, const struct mv_chain *chain)
{
    mv_vq_push(&dev->vq[q], chain->head, chain->write_bytes);
    return true;
}

static void echo_kick(struct mv_vdev *dev, unsigned q)
{
    mv_vdev_serve(dev, q, echo_serve);
}

static void echo_written(struct mv_vdev *dev, uint32_t offset, uint32_t length)
{
    /* 12 counts writes, 13 and 14 say where and how long the last one was. */
    uint8_t note[3] = {(uint8_t)(dev->config[12] + 1), (uint8_t)offset,
                       (uint8_t)length};
    mv_vdev_set_config(dev, 12, note, sizeof note);
}

static const struct mv_vdev_class echo_class = {
    .name = "echo",
    .id = 42,
    .queues = 2,
    .queue_size = 16,
    .config_size = 16,
    .writable_offset = 4,
    .writable_size = 8,
    .state_version = 1,
    .kick = echo_kick,
    .config_written = echo_written,
};

static int setup(void **state)
{
    struct vrig *rig = test_calloc(1, sizeof *rig);
    struct mv_vdev *dev = NULL;
    microvm_error err;
    vrig_open(rig);
    assert_ok(mv_vdev_open(&echo_class, sizeof *dev, NULL, &rig->host, &dev, &err),
              &err);
    vrig_attach(rig, dev);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct vrig *rig = *state;
    vrig_close(rig);
    test_free(rig);
    return 0;
}

static void start(struct vrig *rig)
{
    rig->driver.heap.at = VRIG_LOW_BYTES / 2;
    assert_true(vdriver_start(&rig->driver, UINT64_MAX));
}

/* -- registers -- */

static void every_register_reads_as_specified(void **state)
{
    struct vrig *rig = *state;
    struct vdriver *d = &rig->driver;
    static const struct {
        uint32_t reg, value;
    } known[] = {
        {0x000, 0x74726976}, {0x004, 2},          {0x008, 42},
        {0x00c, 0x4d56554d}, {0x010, 3u << 28},   {0x034, 16},
        {0x0b0, UINT32_MAX}, {0x0b4, UINT32_MAX}, {0x0b8, UINT32_MAX},
        {0x0bc, UINT32_MAX},
    };
    for (uint32_t reg = 0; reg < VREG_CONFIG; reg += 4) {
        uint32_t want = 0;
        for (size_t i = 0; i < MV_ARRAY_LEN(known); i++) {
            if (known[i].reg == reg)
                want = known[i].value;
        }
        assert_int_equal(vdriver_read(d, reg), want);
    }
    vdriver_write(d, VREG_DEVICE_FEATURES_SEL, 1);
    assert_int_equal(vdriver_read(d, VREG_DEVICE_FEATURES), 1);
    vdriver_write(d, VREG_QUEUE_SEL, 2);
    assert_int_equal(vdriver_read(d, VREG_QUEUE_NUM_MAX), 0);
    vdriver_write(d, VREG_SHM_SEL, 1);
    assert_int_equal(vdriver_read(d, VREG_SHM_LEN), UINT32_MAX);
    vdriver_write(d, VREG_QUEUE_RESET, 1);
    assert_int_equal(vdriver_read(d, VREG_QUEUE_RESET), 0);
}

static void other_widths_mean_nothing(void **state)
{
    struct vrig *rig = *state;
    struct vdriver *d = &rig->driver;
    uint32_t before[VREG_CONFIG / 4];
    start(rig);
    vdriver_write(d, VREG_QUEUE_SEL, 1);
    for (uint32_t i = 0; i < VREG_CONFIG / 4; i++)
        before[i] = vdriver_read(d, 4 * i);
    const struct mv_vmmio mmio = rig->mmio;
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (uint32_t at = 0; at < VREG_CONFIG; at++) {
            if (size == 4 && at % 4 == 0)
                continue;
            assert_int_equal(d->bus->read(d->chip, at, size), 0);
            d->bus->write(d->chip, at, size, 0);
            d->bus->write(d->chip, at, size, UINT64_MAX);
            d->bus->write(d->chip, at, size, 1);
        }
    }
    for (uint32_t i = 0; i < VREG_CONFIG / 4; i++)
        assert_int_equal(vdriver_read(d, 4 * i), before[i]);
    assert_int_equal(rig->mmio.queue_sel, mmio.queue_sel);
    assert_int_equal(rig->mmio.features.device_sel, mmio.features.device_sel);
    assert_int_equal(rig->mmio.features.driver_sel, mmio.features.driver_sel);
    vrig_turn(rig);
    assert_int_equal(rig->dev->kicks, 0);
}

/* Aligned ones too, where the register is for reading only or does not exist. */
static void read_only_registers_stay(void **state)
{
    static const uint32_t writable[] = {0x014, 0x020, 0x024, 0x030, 0x038, 0x044,
                                        0x050, 0x064, 0x070, 0x080, 0x084, 0x090,
                                        0x094, 0x0a0, 0x0a4, 0x0ac};
    struct vrig *rig = *state;
    struct vdriver *d = &rig->driver;
    uint32_t before[VREG_CONFIG / 4];
    start(rig);
    vdriver_write(d, VREG_QUEUE_SEL, 0);
    for (uint32_t i = 0; i < VREG_CONFIG / 4; i++)
        before[i] = vdriver_read(d, 4 * i);
    for (uint32_t reg = 0; reg < VREG_CONFIG; reg += 4) {
        bool skip = false;
        for (size_t i = 0; i < MV_ARRAY_LEN(writable); i++)
            skip |= writable[i] == reg;
        if (skip)
            continue;
        vdriver_write(d, reg, UINT32_MAX);
        vdriver_write(d, reg, 0);
    }
    for (uint32_t i = 0; i < VREG_CONFIG / 4; i++)
        assert_int_equal(vdriver_read(d, 4 * i), before[i]);
}

static void queue_addresses_have_halves(void **state)
{
    struct vrig *rig = *state;
    struct vdriver *d = &rig->driver;
    assert_true(vdriver_negotiate(d, UINT64_MAX));
    vdriver_write(d, VREG_QUEUE_SEL, 1);
    for (uint32_t reg = 0x080; reg <= 0x0a0; reg += 0x10) {
        vdriver_write(d, reg + 4, reg + 1);
        vdriver_write(d, reg, reg);
    }
    const struct mv_vq_config *c = &rig->dev->vq[1].config;
    assert_true(c->desc == 0x8100000080 && c->driver == 0x9100000090 &&
                c->device == 0xa1000000a0);
    assert_int_equal(rig->dev->vq[0].config.desc, 0);
}

static void notification_rings_one_bell(void **state)
{
    struct vrig *rig = *state;
    const struct vdriver_buffer buffer = {DATA, 4, true};
    uint16_t head;
    uint32_t written;
    vdriver_write(&rig->driver, VREG_QUEUE_NOTIFY, 1); /* nobody is there yet */
    vrig_turn(rig);
    assert_int_equal(rig->dev->kicks, 0);
    start(rig);
    for (unsigned q = 0; q < 2; q++) {
        (void)vdriver_add(&rig->driver.queue[q], &buffer, 1);
        (void)vdriver_publish(&rig->driver.queue[q]);
    }
    vdriver_write(&rig->driver, VREG_QUEUE_NOTIFY, 1);
    vdriver_write(&rig->driver, VREG_QUEUE_NOTIFY, 2);
    vdriver_write(&rig->driver, VREG_QUEUE_NOTIFY, UINT32_MAX);
    vdriver_write(&rig->driver, VREG_QUEUE_NOTIFY, 0x10000);
    vrig_turn(rig);
    assert_int_equal(rig->dev->kicks, 1);
    assert_false(vdriver_reap(&rig->driver.queue[0], &head, &written));
    assert_true(vdriver_reap(&rig->driver.queue[1], &head, &written));
    assert_int_equal(written, 4);
}

/* A driver that offers the next chain before the last one is back never lets the queue
 * run empty; the loop goes on all the same, and so does the queue. */
static bool endless_serve(struct mv_vdev *dev, unsigned q, const struct mv_chain *chain)
{
    struct vrig *rig = dev->host.ctx;
    mv_vq_push(&dev->vq[q], chain->head, 0);
    vdriver_offer(&rig->driver.queue[q], chain->head);
    (void)vdriver_publish(&rig->driver.queue[q]);
    return true;
}

static void endless_kick(struct mv_vdev *dev, unsigned q)
{
    mv_vdev_serve(dev, q, endless_serve);
}

static void no_driver_keeps_the_loop(void **state)
{
    struct vrig *rig = *state;
    const struct vdriver_buffer buffer = {DATA, 4, true};
    struct mv_vdev_class class = echo_class;
    class.kick = endless_kick;
    rig->dev->class = &class;
    start(rig);
    (void)vdriver_add(&rig->driver.queue[0], &buffer, 1);
    vdriver_kick(&rig->driver, 0);
    for (unsigned turn = 1; turn < 5; turn++) {
        mv_loop_turn(&rig->loop);
        assert_int_equal(rig->dev->vq[0].used_at, 16 * turn);
    }
    rig->dev->class = &echo_class;
}

/* -- configuration -- */

static void generation_counts_changes(void **state)
{
    struct vrig *rig = *state;
    struct vdriver *d = &rig->driver;
    const uint32_t word = 0x01020304;
    uint32_t was = vdriver_read(d, VREG_CONFIG_GENERATION);
    mv_vdev_set_config(rig->dev, 0, &word, 4);
    assert_int_not_equal(vdriver_read(d, VREG_CONFIG_GENERATION), was);
    assert_int_equal(rig->pulses, 0); /* there is no driver yet */
    assert_int_equal(vdriver_read(d, VREG_CONFIG), word);
    start(rig);
    was = vdriver_read(d, VREG_CONFIG_GENERATION);
    mv_vdev_set_config(rig->dev, 0, &word, 4);
    assert_int_equal(rig->pulses, 1);
    assert_int_equal(vdriver_interrupt(d), CONFIG);
    assert_int_not_equal(vdriver_read(d, VREG_CONFIG_GENERATION), was);
}

static void writes_reach_the_device(void **state)
{
    struct vrig *rig = *state;
    struct vdriver *d = &rig->driver;
    d->bus->write(d->chip, VREG_CONFIG + 4, 8, 0x1122334455667788);
    assert_int_equal(d->bus->read(d->chip, VREG_CONFIG + 4, 8), 0x1122334455667788);
    assert_int_equal(rig->dev->config[12], 1);
    d->bus->write(d->chip, VREG_CONFIG + 11, 1, 0xab);
    assert_int_equal(d->bus->read(d->chip, VREG_CONFIG + 8, 4), 0xab223344);
    assert_int_equal(rig->dev->config[12], 2);
    assert_int_equal(rig->dev->config[13], 11);
    assert_int_equal(rig->dev->config[14], 1);
    d->bus->write(d->chip, VREG_CONFIG + 3, 1, 1);
    d->bus->write(d->chip, VREG_CONFIG + 12, 4, 1);
    d->bus->write(d->chip, VREG_CONFIG + 10, 4, 1);
    assert_int_equal(rig->dev->config[12], 2);
    assert_int_equal(d->bus->read(d->chip, VREG_CONFIG + 14, 8), 1);
}

/* -- interrupts -- */

static void make_used(struct vrig *rig)
{
    rig->dev->transport.signal(rig->dev->transport.transport, 1);
}

static void each_event_makes_an_edge(void **state)
{
    struct vrig *rig = *state;
    struct vdriver *d = &rig->driver;
    make_used(rig);
    make_used(rig);
    rig->dev->transport.config_changed(rig->dev->transport.transport);
    assert_int_equal(rig->pulses, 3);
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), USED | CONFIG);
    vdriver_write(d, VREG_INTERRUPT_ACK, CONFIG);
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), USED);
    vdriver_write(d, VREG_INTERRUPT_ACK, UINT32_MAX & ~(uint32_t)USED);
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), USED);
    vdriver_write(d, VREG_INTERRUPT_ACK, UINT32_MAX);
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), 0);
    make_used(rig);
    assert_int_equal(rig->pulses, 4);
}

/* An event between the driver's look and its acknowledgement keeps its bit. */
static void acknowledging_clears_what_was_seen(void **state)
{
    struct vrig *rig = *state;
    struct vdriver *d = &rig->driver;
    make_used(rig);
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), USED);
    make_used(rig); /* its edge is latched */
    vdriver_write(d, VREG_INTERRUPT_ACK, USED);
    assert_int_equal(rig->pulses, 2);
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), USED); /* what it finds */
    vdriver_write(d, VREG_INTERRUPT_ACK, USED);
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), 0);
    /* A driver that never reads leaves the bit, and still gets its edges. */
    make_used(rig);
    vdriver_write(d, VREG_INTERRUPT_ACK, USED);
    make_used(rig);
    assert_int_equal(rig->pulses, 4);
    assert_int_equal(vdriver_interrupt(d), USED);
    assert_int_equal(vdriver_interrupt(d), 0);
}

/* The hypervisor takes acknowledgements; the register behaves as if it did not. */
static void acknowledging_needs_no_exit(void **state)
{
    struct vrig *rig = *state;
    struct vdriver *d = &rig->driver;
    microvm_error err;
    assert_ok(mv_notify_open(&rig->mmio.acked, &err), &err);
    make_used(rig);
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), USED);
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), USED);
    mv_notify_signal(&rig->mmio.acked);
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), 0);
    make_used(rig);
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), USED);
    make_used(rig); /* between the look and the acknowledgement */
    mv_notify_signal(&rig->mmio.acked);
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), USED);
    mv_notify_signal(&rig->mmio.acked);
    make_used(rig); /* after it, before the next look */
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), USED);
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), USED); /* a new one */
    rig->dev->transport.config_changed(rig->dev->transport.transport);
    mv_notify_signal(&rig->mmio.acked);
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), CONFIG);
    mv_notify_signal(&rig->mmio.acked);
    vdriver_write(d, VREG_INTERRUPT_ACK, USED | CONFIG); /* comes up */
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), 0);
    make_used(rig);
    (void)vdriver_read(d, VREG_INTERRUPT_STATUS);
    mv_notify_signal(&rig->mmio.acked);
    vdriver_reset(d); /* forgets the acknowledgement, too */
    make_used(rig);
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), USED);
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), USED);
    mv_notify_signal(&rig->mmio.acked);
    struct mv_writer w;
    mv_writer_open(&w, 4096);
    mv_vmmio_save(&rig->mmio, &w);
    assert_int_equal(mv_load32(w.data + w.length - 4), 0);
    mv_writer_close(&w);
}

/* -- state -- */

static void state_holds_the_selectors(void **state)
{
    struct vrig *rig = *state;
    struct vdriver *d = &rig->driver;
    struct mv_writer w;
    vdriver_write(d, VREG_DEVICE_FEATURES_SEL, 1);
    vdriver_write(d, VREG_DRIVER_FEATURES_SEL, 1);
    vdriver_write(d, VREG_QUEUE_SEL, 1);
    make_used(rig);
    (void)vdriver_read(d, VREG_INTERRUPT_STATUS);
    mv_writer_open(&w, 4096);
    mv_writer_begin(&w, 1, 0, 1);
    mv_vmmio_save(&rig->mmio, &w);
    const struct mv_vmmio was = rig->mmio;
    vdriver_reset(d);
    microvm_error err;
    struct mv_reader r = {.data = w.data + 16, .length = w.length - 16};
    assert_ok(mv_vmmio_load(&rig->mmio, &r, &err), &err);
    assert_true(mv_reader_done(&r));
    assert_int_equal(rig->mmio.features.device_sel, was.features.device_sel);
    assert_int_equal(rig->mmio.features.driver_sel, was.features.driver_sel);
    assert_int_equal(rig->mmio.queue_sel, was.queue_sel);
    assert_int_equal(rig->pulses, 2);
    vdriver_write(d, VREG_INTERRUPT_ACK, USED); /* it had been read */
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), 0);
    mv_writer_close(&w);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(every_register_reads_as_specified), T(other_widths_mean_nothing),
        T(read_only_registers_stay),          T(queue_addresses_have_halves),
        T(notification_rings_one_bell),       T(no_driver_keeps_the_loop),
        T(generation_counts_changes),         T(writes_reach_the_device),
        T(each_event_makes_an_edge),          T(acknowledging_clears_what_was_seen),
        T(acknowledging_needs_no_exit),       T(state_holds_the_selectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
