/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The registers of the power chip, shared by the ACPI tables that describe them
 * (arch/x86/acpi.c) and the chip that answers (chip/power.c). One page; the layout is
 * ours, the meaning of each register is ACPI 6.4's: 4.8.3.7 (sleep control and status
 * of hardware-reduced machines), 4.8.3.6 (reset), 5.6.9 (generic event device).
 */
#ifndef MV_CORE_POWER_REGS_H
#define MV_CORE_POWER_REGS_H

enum {
    MV_POWER_SIZE = 0x1000,

    /* Dword, read-only: events that wait. Reading takes them: they read as 0 then. A
     * new one is an edge on the interrupt line. */
    MV_POWER_EVENTS = 0x00,
    MV_POWER_EVENT_BUTTON = 1u << 0,

    /* Byte, write: SLP_EN with SLP_TYP enters that sleep state. */
    MV_POWER_SLEEP_CONTROL = 0x10,
    MV_POWER_SLEEP_ENABLE = 1u << 5,
    MV_POWER_SLEEP_TYPE_SHIFT = 2, /* three bits */
    MV_POWER_SLEEP_TYPE_MASK = 7,
    MV_POWER_SLEEP_TYPE_S5 = 5, /* what our \_S5 says: power off */

    /* Byte: WAK_STS in bit 7; reads as 0, as nothing ever wakes up. */
    MV_POWER_SLEEP_STATUS = 0x11,

    /* Byte, write: this value resets the machine. */
    MV_POWER_RESET = 0x12,
    MV_POWER_RESET_VALUE = 0x42
};

#endif
