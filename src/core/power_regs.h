/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The page of registers that ACPI's hardware-reduced power model (ACPI 6.5, 4.1) and
 * our chip/power.c share: the tables name these offsets and bits, the chip answers
 * them.
 */
#ifndef MV_CORE_POWER_REGS_H
#define MV_CORE_POWER_REGS_H

enum {
    MV_POWER_SIZE = 0x1000,

    /* Generic event device (5.6.9): dword, pending events, cleared by the read. */
    MV_POWER_EVENTS = 0x00,
    MV_POWER_EVENT_BUTTON = 1 << 0,

    /* Sleep control and status (4.8.3.7), bytes: FADT SLEEP_CONTROL_REG and
     * SLEEP_STATUS_REG. */
    MV_POWER_SLEEP_CONTROL = 0x10,
    MV_POWER_SLEEP_STATUS = 0x11,
    MV_POWER_SLP_TYP_SHIFT = 2, /* three bits */
    MV_POWER_SLP_TYP_OFF = 5,   /* what \_S5 says */
    MV_POWER_SLP_EN = 1 << 5,

    /* FADT RESET_REG and RESET_VALUE (4.8.3.6), byte. */
    MV_POWER_RESET = 0x12,
    MV_POWER_RESET_VALUE = 0x42
};

#endif
