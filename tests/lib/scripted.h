/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Machines whose guest is a script for the fake hypervisor (hv/fake/fake.h), in an ELF
 * file as any kernel: so a test has every turn of a machine's life when it wants it, on
 * any system.
 */
#ifndef TESTS_LIB_SCRIPTED_H
#define TESTS_LIB_SCRIPTED_H

#include "hv/fake/fake.h"

#include <microvm/microvm.h>

/* Where the first step lies in guest memory, of 16 MiB. */
enum { SCRIPTED_ENTRY = 0x100000 };

/* A machine on `hv` that is Created and runs these steps. settings: keys and values in
 * turn, ended by NULL. One that is refused fails the test. */
microvm *scripted_machine(const struct mv_hv_ops *hv, const struct mv_fake_step *step,
                          unsigned steps, const char *const *settings);

#endif
