/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Waits for interrupts, halted, and says t in the handler of vector 0x45, which is also
 * where it directs pin 5 of the I/O APIC, edge-triggered, and u in that of 0x46. A
 * handler ends the interrupt, then says so; that of 0x46 says m before. */
#include "guest.inc"

GUEST irq
    GATE 0x45, 5f
    GATE 0x46, 4f
    lidt 6f(%rip)
    LAPIC_ON
    mov $0xff, %al /* masks the 8259s, which have the pin too and no vectors yet */
    out %al, $0x21
    out %al, $0xa1
    mov $IOAPIC, %ebx /* 82093AA, 3.2.4 */
    movl $0x10 + 5 * 2 + 1, (%rbx)
    movl $0, 0x10(%rbx)
    movl $0x10 + 5 * 2, (%rbx)
    movl $0x45, 0x10(%rbx)
    SAY 'r'
1:  sti
    hlt
    jmp 1b
5:  mov $LAPIC, %edi
    movl $0, 0xb0(%rdi) /* EOI */
    SAY 't'
    iretq
4:  SAY 'm'
    mov $LAPIC, %edi
    movl $0, 0xb0(%rdi)
    SAY 'u'
    iretq
6:  .word 0xfff
    .quad IDT
END irq
