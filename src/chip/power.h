/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The switches of a machine without ACPI hardware: a power button that the host presses
 * (reported through a generic event device), power off and reset that the guest asks
 * for. The registers are in core/power_regs.h. The only sleep state is S5, off.
 */
#ifndef MV_CHIP_POWER_H
#define MV_CHIP_POWER_H

#include "core/bus.h"
#include "core/irq.h"
#include "core/power_regs.h"
#include "core/state.h"

enum { MV_POWER_STATE_VERSION = 1 };

struct mv_power {
    _Atomic uint32_t events; /* pending; all of the state */
    struct mv_irq irq;       /* edge-triggered */
    /* The guest asked for it. On the vCPU's thread, again for each request. */
    void (*off)(void *ctx);
    void (*reset)(void *ctx);
    void *ctx;
};

extern const struct mv_bus_ops mv_power_bus;

/* Any thread. Pressing again before the guest has looked changes nothing. */
void mv_power_press_button(struct mv_power *power);

/* While no vCPU runs. Events that were pending are announced again: the guest looks,
 * and finds them or nothing. */
void mv_power_save(const struct mv_power *power, struct mv_writer *w);
int mv_power_load(struct mv_power *power, struct mv_reader *r, uint32_t version,
                  microvm_error *err);

#endif
