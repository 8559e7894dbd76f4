/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The console: a megabyte each way without loss while either side is slower than the
 * other, also across pause and save in the middle of a chain; input that waits for
 * buffers; and the size of the window.
 */
#include "check.h"
#include "vrig.h"

#include "core/state.h"
#include "util/bytes.h"
#include "virtio/devices.h"

enum { RECEIVE = 0, TRANSMIT = 1, CONFIG = 2 };
enum { TOTAL = 1 << 20, DATA = 0x100000, BUFFER = 1000 };

/* -- the host's end: takes and gives as much as it is allowed to -- */

struct host {
    struct vrig rig;
    struct mv_chardev_user user;
    size_t may_put, may_get;        /* bytes, now */
    bool room_wanted, input_wanted; /* it was told no */
    size_t put, got;                /* in all */
    size_t flushed;                 /* of put, when it was flushed last */
    size_t flush_makes_room;        /* bytes, each time */
    unsigned calls, flushes;
};

/* The stream's byte at a position, in both directions. */
static uint8_t stream(size_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7);
}

static size_t host_put(void *ctx, const void *data, size_t length)
{
    struct host *host = ctx;
    size_t n = MV_MIN(length, host->may_put);
    const uint8_t *bytes = data;
    for (size_t i = 0; i < n; i++)
        assert_int_equal(bytes[i], stream(host->put + i));
    host->put += n;
    host->may_put -= n;
    host->room_wanted = n < length;
    host->calls++;
    return n;
}

static void host_flush(void *ctx)
{
    struct host *host = ctx;
    host->flushed = host->put;
    host->may_put += host->flush_makes_room;
    host->flushes++;
}

static size_t host_get(void *ctx, void *data, size_t length)
{
    struct host *host = ctx;
    size_t n = MV_MIN(MV_MIN(length, host->may_get), TOTAL - host->got);
    uint8_t *bytes = data;
    for (size_t i = 0; i < n; i++)
        bytes[i] = stream(host->got + i);
    host->got += n;
    host->may_get -= n;
    host->input_wanted = n == 0;
    host->calls++;
    return n;
}

/* As a backing does: the call is made once, and only if it was asked for. */
static void host_make_room(struct host *host, size_t n)
{
    host->may_put += n;
    if (host->room_wanted) {
        host->room_wanted = false;
        host->user.room(host->user.device);
    }
}

static void host_make_input(struct host *host, size_t n)
{
    host->may_get += n;
    if (host->input_wanted) {
        host->input_wanted = false;
        host->user.input(host->user.device);
    }
}

static void attach(struct host *host)
{
    const struct mv_chardev chardev = {
        .put = host_put, .get = host_get, .ctx = host, .flush = host_flush};
    struct mv_vdev *dev = NULL;
    microvm_error err;
    assert_ok(mv_console_open(&host->rig.host, &chardev, &host->user, &dev, &err),
              &err);
    vrig_attach(&host->rig, dev);
}

static int setup(void **state)
{
    struct host *host = test_calloc(1, sizeof *host);
    vrig_open(&host->rig);
    attach(host);
    assert_true(vdriver_start(&host->rig.driver, UINT64_MAX));
    *state = host;
    return 0;
}

static int teardown(void **state)
{
    struct host *host = *state;
    vrig_close(&host->rig);
    test_free(host);
    return 0;
}

/* -- the guest's end -- */

struct guest {
    size_t sent, received;
    uint64_t buffer[64]; /* gpa by head */
};

/* Offers what there are descriptors for, in chains of three uneven pieces. */
static void guest_send(struct host *host, struct guest *guest)
{
    struct vdriver_queue *vq = &host->rig.driver.queue[TRANSMIT];
    while (vq->free >= 3 && guest->sent < TOTAL) {
        uint64_t gpa = DATA + 0x1000ull * vq->free_head;
        size_t n = MV_MIN((size_t)BUFFER, TOTAL - guest->sent);
        uint8_t *p = vrig_at(&host->rig, gpa, BUFFER);
        for (size_t i = 0; i < n; i++)
            p[i] = stream(guest->sent + i);
        uint32_t third = (uint32_t)n / 3;
        const struct vdriver_buffer buffer[] = {
            {gpa, third, false},
            {gpa + third, 1, false},
            {gpa + third + 1, (uint32_t)n - third - 1, false}};
        (void)vdriver_add(vq, buffer, 3);
        guest->sent += n;
    }
    vdriver_kick(&host->rig.driver, TRANSMIT);
}

static void guest_reap_sent(struct host *host)
{
    uint16_t head;
    uint32_t written;
    while (vdriver_reap(&host->rig.driver.queue[TRANSMIT], &head, &written))
        assert_int_equal(written, 0);
}

