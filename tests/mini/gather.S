/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Writes bytes to a port: 200 x, a word, 5 z; says s; then 7 w, and from then on does
 * nothing that anybody would notice but for a 1 in its memory. */
#include "guest.inc"

.macro BYTES count, letter
    mov $\count, %ecx
    mov $\letter, %al
1:  out %al, %dx
    dec %ecx
    jnz 1b
.endm

GUEST gather
    mov $0x600, %edx
    BYTES 200, 'x'
    mov $0x7979, %eax
    out %ax, %dx
    BYTES 5, 'z'
    SAY 's'
    BYTES 7, 'w'
    movb $1, 0x30000
2:  pause
    jmp 2b
END gather
