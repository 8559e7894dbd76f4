/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Real mode: says hello, then halts. The smallest guest there is. */
#include "guest.inc"

GUEST hi
    .code16
    SAY 'H'
    SAY 'i'
    SAY 'Y'
1:  hlt
    jmp 1b
    .code64
END hi
