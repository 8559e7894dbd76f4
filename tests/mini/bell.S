/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Rings at device memory: 3, then 4, then 3 in two bytes instead of four; then once in
 * eight bytes and once in one; and once beside it. */
#include "guest.inc"

GUEST bell
    mov $DEVICE, %ebx
    movl $3, 0x50(%rbx)
    movl $4, 0x50(%rbx)
    movw $3, 0x50(%rbx)
    mov $5, %eax
    mov %rax, 0x50(%rbx)
    movb $6, 0x50(%rbx)
    movw $7, 0x51(%rbx)
    VERDICT
END bell
