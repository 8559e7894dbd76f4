/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Jumps into device memory, where no instruction can be fetched. */
#include "guest.inc"

GUEST nowhere
    mov $DEVICE + 0x123, %eax
    jmp *%rax
END nowhere
