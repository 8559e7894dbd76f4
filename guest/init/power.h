/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The orderly end of the guest.
 */
#ifndef GUEST_POWER_H
#define GUEST_POWER_H

#include <stdbool.h>
#include <stdint.h>

/* All processes are asked to end (SIGTERM); false: we are not the first process, and
 * have nothing to say. Asked again, it goes on as it is. */
bool power_begin(bool reboot);
bool power_has_begun(void);
/* Hears the power button, where there is one. */
void power_hear_button(void);
/* How long the loop may wait for what comes next (-1: nothing does), and what is due:
 * SIGKILL when the time to end is over, then file systems, then the machine. */
int64_t power_step(void);
/* A process has been reaped: when it was the last, nobody waits for the others' time.
 */
void power_reaped(bool any_left);

#endif
