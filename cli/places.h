/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where files of ours are: what came with the programs, and what they keep of their own
 * for the user. places_posix.c, places_win.c.
 */
#ifndef CLI_PLACES_H
#define CLI_PLACES_H

#include <stdbool.h>

enum { PLACE_BYTES = 4096, PLACES_MAX = 7 };

/* Folders, in the order in which they are looked at. */
struct places {
    const char *path[PLACES_MAX + 1]; /* ends with NULL */
    char text[PLACES_MAX][PLACE_BYTES];
};

/* Where files are that are installed with the programs: share/microvm and, for the
 * programs of guests, libexec/microvm. $MICROVM_DATA, where it is set, instead. */
void places_of_data(struct places *places);
/* One more folder, behind those that are there. */
void places_add(struct places *places, const char *folder, const char *below);
/* Such a file, or folder, by its name. False where it is not. */
bool place_of_data(const char *name, char path[PLACE_BYTES]);
/* Whether it is there, and may be read. */
bool place_exists(const char *path);
/* A name in the user's cache, $XDG_CACHE_HOME/microvm; it need not exist. False, after
 * nothing is said, where the user has no home. */
bool place_in_cache(const char *name, char path[PLACE_BYTES]);
/* The same of the user's settings, $XDG_CONFIG_HOME/microvm. */
bool place_in_settings(const char *name, char path[PLACE_BYTES]);
/* The kernel that is taken where none is named: $MICROVM_KERNEL, then what
 * `microvm-build kernel` made, then the installed one. Where there are two files of
 * one, the ELF file, which starts sooner, or the packed one, which is a third as large.
 */
enum place_kernel { KERNEL_QUICK, KERNEL_SMALL };
bool place_of_kernel(const char *arch, enum place_kernel first, char path[PLACE_BYTES]);

#endif
