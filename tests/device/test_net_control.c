/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The network device beside its frames: what it offers, the link, the control queue's
 * commands and nonsense, the filter, announcements, limits.
 */
#include "net.h"

#include "core/state.h"
#include "util/bytes.h"
#include "virtio/devices.h"

enum { MAC = 0, STATUS = 6, MTU = 10 }; /* configuration */

/* -- configuration -- */

static void the_backing_decides_what_is_offered(void **state)
{
    (void)state;
    struct nettest *t = net_start(true, ALL);
    const uint64_t needs_header = 1ull << 0 | 1ull << 1 | 1ull << 2 | 1ull << 7 |
                                  1ull << 8 | 1ull << 9 | 1ull << 11 | 1ull << 12 |
                                  1ull << 13 | 7ull << 54;
    uint8_t raw[12];
    assert_int_equal(t->rig.dev->features & needs_header, needs_header);
    assert_true(t->rig.dev->features & 1 << 3);
    mv_vdev_read_config(t->rig.dev, 0, raw, sizeof raw);
    assert_int_equal(raw[MAC + 5], 0x56);
    assert_int_equal(mv_load16(raw + STATUS), 1);
    assert_int_equal(mv_load16(raw + MTU), 9000);
    net_finish(t);
    t = net_start(false, ALL);
    assert_int_equal(t->rig.dev->features & needs_header, 0);
    assert_false(t->rig.dev->features & 1 << 3);
    net_finish(t);
}

static void the_guest_hears_of_the_link(void **state)
{
    (void)state;
    struct nettest *t = net_start(true, ALL);
    uint8_t raw[2];
    net_offer(t, DATA, 4, 1536);
    (void)vdriver_interrupt(&t->rig.driver);
    mv_net_device_set_link(t->rig.dev, false);
    assert_true(vdriver_interrupt(&t->rig.driver) & CONFIG);
    mv_vdev_read_config(t->rig.dev, STATUS, raw, 2);
    assert_int_equal(mv_load16(raw), 0);
    net_arrive(t, 60, 1);
    const struct vdriver_buffer buffer = {DATA + 0x8000, HEADER + 60, false};
    net_send_chain(t, &buffer, 1);
    assert_int_equal(t->net.out_count, 0);
    assert_int_equal(net_reaped(t, RECEIVE), 0);
    mv_net_device_set_link(t->rig.dev, true);
    t->net.net.link = false; /* and now the other end of the cable */
    t->net.net.user.link_changed(t->net.net.user.device);
    mv_vdev_read_config(t->rig.dev, STATUS, raw, 2);
    assert_int_equal(mv_load16(raw), 0);
    t->net.net.link = true;
    t->net.net.user.link_changed(t->net.net.user.device);
    mv_vdev_read_config(t->rig.dev, STATUS, raw, 2);
    assert_int_equal(mv_load16(raw), 1);
    net_arrive(t, 60, 1);
    assert_int_equal(net_reaped(t, RECEIVE), 1);
    net_finish(t);
}

/* -- control -- */

/* A command and the answer that it gets; 0xee: none. */
static uint8_t command(struct nettest *t, const void *data, uint32_t length)
{
    const struct vdriver_buffer buffer[] = {{DATA + 0x80000, length, false},
                                            {ANSWER, 1, true}};
    memcpy(net_at(t, DATA + 0x80000, length), data, length);
    *net_at(t, ANSWER, 1) = 0xee;
    (void)vdriver_add(&t->rig.driver.queue[CONTROL], buffer, 2);
    vdriver_kick(&t->rig.driver, CONTROL);
    vrig_turn(&t->rig);
    (void)net_reaped(t, CONTROL);
    return *net_at(t, ANSWER, 1);
}

