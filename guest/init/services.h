/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Programs that run as long as the guest does (proto/boot.md).
 */
#ifndef GUEST_SERVICES_H
#define GUEST_SERVICES_H

#include <stdint.h>

/* Starts those that /etc/microvm/services names; there need not be any. */
void services_open(void);
/* Starts again what is due. How long the loop may wait for the next; -1: for ever. */
int64_t services_step(void);
/* A process has been reaped, maybe one of these. */
void services_reaped(int pid, int status);

#endif
