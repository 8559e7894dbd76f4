/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Long mode: 64-bit arithmetic, and the processor says that it is in long mode. */
#include "guest.inc"

GUEST long
    mov $0xc0000080, %ecx /* EFER */
    rdmsr
    test $0x400, %eax /* LMA */
    jz 9f
    mov $0x100000001, %rax
    mov %rax, %rbx
    imul %rbx, %rax
    mov $0x200000001, %rbx
    cmp %rbx, %rax
    jne 9f
    VERDICT
END long
