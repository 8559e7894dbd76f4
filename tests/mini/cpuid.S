/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Asks who it runs on: a hypervisor, KVM, as APIC id 0. */
#include "guest.inc"

GUEST cpuid
    mov $1, %eax
    cpuid
    bt $31, %ecx
    jnc 9f
    bt $3, %ecx /* MONITOR must not be there */
    jc 9f
    shr $24, %ebx
    jnz 9f
    mov $0x40000000, %eax
    cpuid
    cmp $0x4b4d564b, %ebx /* KVMKVMKVM */
    jne 9f
    cmp $0x564b4d56, %ecx
    jne 9f
    cmp $0x4d, %edx
    jne 9f
    VERDICT
END cpuid
