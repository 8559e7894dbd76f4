/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The bus: lookup at the edges of ranges, accesses that cross them, ranges that
 * collide.
 */
#include "check.h"

#include "core/bus.h"

struct probe {
    uint64_t offset, value;
    unsigned size, writes;
};

static uint64_t probe_read(void *chip, uint64_t offset, unsigned size)
{
    struct probe *probe = chip;
    probe->offset = offset;
    probe->size = size;
    return 0x1122334455667788;
}

static void probe_write(void *chip, uint64_t offset, unsigned size, uint64_t value)
{
    struct probe *probe = chip;
    *probe = (struct probe){offset, value, size, probe->writes + 1};
}

static const struct mv_bus_ops probe_ops = {probe_read, probe_write};

static void finds_the_range_at_its_edges(void **state)
{
    struct mv_bus bus = {.count = 0};
    struct probe a = {0}, b = {0};
    microvm_error err;
    uint64_t value;
    (void)state;
    assert_ok(mv_bus_add(&bus, 0x3f8, 8, &probe_ops, &b, &err), &err);
    assert_ok(mv_bus_add(&bus, 0x60, 1, &probe_ops, &a, &err), &err);
    assert_true(mv_bus_write(&bus, 0x3f8, 1, 0x1ff));
    assert_int_equal(b.value, 0xff); /* cut to the access */
    assert_true(mv_bus_read(&bus, 0x3ff, 1, &value));
    assert_int_equal(b.offset, 7);
    assert_int_equal(value, 0x88);
    assert_false(mv_bus_read(&bus, 0x400, 1, &value));
    assert_int_equal(value, 0xff);
    assert_false(mv_bus_write(&bus, 0x3f7, 1, 0));
    assert_int_equal(a.writes, 0);
}

static void crossing_the_end_hits_nothing(void **state)
{
    struct mv_bus bus = {.count = 0};
    struct probe a = {0};
    microvm_error err;
    uint64_t value;
    (void)state;
    assert_ok(mv_bus_add(&bus, 0x1000, 8, &probe_ops, &a, &err), &err);
    assert_false(mv_bus_read(&bus, 0x1006, 4, &value));
    assert_int_equal(value, 0xffffffff);
    assert_false(mv_bus_write(&bus, UINT64_MAX, 8, 1));
    assert_int_equal(a.size, 0);
}

static void refuses_collisions(void **state)
{
    struct mv_bus bus = {.count = 0};
    microvm_error err;
    (void)state;
    assert_ok(mv_bus_add(&bus, 0x100, 0x10, &probe_ops, NULL, &err), &err);
    const uint64_t base[] = {0xf8, 0x100, 0x108, 0x10f};
    for (unsigned i = 0; i < 4; i++)
        assert_error(mv_bus_add(&bus, base[i], 0x10, &probe_ops, NULL, &err), &err,
                     MICROVM_E_DEVICE, "taken");
    assert_ok(mv_bus_add(&bus, 0x110, 1, &probe_ops, NULL, &err), &err);
    assert_error(mv_bus_add(&bus, UINT64_MAX, 2, &probe_ops, NULL, &err), &err,
                 MICROVM_E_DEVICE, "no room");
    assert_int_equal(bus.count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_range_at_its_edges),
        cmocka_unit_test(crossing_the_end_hits_nothing),
        cmocka_unit_test(refuses_collisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