static void guest_offer(struct host *host, struct guest *guest, unsigned most)
{
    struct vdriver_queue *vq = &host->rig.driver.queue[RECEIVE];
    for (; most > 0 && vq->free >= 2; most--) {
        uint64_t gpa = DATA + 0x80000 + 0x1000ull * vq->free_head;
        const struct vdriver_buffer buffer[] = {{gpa, 300, true},
                                                {gpa + 300, 724, true}};
        uint16_t head = vdriver_add(vq, buffer, 2);
        guest->buffer[head] = gpa;
    }
    vdriver_kick(&host->rig.driver, RECEIVE);
}

static void guest_receive(struct host *host, struct guest *guest)
{
    uint16_t head;
    uint32_t written;
    while (vdriver_reap(&host->rig.driver.queue[RECEIVE], &head, &written)) {
        assert_in_range(written, 1, 1024);
        const uint8_t *p = vrig_at(&host->rig, guest->buffer[head], written);
        for (uint32_t i = 0; i < written; i++)
            assert_int_equal(p[i], stream(guest->received + i));
        guest->received += written;
    }
}

/* -- streams -- */

/* Pause, save, another device, load, resume: neither end notices. */
static void replace_device(struct host *host)
{
    struct vdriver driver = host->rig.driver;
    struct mv_writer w;
    microvm_error err;
    mv_vdev_sleep(host->rig.dev);
    mv_writer_open(&w, 4096);
    mv_writer_begin(&w, 1, 0, 1);
    mv_vdev_save(host->rig.dev, &w);
    mv_vmmio_save(&host->rig.mmio, &w);
    vrig_detach(&host->rig);
    attach(host);
    host->rig.driver = driver;
    struct mv_reader r = {.data = w.data + 16, .length = w.length - 16};
    assert_ok(mv_vdev_load(host->rig.dev, &r, &err), &err);
    assert_ok(mv_vmmio_load(&host->rig.mmio, &r, &err), &err);
    mv_writer_close(&w);
    mv_vdev_wake(host->rig.dev);
}

static void sends_everything(struct host *host, bool replace)
{
    struct guest guest = {0};
    for (unsigned round = 0; host->put < TOTAL; round++) {
        assert_true(round < 20000);
        if (round % 3 != 1)
            guest_send(host, &guest);
        vrig_turn(&host->rig);
        if (round % 5 != 2)
            host_make_room(host, round % 7 * 191);
        if (replace && round % 64 == 13)
            replace_device(host);
        vrig_turn(&host->rig);
        guest_reap_sent(host);
    }
    assert_int_equal(guest.sent, TOTAL);
    assert_int_equal(host->put, TOTAL);
    vrig_turn(&host->rig);
    guest_reap_sent(host);
    assert_int_equal(host->rig.driver.queue[TRANSMIT].free,
                     host->rig.driver.queue[TRANSMIT].size);
}

static void receives_everything(struct host *host, bool replace)
{
    struct guest guest = {0};
    for (unsigned round = 0; guest.received < TOTAL; round++) {
        assert_true(round < 20000);
        if (round % 4 != 1)
            guest_offer(host, &guest, round % 9);
        vrig_turn(&host->rig);
        if (round % 5 != 2)
            host_make_input(host, round % 7 * 191);
        if (replace && round % 64 == 13)
            replace_device(host);
        vrig_turn(&host->rig);
        guest_receive(host, &guest);
    }
    assert_int_equal(guest.received, TOTAL);
}

static void sends_a_megabyte(void **state)
{
    sends_everything(*state, false);
}

static void receives_a_megabyte(void **state)
{
    receives_everything(*state, false);
}

static void sends_across_saves(void **state)
{
    sends_everything(*state, true);
}

static void receives_across_saves(void **state)
{
    receives_everything(*state, true);
}

/* A chardev that refuses is not asked again and again. */
static void waits_without_turning(void **state)
{
    struct host *host = *state;
    struct guest guest = {0};
    guest_send(host, &guest);
    guest_offer(host, &guest, 4);
    vrig_turn(&host->rig);
    unsigned calls = host->calls;
    assert_true(host->room_wanted && host->input_wanted);
    vrig_turn(&host->rig);
    assert_int_equal(host->calls, calls);
    host_make_room(host, 10); /* ten bytes are put, the eleventh refused */
    assert_int_equal(host->put, 10);
    assert_true(host->room_wanted);
}

