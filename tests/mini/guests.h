/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The guests of tests/mini, as machine code for real hypervisors and, where the
 * contract of hv.h is tested with them, as steps for the fake one. What each does is
 * written in its NAME.S.
 */
#ifndef TESTS_MINI_GUESTS_H
#define TESTS_MINI_GUESTS_H

#include "mini.h"

extern const struct mini_guest guest_of_spin, guest_of_halt, guest_of_ports,
    guest_of_mmio, guest_of_gather, guest_of_bell, guest_of_irq, guest_of_shutdown,
    guest_of_nowhere;

/* Machine code only. */
extern const struct mini_guest guest_of_hi, guest_of_long, guest_of_cpuid, guest_of_smp,
    guest_of_ring;

#endif
