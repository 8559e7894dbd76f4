/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the boot suite's C programs share: one machine with its console, driven by text.
 * Everything goes through the public header. A function that meets trouble says it on
 * standard error and ends the program with status 1, so that the programs read as the
 * story they test.
 */
#ifndef DRIVE_H
#define DRIVE_H

#include <microvm/microvm.h>

#include <stddef.h>
#include <stdint.h>

struct drive {
    const char *name;
    microvm *vm;
    intptr_t console;
    char seen[1 << 16]; /* the end of what the guest has said */
    size_t length;
};

/* A configuration from "key=value" words (argv), and the guest's command line. */
microvm_config *drive_config(int words, char **word, const char *cmdline);

/* Creates the machine, opens its console, starts it. Frees the configuration. */
void drive_start(struct drive *d, const char *name, microvm_config *config);

/* Reads the console until `text` has come; returns what stands behind it, up to the end
 * of its line. Ends the program when it has not come after timeout_ms. */
const char *drive_expect(struct drive *d, const char *text, int64_t timeout_ms);
void drive_send(struct drive *d, const char *text);
/* Reads until the guest has closed the console. */
void drive_drain(struct drive *d, int64_t timeout_ms);
/* Waits for the machine's end, which must be a power-off, or a reboot where the guest
 * has no ACPI. */
void drive_end_orderly(struct drive *d, int64_t timeout_ms);
/* Closes everything. */
void drive_free(struct drive *d);

/* Ends the program when a library call has failed. */
void drive_check(const char *what, int code, const microvm_error *err);
_Noreturn void drive_fail(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
uint64_t drive_now_ms(void);
void drive_sleep_ms(uint64_t ms);

#endif
