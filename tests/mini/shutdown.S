/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A triple fault: an exception without an interrupt table. */
#include "guest.inc"

GUEST shutdown
    lidt 6f(%rip)
    ud2
6:  .word 0
    .quad 0
END shutdown
