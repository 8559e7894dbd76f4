/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two processors. The first starts the second with INIT and SIPI (MultiProcessor
 * Specification 1.4, appendix B.4), then sends it an NMI in its halt; the second answers
 * both through memory. It stays in real mode, at 0x8000. */
#include "guest.inc"

#define HELLO 0x7000 /* the second writes 1 when it runs, 2 after the interrupt */

GUEST smp
    lea 5f(%rip), %rsi
    mov $0x8000, %edi
    mov $6f - 5f, %ecx
    cld
    rep movsb
    movl $0, HELLO
    LAPIC_ON
    movl $1 << 24, 0x310(%rdi) /* ICR: to APIC id 1 */
    movl $0x4500, 0x300(%rdi)  /* INIT */
    movl $0x4608, 0x300(%rdi)  /* SIPI to page 8 */
1:  pause
    cmpl $1, HELLO
    jne 1b
    SAY 'a'
    movl $0x4400, 0x300(%rdi)  /* NMI: needs no local APIC set up in real mode */
2:  pause
    cmpl $2, HELLO
    jne 2b
    VERDICT
    .code16
5:  cli
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $0x7ff0, %sp
    movw $7f - 5b + 0x8000, 2 * 4 /* vector 2 of the real mode table: NMI */
    movw $0, 2 * 4 + 2
    movb $1, HELLO
1:  hlt
    jmp 1b
7:  movb $2, HELLO
    iret
6:
    .code64
END smp
