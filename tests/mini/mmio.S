/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Device memory accesses of every width, and one that crosses the end of a page. Device
 * memory reads as the low bytes of 0x1122334455667788. */
#include "guest.inc"

GUEST mmio
    mov $DEVICE, %ebx
    mov $0xa1b2c3d4e5f60718, %rax
    mov %al, (%rbx)
    mov %ax, 2(%rbx)
    mov %eax, 4(%rbx)
    mov %rax, 8(%rbx)
    mov $-1, %rcx
    mov (%rbx), %cl
    cmp $-1 - 0xff + 0x88, %rcx
    jne 9f
    mov 2(%rbx), %cx
    cmp $-1 - 0xffff + 0x7788, %rcx
    jne 9f
    mov 4(%rbx), %ecx
    mov $0x55667788, %edx
    cmp %rdx, %rcx
    jne 9f
    mov 8(%rbx), %rcx
    mov $0x1122334455667788, %rdx
    cmp %rdx, %rcx
    jne 9f
    movzbl 16(%rbx), %ecx
    cmp $0x88, %rcx
    jne 9f
    mov %rax, 0xffd(%rbx) /* 3 bytes and 5 bytes */
    VERDICT
END mmio
