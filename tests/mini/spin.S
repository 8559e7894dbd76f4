/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Runs for ever without an exit. */
#include "guest.inc"

GUEST spin
    SAY 's'
1:  jmp 1b
END spin
