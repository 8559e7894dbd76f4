/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What an OpenVPN profile may say here: what a client needs, with everything in it.
 * Nothing in it runs a program, loads a library, or reads or writes another file, so a
 * profile is no way into the guest for whoever sent it. A directive that is not known
 * is refused, too: the next version of OpenVPN may know it. Pure.
 */
#ifndef VPND_PROFILE_H
#define VPND_PROFILE_H

#include <stdbool.h>
#include <stddef.h>

enum { PROFILE_WHY_MAX = 300, PROFILE_NAME_MAX = 128 };

/* False: `why` names the line and the directive. */
bool profile_check(const char *text, size_t size, char why[PROFILE_WHY_MAX]);
/* A name of a file that stays in its folder and is seen there. */
bool profile_name_valid(const char *name);

#endif
