/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The registers byte by byte: the guest's ACPI interpreter uses the widths that the
 * tables give, a hostile guest any.
 */
#include "chip/power.h"

#include "chip/narrow.h"

#include <stdatomic.h>

void mv_power_press_button(struct mv_power *power)
{
    atomic_fetch_or(&power->events, MV_POWER_EVENT_BUTTON);
    mv_irq_pulse(&power->irq);
}

static uint8_t power_read8(void *chip, uint64_t offset)
{
    struct mv_power *power = chip;
    if (offset >= MV_POWER_EVENTS + 4)
        return 0; /* sleep status too: nothing ever woke this machine (WAK_STS) */
    unsigned shift = 8 * (unsigned)offset;
    uint32_t taken = atomic_fetch_and(&power->events, ~(0xffu << shift));
    return (uint8_t)(taken >> shift);
}

static void power_write8(void *chip, uint64_t offset, uint8_t value)
{
    struct mv_power *power = chip;
    const unsigned off = MV_POWER_SLP_EN | MV_POWER_SLP_TYP_OFF
                                               << MV_POWER_SLP_TYP_SHIFT;
    const unsigned mask = MV_POWER_SLP_EN | 7u << MV_POWER_SLP_TYP_SHIFT;
    if (offset == MV_POWER_SLEEP_CONTROL && (value & mask) == off)
        power->off(power->ctx);
    else if (offset == MV_POWER_RESET && value == MV_POWER_RESET_VALUE)
        power->reset(power->ctx);
}

static uint64_t power_read(void *chip, uint64_t offset, unsigned size)
{
    return mv_narrow_read(chip, offset, size, power_read8);
}

static void power_write(void *chip, uint64_t offset, unsigned size, uint64_t value)
{
    mv_narrow_write(chip, offset, size, value, power_write8);
}

const struct mv_bus_ops mv_power_bus = {power_read, power_write};

void mv_power_save(const struct mv_power *power, struct mv_writer *w)
{
    mv_put32(w, atomic_load(&power->events));
}

int mv_power_load(struct mv_power *power, struct mv_reader *r, uint32_t version,
                  microvm_error *err)
{
    uint32_t events = mv_get32(r);
    int rc = mv_reader_check(r, "power", version, MV_POWER_STATE_VERSION, err);
    if (rc)
        return rc;
    if (events & ~(uint32_t)MV_POWER_EVENT_BUTTON)
        return mv_fail(err, MICROVM_E_INVALID,
                       "saved state: power: event 0x%x is not known: the state is not "
                       "from this library",
                       events);
    atomic_store(&power->events, events);
    if (events)
        mv_irq_pulse(&power->irq);
    return 0;
}
