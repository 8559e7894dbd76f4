/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The keyboard controller that is not there: Linux's probe gives up after 33 accesses,
 * its reset waits for nothing, and the reset command resets.
 */
#include "check.h"

#include "chip/i8042.h"

enum { STATUS_OUTPUT_FULL = 1, STATUS_INPUT_FULL = 2 };

static void count_reset(void *ctx)
{
    unsigned *resets = ctx;
    ++*resets;
}

static uint64_t status(struct mv_i8042 *i8042)
{
    return mv_i8042_command_bus.read(i8042, 0, 1);
}

/* drivers/input/serio/i8042.c: i8042_flush. */
static void linux_gives_up_soon(void **state)
{
    struct mv_i8042 i8042 = {.reset = count_reset};
    unsigned accesses = 1, bytes = 0;
    (void)state;
    while ((status(&i8042) & STATUS_OUTPUT_FULL) && bytes++ < 16) {
        assert_int_equal(mv_i8042_data_bus.read(&i8042, 0, 1), 0xff);
        accesses += 2;
    }
    assert_int_equal(bytes, 17); /* "no controller found" */
    assert_int_equal(accesses, 33);
}

/* arch/x86/kernel/reboot.c: kb_wait, then 0xfe. */
static void reset_comes_at_once(void **state)
{
    unsigned resets = 0;
    struct mv_i8042 i8042 = {.reset = count_reset, .ctx = &resets};
    (void)state;
    assert_int_equal(status(&i8042) & STATUS_INPUT_FULL, 0);
    mv_i8042_command_bus.write(&i8042, 0, 1, MV_I8042_RESET);
    assert_int_equal(resets, 1);
}

static void nothing_else_resets(void **state)
{
    unsigned resets = 0;
    struct mv_i8042 i8042 = {.reset = count_reset, .ctx = &resets};
    (void)state;
    for (unsigned value = 0; value < 256; value++) {
        bool pulses_line_0 = value >= 0xf0 && value % 2 == 0;
        unsigned before = resets;
        mv_i8042_data_bus.write(&i8042, 0, 1, value);
        assert_int_equal(resets, before);
        mv_i8042_command_bus.write(&i8042, 0, 1, value);
        assert_int_equal(resets, before + pulses_line_0);
    }
}

/* Each port is a range of its own: wide accesses hit nothing. */
static void wide_accesses_miss(void **state)
{
    unsigned resets = 0;
    struct mv_i8042 i8042 = {.reset = count_reset, .ctx = &resets};
    struct mv_bus bus = {.count = 0};
    microvm_error err;
    uint64_t value;
    (void)state;
    assert_ok(mv_bus_add(&bus, 0x60, MV_I8042_SIZE, &mv_i8042_data_bus, &i8042, &err),
              &err);
    assert_ok(mv_bus_add(&bus, 0x60 + MV_I8042_COMMAND, MV_I8042_SIZE,
                         &mv_i8042_command_bus, &i8042, &err),
              &err);
    for (unsigned size = 2; size <= 8; size *= 2)
        for (uint64_t port = 0x59; port <= 0x64; port++) {
            assert_false(mv_bus_write(&bus, port, size, 0xfefefefefefefefe));
            assert_false(mv_bus_read(&bus, port, size, &value));
        }
    assert_int_equal(resets, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linux_gives_up_soon),
        cmocka_unit_test(reset_comes_at_once),
        cmocka_unit_test(nothing_else_resets),
        cmocka_unit_test(wide_accesses_miss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