/* Input that comes before the driver has buffers, or before there is a driver. */
static void input_waits_for_buffers(void **state)
{
    struct host *host = *state;
    struct guest guest = {0};
    vdriver_reset(&host->rig.driver);
    host_make_input(host, 100);
    host->user.input(host->user.device);
    host->user.room(host->user.device);
    vrig_turn(&host->rig);
    assert_int_equal(host->got, 0);
    host->rig.driver.heap.at = VRIG_LOW_BYTES / 2;
    assert_true(vdriver_start(&host->rig.driver, UINT64_MAX));
    vrig_turn(&host->rig);
    assert_int_equal(host->got, 0);
    guest_offer(host, &guest, 1);
    vrig_turn(&host->rig);
    guest_receive(host, &guest);
    assert_int_equal(guest.received, 100);
}

/* What was half sent when the driver reset is not missing from its next chain. */
static void reset_forgets_half_sent_chains(void **state)
{
    struct host *host = *state;
    struct guest guest = {0};
    guest_send(host, &guest);
    host_make_room(host, 10);
    vrig_turn(&host->rig);
    host_make_room(host, 10);
    assert_int_equal(host->put, 20);
    vdriver_reset(&host->rig.driver);
    host->rig.driver.heap.at = VRIG_LOW_BYTES / 2;
    assert_true(vdriver_start(&host->rig.driver, UINT64_MAX));
    guest = (struct guest){0};
    host->put = 0; /* the stream begins again */
    guest_send(host, &guest);
    host_make_room(host, 100);
    vrig_turn(&host->rig);
    assert_int_equal(host->put, 100);
}

/* The other direction's buffers do not confuse it. */
static void odd_chains_are_harmless(void **state)
{
    struct host *host = *state;
    const struct vdriver_buffer readable = {DATA, 10, false},
                                writable = {DATA, 10, true};
    uint16_t head;
    uint32_t written;
    (void)vdriver_add(&host->rig.driver.queue[RECEIVE], &readable, 1);
    vdriver_kick(&host->rig.driver, RECEIVE);
    (void)vdriver_add(&host->rig.driver.queue[TRANSMIT], &writable, 1);
    vdriver_kick(&host->rig.driver, TRANSMIT);
    vrig_turn(&host->rig);
    assert_true(vdriver_reap(&host->rig.driver.queue[RECEIVE], &head, &written));
    assert_int_equal(written, 0);
    assert_true(vdriver_reap(&host->rig.driver.queue[TRANSMIT], &head, &written));
    assert_int_equal(written, 0);
    assert_int_equal(host->put + host->got, 0);
}

static void the_window_has_a_size(void **state)
{
    struct host *host = *state;
    struct vdriver *d = &host->rig.driver;
    uint32_t generation = vdriver_read(d, VREG_CONFIG_GENERATION);
    mv_console_resize(host->rig.dev, 132, 43);
    assert_int_equal(vdriver_interrupt(d), CONFIG);
    assert_int_equal(d->bus->read(d->chip, VREG_CONFIG, 2), 132);
    assert_int_equal(d->bus->read(d->chip, VREG_CONFIG + 2, 2), 43);
    assert_int_not_equal(vdriver_read(d, VREG_CONFIG_GENERATION), generation);
}

static void what_is_sent_is_flushed_in_one_piece(void **state)
{
    struct host *host = *state;
    struct guest guest = {0};
    host->may_put = TOTAL;
    for (unsigned round = 1; round <= 50; round++) {
        guest_send(host, &guest);
        vrig_turn(&host->rig);
        guest_reap_sent(host);
        assert_int_equal(host->put, guest.sent);
        assert_int_equal(host->flushed, guest.sent); /* nothing stays behind */
        assert_int_equal(host->flushes, round);
    }
    assert_true(host->calls > 50 * 10);
}

/* A host that holds what it gets has room again when it is flushed: its call is not
 * waited for. */
static void a_full_host_is_flushed_and_tried_again(void **state)
{
    struct host *host = *state;
    struct guest guest = {0};
    host->may_put = host->flush_makes_room = 5000;
    for (unsigned round = 0; host->put < TOTAL; round++) {
        assert_true(round < 5000);
        guest_send(host, &guest);
        vrig_turn(&host->rig);
        guest_reap_sent(host);
        assert_false(host->room_wanted);
    }
    assert_int_equal(host->flushed, TOTAL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(sends_a_megabyte),
        T(receives_a_megabyte),
        T(sends_across_saves),
        T(receives_across_saves),
        T(waits_without_turning),
        T(input_waits_for_buffers),
        T(reset_forgets_half_sent_chains),
        T(odd_chains_are_harmless),
        T(the_window_has_a_size),
        T(what_is_sent_is_flushed_in_one_piece),
        T(a_full_host_is_flushed_and_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
