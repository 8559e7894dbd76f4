/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What remains of the keyboard controller (ports 0x60 and 0x64): pulsing the line that
 * resets the machine. There is no keyboard, and the status register says so in the way
 * that is cheapest to find out:
 *
 * Linux (i8042_controller_check) empties the output buffer first and gives up when it
 * is still full after 16 bytes: 33 accesses, then it never comes back. A controller
 * that answers costs more and then half a second of waiting for a keyboard; one whose
 * input buffer stays full, which an empty bus (all ones) would be, costs 10,000 status
 * reads, and 65,536 more before a reset (kb_wait). So: output buffer full, input buffer
 * empty. With ACPI there is no access at all, because the FADT says that there is no
 * 8042.
 *
 * There is nothing to save: what a guest reads never changes.
 */
#ifndef MV_CHIP_I8042_H
#define MV_CHIP_I8042_H

#include "core/bus.h"

enum {
    MV_I8042_SIZE = 1,    /* ports, in each of the two ranges */
    MV_I8042_COMMAND = 4, /* the second range, counted from the first */
    MV_I8042_RESET = 0xfe
};

struct mv_i8042 {
    /* The guest asked for a reset. On the vCPU's thread, again for each request. */
    void (*reset)(void *ctx);
    void *ctx;
};

extern const struct mv_bus_ops mv_i8042_data_bus, mv_i8042_command_bus;

#endif
