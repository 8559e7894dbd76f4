/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Writes 3 to device memory, four bytes, 5,000 times. */
#include "guest.inc"

GUEST ring
    mov $DEVICE, %ebx
    mov $5000, %ecx
1:  movl $3, 0x50(%rbx)
    dec %ecx
    jnz 1b
    VERDICT
END ring
