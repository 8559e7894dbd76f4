/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Port accesses of every width and strings of them: out of 1, 2 and 4 bytes, in of the
 * same, rep outsb of 3, rep insw of 2. The port reads as the low bytes of
 * 0x1122334455667788. */
#include "guest.inc"

GUEST ports
    mov $0x600, %edx
    mov $0xa1b2c3d4, %eax
    out %al, %dx
    out %ax, %dx
    out %eax, %dx
    mov $-1, %rax
    in %dx, %al
    cmp $-1 - 0xff + 0x88, %rax
    jne 9f
    in %dx, %ax
    cmp $-1 - 0xffff + 0x7788, %rax
    jne 9f
    in %dx, %eax
    mov $0x55667788, %ebx /* a 32-bit result clears the upper half */
    cmp %rbx, %rax
    jne 9f
    lea 7f(%rip), %rsi
    mov $3, %ecx
    cld
    rep outsb
    mov $0x20000, %edi
    mov $2, %ecx
    rep insw
    cmpl $0x77887788, 0x20000
    jne 9f
    VERDICT
7:  .ascii "abc"
END ports
