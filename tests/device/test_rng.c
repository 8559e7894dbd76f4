/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The entropy device: how many bytes come, where they go, and that they differ.
 */
#include "check.h"
#include "vrig.h"

#include "virtio/devices.h"

#include <string.h>

enum { DATA = 0x100000, MOST = 4096 };

static int setup(void **state)
{
    struct vrig *rig = test_calloc(1, sizeof *rig);
    struct mv_vdev *dev = NULL;
    microvm_error err;
    vrig_open(rig);
    assert_ok(mv_rng_open(&rig->host, &dev, &err), &err);
    vrig_attach(rig, dev);
    assert_true(vdriver_start(&rig->driver, UINT64_MAX));
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

static uint32_t ask(struct vrig *rig, const struct vdriver_buffer *buffer, unsigned n)
{
    uint16_t head;
    uint32_t written;
    (void)vdriver_add(&rig->driver.queue[0], buffer, n);
    vdriver_kick(&rig->driver, 0);
    assert_true(vrig_wait_used(rig, 0, &head, &written));
    return written;
}

static bool untouched(const uint8_t *p, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (p[i] != 0xee)
            return false;
    }
    return true;
}

static void bytes_differ_and_stay_inside(void **state)
{
    struct vrig *rig = *state;
    uint8_t *p = vrig_at(rig, DATA, 0x1000);
    memset(p, 0xee, 0x1000);
    const struct vdriver_buffer a = {DATA + 100, 64, true}, b = {DATA + 300, 64, true};
    assert_int_equal(ask(rig, &a, 1), 64);
    assert_int_equal(ask(rig, &b, 1), 64);
    assert_memory_not_equal(p + 100, p + 300, 64);
    assert_memory_not_equal(p + 100, p + 132, 32);
    assert_true(untouched(p, 100) && untouched(p + 164, 136));
    assert_true(untouched(p + 364, 0x1000 - 364));
}

static void fills_scattered_buffers(void **state)
{
    struct vrig *rig = *state;
    uint8_t *p = vrig_at(rig, DATA, 0x1000);
    memset(p, 0xee, 0x1000);
    const struct vdriver_buffer buffer[] = {{DATA, 32, false},
                                            {DATA + 64, 32, true},
                                            {DATA + 128, 1, true},
                                            {DATA + 256, 64, true}};
    assert_int_equal(ask(rig, buffer, 4), 97);
    assert_true(untouched(p, 64) && untouched(p + 96, 32) && untouched(p + 129, 127));
    assert_false(untouched(p + 64, 32) || untouched(p + 256, 64));
}

static void large_requests_get_a_part(void **state)
{
    struct vrig *rig = *state;
    uint8_t *p = vrig_at(rig, DATA, 0x100000);
    memset(p, 0xee, 0x100000);
    const struct vdriver_buffer large = {DATA, 0x100000, true};
    assert_int_equal(ask(rig, &large, 1), MOST);
    assert_false(untouched(p + MOST - 16, 16));
    assert_true(untouched(p + MOST, 0x100000 - MOST));
    const struct vdriver_buffer two[] = {{DATA, MOST - 10, true}, {DATA, 20, true}};
    assert_int_equal(ask(rig, two, 2), MOST);
}

static void nothing_to_fill_gets_nothing(void **state)
{
    struct vrig *rig = *state;
    const struct vdriver_buffer readable = {DATA, 64, false};
    memset(vrig_at(rig, DATA, 64), 0xee, 64);
    assert_int_equal(ask(rig, &readable, 1), 0);
    assert_true(untouched(vrig_at(rig, DATA, 64), 64));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(bytes_differ_and_stay_inside),
        T(fills_scattered_buffers),
        T(large_requests_get_a_part),
        T(nothing_to_fill_gets_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
