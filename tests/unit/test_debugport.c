/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The debug port: marks are set once, other bytes reach whoever listens.
 */
#include "check.h"

#include "chip/debugport.h"
#include "util/bytes.h"

#include <uv.h>

struct heard {
    char text[16];
    unsigned length;
};

static void hear(void *ctx, uint8_t value)
{
    struct heard *heard = ctx;
    assert_in_range(heard->length, 0, sizeof heard->text - 1);
    heard->text[heard->length++] = (char)value;
}

static void first_write_marks_the_time(void **state)
{
    struct mv_debugport port = {.written = NULL};
    (void)state;
    for (unsigned mark = 0; mark < 5; mark++)
        assert_int_equal(mv_debugport_mark_ns(&port, mark), 0);
    uint64_t before_ns = uv_hrtime();
    mv_debugport_bus.write(&port, 0, 1, 2);
    uint64_t mark_ns = mv_debugport_mark_ns(&port, 2);
    assert_in_range(mark_ns, before_ns, uv_hrtime());
    mv_debugport_bus.write(&port, 0, 1, 2);
    assert_int_equal(mv_debugport_mark_ns(&port, 2), mark_ns);
    assert_int_equal(mv_debugport_mark_ns(&port, 0), 0);
    mv_debugport_bus.write(&port, 0, 1, 4); /* no mark */
    assert_int_equal(mv_debugport_mark_ns(&port, 4), 0);
}

static void bytes_are_heard_in_order(void **state)
{
    struct heard heard = {.length = 0};
    struct mv_debugport port = {.written = hear, .ctx = &heard};
    (void)state;
    mv_debugport_bus.write(&port, 0, 1, 'H');
    mv_debugport_bus.write(&port, 0, 1, 'i');
    mv_debugport_bus.write(&port, 0, 1, 3);
    assert_int_equal(heard.length, 3);
    assert_memory_equal(heard.text, "Hi\3", 3);
    assert_int_not_equal(mv_debugport_mark_ns(&port, 3), 0);
}

/* The range is one port, so the bus lets nothing wider through. */
static void only_bytes_reach_it(void **state)
{
    struct heard heard = {.length = 0};
    struct mv_debugport port = {.written = hear, .ctx = &heard};
    struct mv_bus bus = {.count = 0};
    microvm_error err;
    uint64_t value;
    (void)state;
    assert_ok(mv_bus_add(&bus, 0xe9, MV_DEBUGPORT_SIZE, &mv_debugport_bus, &port, &err),
              &err);
    for (unsigned size = 2; size <= 8; size *= 2) {
        assert_false(mv_bus_write(&bus, 0xe9, size, 1));
        assert_false(mv_bus_read(&bus, 0xe9, size, &value));
        assert_int_equal(value, mv_size_mask(size));
    }
    assert_int_equal(heard.length, 0);
    assert_true(mv_bus_read(&bus, 0xe9, 1, &value));
    assert_int_equal(value, 0xe9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_write_marks_the_time),
        cmocka_unit_test(bytes_are_heard_in_order),
        cmocka_unit_test(only_bytes_reach_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
