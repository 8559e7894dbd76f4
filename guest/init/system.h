/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the first process does before anything else.
 */
#ifndef GUEST_SYSTEM_H
#define GUEST_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>

/* Mounts, standard streams, host name. What cannot be done is said, and the
 * rest goes on. */
void system_open(void);
/* The value of name= on the kernel's command line, cut to size. Needs /proc. */
bool system_parameter(const char *name, char *value, size_t size);
/* One line to standard error: the guest's console. */
void system_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* How the main command ended, as wait(2) tells, where it is not plain success. */
void system_say_end(int status);

#endif