#define COMMAND(t, ...) \
    command((t), (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Whether a frame to this address reaches the guest. */
static bool gets_in(struct nettest *t, const uint8_t mac[6])
{
    uint8_t frame[HEADER + 60] = {0};
    memcpy(frame + HEADER, mac, 6);
    net_offer(t, DATA, 1, 1536);
    netdouble_put(&t->net, frame, sizeof frame);
    vrig_turn(&t->rig);
    return net_reaped(t, RECEIVE) == 1;
}

static void the_filter_lets_in_what_the_driver_wants(void **state)
{
    (void)state;
    struct nettest *t = net_start(true, ALL);
    static const uint8_t own[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56},
                         other[6] = {0x52, 0x54, 0, 9, 9, 9},
                         group[6] = {0x33, 0x33, 0, 0, 0, 1},
                         all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    assert_true(gets_in(t, other)); /* promiscuous until the driver says otherwise */
    assert_int_equal(COMMAND(t, 0, 0, 0), 0);
    assert_true(gets_in(t, own) && gets_in(t, all));
    assert_false(gets_in(t, other) || gets_in(t, group));
    assert_int_equal(COMMAND(t, 0, 1, 1), 0); /* all groups */
    assert_true(gets_in(t, group));
    assert_int_equal(COMMAND(t, 0, 1, 0), 0);
    assert_int_equal(COMMAND(t, 1, 0, 1, 0, 0, 0, 0x52, 0x54, 0, 9, 9, 9, 1, 0, 0, 0,
                             0x33, 0x33, 0, 0, 0, 1),
                     0);
    assert_true(gets_in(t, other) && gets_in(t, group) && gets_in(t, own));
    assert_int_equal(COMMAND(t, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
    assert_false(gets_in(t, other) || gets_in(t, group));
    assert_int_equal(COMMAND(t, 1, 1, 0x52, 0x54, 0, 9, 9, 9), 0); /* a new address */
    assert_true(gets_in(t, other));
    assert_false(gets_in(t, own));
    uint8_t many[2 + 4 + 40 * 6 + 4] = {1, 0, 40};
    assert_int_equal(command(t, many, sizeof many), 0);
    assert_true(gets_in(t, own)); /* too many to compare: all of the kind */
    assert_false(gets_in(t, group));
    t->rig.driver.heap.at = VRIG_LOW_BYTES / 2;
    assert_true(vdriver_start(&t->rig.driver, ALL)); /* forgets all of that */
    assert_true(gets_in(t, group));
    assert_int_equal(COMMAND(t, 0, 0, 0), 0);
    assert_true(gets_in(t, own));
    assert_false(gets_in(t, other));
    net_finish(t);
}

static void commands_that_are_nonsense_are_refused(void **state)
{
    (void)state;
    struct nettest *t = net_start(true, ALL);
    static const uint8_t other[6] = {0x52, 0x54, 0, 9, 9, 9};
    static const struct {
        uint8_t bytes[24];
        uint32_t length;
    } c[] = {
        {{0}, 1},                                /* no command */
        {{0, 0}, 2},                             /* no value */
        {{0, 0, 0, 0}, 4},                       /* two values */
        {{0, 2, 1}, 3},                          /* ALLUNI was not offered */
        {{1, 0, 0, 0, 0, 0}, 6},                 /* half a table */
        {{1, 0, 1, 0, 0, 0, 0, 0, 0, 0}, 10},    /* an address is missing */
        {{1, 0, 0xff, 0xff, 0xff, 0xff}, 6},     /* 4294967295 of them are */
        {{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}, 11}, /* something behind it */
        {{1, 1, 1, 2, 3, 4, 5}, 7},              /* five bytes of address */
        {{1, 1, 1, 2, 3, 4, 5, 6, 7}, 9},
        {{1, 2}, 2},
        {{2, 0, 1, 0}, 4}, /* VLANs were not offered */
        {{3, 1}, 2},
        {{4, 0, 1, 0}, 4}, /* nor several pairs */
        {{5, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 10},
        {{5, 0, 0}, 3},
        {{0x7f, 0, 0}, 3},
    };
    assert_int_equal(COMMAND(t, 0, 0, 0), 0);
    for (unsigned i = 0; i < MV_ARRAY_LEN(c); i++) {
        assert_int_equal(command(t, c[i].bytes, c[i].length), 1);
        assert_false(net_failed(t) || gets_in(t, other));
    }
    const struct vdriver_buffer mute = {DATA, 3, false};
    (void)vdriver_add(&t->rig.driver.queue[CONTROL], &mute, 1);
    vdriver_kick(&t->rig.driver, CONTROL);
    vrig_turn(&t->rig);
    assert_true(net_failed(t)); /* nowhere to put the answer */
    net_finish(t);
}

static void offloads_follow_the_driver(void **state)
{
    (void)state;
    struct nettest *t = net_start(true, ALL);
    assert_int_equal(t->net.offloads, MV_NET_OFFLOADS);
    uint8_t set[10] = {5, 0};
    mv_store64(set + 2, 1 << 1 | 1 << 7);
    assert_int_equal(command(t, set, sizeof set), 0);
    assert_int_equal(t->net.offloads, MV_NET_CSUM | MV_NET_TSO4);
    mv_vdev_sleep(t->rig.dev);
    mv_vdev_wake(t->rig.dev); /* stays as chosen */
    assert_int_equal(t->net.offloads, MV_NET_CSUM | MV_NET_TSO4);
    mv_store64(set + 2, 1 << 7); /* nothing stands without the checksum */
    assert_int_equal(command(t, set, sizeof set), 0);
    assert_int_equal(t->net.offloads, 0);
    vdriver_reset(&t->rig.driver);
    t->rig.driver.heap.at = VRIG_LOW_BYTES / 2;
    assert_true(vdriver_start(&t->rig.driver, ~(1ull << 8)));
    assert_int_equal(t->net.offloads, MV_NET_OFFLOADS & ~(unsigned)MV_NET_TSO6);
    net_finish(t);
}

/* Saves the device, and another one goes on from there. */
static struct mv_vdev *net_move(struct nettest *t)
{
    microvm_error err;
    struct mv_writer w;
    mv_writer_open(&w, 1 << 16);
    mv_vdev_sleep(t->rig.dev);
    mv_vdev_save(t->rig.dev, &w);
    struct vdriver driver = t->rig.driver;
    vrig_detach(&t->rig);
    vrig_turn(&t->rig);
    struct mv_vdev *dev;
    netdouble_open(&t->net, &t->rig, true, &dev);
    vrig_attach(&t->rig, dev);
    t->rig.driver = driver;
    struct mv_reader r = {.data = w.data, .length = w.length};
    assert_ok(mv_vdev_load(dev, &r, &err), &err);
    mv_writer_close(&w);
    mv_vdev_wake(dev);
    return dev;
}

static void a_guest_that_was_moved_announces_itself(void **state)
{
    (void)state;
    struct nettest *t = net_start(true, ALL);
    uint8_t raw[2];
    assert_int_equal(COMMAND(t, 3, 0), 0); /* nothing to acknowledge does no harm */
    assert_int_equal(COMMAND(t, 0, 0, 0), 0);
    struct mv_vdev *dev = net_move(t);
    mv_vdev_read_config(dev, STATUS, raw, 2);
    assert_int_equal(mv_load16(raw), 3);
    assert_true(vdriver_interrupt(&t->rig.driver) & CONFIG);
    assert_false(gets_in(t, (const uint8_t[]){0x52, 0, 0, 0, 0, 1})); /* the filter */
    assert_int_equal(COMMAND(t, 3, 0), 0);
    mv_vdev_read_config(dev, STATUS, raw, 2);
    assert_int_equal(mv_load16(raw), 1);
    net_finish(t);
}

static void a_cable_that_is_out_stays_out_when_moved(void **state)
{
    (void)state;
    struct nettest *t = net_start(true, ALL);
    uint8_t raw[2];
    mv_net_device_set_link(t->rig.dev, false);
    struct mv_vdev *dev = net_move(t);
    assert_false(mv_net_device_has_link(dev));
    mv_vdev_read_config(dev, STATUS, raw, 2);
    assert_int_equal(mv_load16(raw) & 1, 0);
    mv_net_device_set_link(dev, true);
    mv_vdev_read_config(dev, STATUS, raw, 2);
    assert_int_equal(mv_load16(raw) & 1, 1);
    net_finish(t);
}

/* -- limits -- */

/* Twenty frames of 60 bytes each way, without the header that is virtio's. */
static void limited_frames(struct nettest *t, const struct mv_limit_rates *rates)
{
    const struct vdriver_buffer buffer = {DATA + 0x80000, HEADER + 60, false};
    mv_net_device_set_limit(t->rig.dev, rates);
    net_offer(t, DATA, 30, 1536);
    for (unsigned i = 0; i < 20; i++) {
        net_arrive(t, 60, 1);
        (void)vdriver_add(&t->rig.driver.queue[TRANSMIT], &buffer, 1);
    }
    vdriver_kick(&t->rig.driver, TRANSMIT);
    vrig_turn(&t->rig);
}

static void both_directions_count_the_same_bytes(void **state)
{
    (void)state;
    struct nettest *t = net_start(true, ALL);
    const struct mv_limit_rates rates = {.bytes = 600,
                                         .burst_ms = 1000}; /* 10 at once */
    limited_frames(t, &rates);
    assert_in_range(t->net.out_count, 10, 11); /* the last one on credit */
    assert_in_range(t->net.net.received_frames, 10, 11);
    net_finish(t);
}

static void a_limit_delays_and_loses_nothing(void **state)
{
    (void)state;
    struct nettest *t = net_start(true, ALL);
    const struct mv_limit_rates rates = {.ops = 100, .burst_ms = 50}; /* 5 at once */
    const struct mv_limit_rates none = {0};
    limited_frames(t, &rates);
    assert_true(t->net.out_count >= 5 && t->net.out_count < 15);
    assert_true(t->net.net.received_frames >= 5 && t->net.net.received_frames < 15);
    uint64_t until = uv_hrtime() + 2000000000;
    while (uv_hrtime() < until &&
           (t->net.out_count < 10 || t->net.net.received_frames < 10))
        vrig_turn(&t->rig);
    assert_true(t->net.out_count >= 10 && t->net.net.received_frames >= 10);
    mv_net_device_set_limit(t->rig.dev, &none); /* at once */
    vrig_turn(&t->rig);
    assert_int_equal(t->net.out_count, 20);
    assert_int_equal(t->net.net.received_frames, 20);
    net_finish(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_backing_decides_what_is_offered),
        cmocka_unit_test(the_guest_hears_of_the_link),
        cmocka_unit_test(the_filter_lets_in_what_the_driver_wants),
        cmocka_unit_test(commands_that_are_nonsense_are_refused),
        cmocka_unit_test(offloads_follow_the_driver),
        cmocka_unit_test(a_guest_that_was_moved_announces_itself),
        cmocka_unit_test(a_cable_that_is_out_stays_out_when_moved),
        cmocka_unit_test(both_directions_count_the_same_bytes),
        cmocka_unit_test(a_limit_delays_and_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
