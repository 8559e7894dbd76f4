/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sleeps for ever: halted with interrupts off. */
#include "guest.inc"

GUEST halt
    cli
    SAY 'h'
1:  hlt
    jmp 1b
END halt
