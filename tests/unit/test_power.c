/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The power registers: the button is told once, only the right values switch the
 * machine off or reset it, at every width and offset of the page.
 */
#include "around.h"
#include "check.h"

#include "chip/power.h"

struct machine {
    struct mv_power power;
    struct around_line line;
    unsigned off, reset;
};

static void count_off(void *ctx)
{
    struct machine *machine = ctx;
    machine->off++;
}

static void count_reset(void *ctx)
{
    struct machine *machine = ctx;
    machine->reset++;
}

static void machine_open(struct machine *machine)
{
    *machine = (struct machine){.power = {.irq = around_irq(&machine->line),
                                          .off = count_off,
                                          .reset = count_reset,
                                          .ctx = machine}};
}

static void button_is_told_once(void **state)
{
    struct machine m;
    (void)state;
    machine_open(&m);
    assert_int_equal(mv_power_bus.read(&m.power, 0, 4), 0);
    mv_power_press_button(&m.power);
    mv_power_press_button(&m.power);
    assert_int_equal(m.line.pulses, 2);
    assert_int_equal(mv_power_bus.read(&m.power, 0, 4), MV_POWER_EVENT_BUTTON);
    assert_int_equal(mv_power_bus.read(&m.power, 0, 4), 0);
    mv_power_bus.write(&m.power, 0, 4, UINT32_MAX);
    assert_int_equal(mv_power_bus.read(&m.power, 0, 4), 0);
}

static void only_s5_switches_off(void **state)
{
    struct machine m;
    (void)state;
    machine_open(&m);
    for (unsigned value = 0; value < 256; value++) {
        bool off = (value & 0x3c) == (0x20 | 5 << 2);
        unsigned before = m.off;
        mv_power_bus.write(&m.power, MV_POWER_SLEEP_CONTROL, 1, value);
        assert_int_equal(m.off, before + off);
        mv_power_bus.write(&m.power, MV_POWER_SLEEP_STATUS, 1, value);
        assert_int_equal(m.off, before + off);
    }
    assert_int_equal(m.reset, 0);
    assert_int_equal(mv_power_bus.read(&m.power, MV_POWER_SLEEP_STATUS, 1), 0);
}

static void only_its_value_resets(void **state)
{
    struct machine m;
    (void)state;
    machine_open(&m);
    for (unsigned value = 0; value < 256; value++)
        mv_power_bus.write(&m.power, MV_POWER_RESET, 1, value);
    assert_int_equal(m.reset, 1);
    assert_int_equal(m.off, 0);
}

/* A wide access reaches each register that it covers, and no other. */
static void every_width_and_offset(void **state)
{
    (void)state;
    for (unsigned size = 1; size <= 8; size *= 2)
        for (uint64_t offset = 0; offset + size <= MV_POWER_SIZE; offset++) {
            struct machine m;
            machine_open(&m);
            mv_power_press_button(&m.power);
            assert_int_equal(mv_power_bus.read(&m.power, offset, size), offset == 0);
            assert_int_equal(mv_power_bus.read(&m.power, 0, 1), offset != 0);
            mv_power_bus.write(&m.power, offset, size, 0x3434343434343434);
            assert_int_equal(m.off, offset <= 0x10 && offset + size > 0x10);
            mv_power_bus.write(&m.power, offset, size, 0x4242424242424242);
            assert_int_equal(m.reset, offset <= 0x12 && offset + size > 0x12);
        }
}

static void pending_button_survives(void **state)
{
    struct machine old, new;
    struct mv_writer w;
    microvm_error err;
    (void)state;
    machine_open(&old);
    machine_open(&new);
    mv_power_press_button(&old.power);
    mv_writer_open(&w, 64);
    mv_power_save(&old.power, &w);
    struct mv_reader r = {.data = w.data, .length = w.length};
    assert_ok(mv_power_load(&new.power, &r, MV_POWER_STATE_VERSION, &err), &err);
    assert_int_equal(new.line.pulses, 1);
    assert_int_equal(mv_power_bus.read(&new.power, 0, 4), MV_POWER_EVENT_BUTTON);

    r = (struct mv_reader){.data = w.data, .length = w.length};
    assert_error(mv_power_load(&new.power, &r, 9, &err), &err, MICROVM_E_INVALID,
                 "power: has format 9");
    w.data[1] = 1;
    r = (struct mv_reader){.data = w.data, .length = w.length};
    assert_error(mv_power_load(&new.power, &r, 1, &err), &err, MICROVM_E_INVALID,
                 "event 0x101");
    assert_int_equal(mv_power_bus.read(&new.power, 0, 4), 0);
    mv_writer_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(button_is_told_once),
        cmocka_unit_test(only_s5_switches_off),
        cmocka_unit_test(only_its_value_resets),
        cmocka_unit_test(every_width_and_offset),
        cmocka_unit_test(pending_button_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
