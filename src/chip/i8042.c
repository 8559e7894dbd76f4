/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Two registers of a controller that is not there, and its reset line. Each range is
 * one port, so all accesses are bytes.
 */
#include "chip/i8042.h"

enum {
    I8042_NOTHING = 0xff,
    I8042_STATUS = 0xff & ~(1 << 1) /* all ones but "input buffer full" */
};

/* Commands 0xf0 to 0xff pulse the output lines whose bit is 0; line 0 is the reset. */
enum { I8042_PULSE = 0xf0, I8042_PULSE_MASK = 0xf1 };

static uint64_t i8042_read_data(void *chip, uint64_t offset, unsigned size)
{
    (void)chip;
    (void)offset;
    (void)size;
    return I8042_NOTHING;
}

static void i8042_write_data(void *chip, uint64_t offset, unsigned size, uint64_t value)
{
    (void)chip;
    (void)offset;
    (void)size;
    (void)value;
}

static uint64_t i8042_read_status(void *chip, uint64_t offset, unsigned size)
{
    (void)chip;
    (void)offset;
    (void)size;
    return I8042_STATUS;
}

static void i8042_write_command(void *chip, uint64_t offset, unsigned size,
                                uint64_t value)
{
    struct mv_i8042 *i8042 = chip;
    (void)offset;
    (void)size;
    if ((value & I8042_PULSE_MASK) == I8042_PULSE)
        i8042->reset(i8042->ctx);
}

const struct mv_bus_ops mv_i8042_data_bus = {i8042_read_data, i8042_write_data};
const struct mv_bus_ops mv_i8042_command_bus = {i8042_read_status, i8042_write_command};
