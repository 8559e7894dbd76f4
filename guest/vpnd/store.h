/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Profiles, as files of one folder that only root reads. */
#ifndef VPND_STORE_H
#define VPND_STORE_H

#include "profile.h"

#include <jansson.h>
#include <limits.h>

/* `trusted`: what an OpenVPN profile says is not looked at. */
bool store_open(const char *folder, bool trusted);
/* All of it or nothing of it is there afterwards. */
bool store_put(const char *name, const char *text, size_t size,
               char why[PROFILE_WHY_MAX]);
/* The path of a profile, which may have been named without ".ovpn" or ".conf", looked
 * at again, and whether it is one of WireGuard's. */
bool store_find(const char *name, char path[PATH_MAX], bool *wireguard,
                char why[PROFILE_WHY_MAX]);
/* `name` is that of the file, or what store_find() would find for it is. */
bool store_same(const char *name, const char *file);
/* Names in order; to be given away. NULL: no memory, or the folder is gone. */
json_t *store_list(void);

#endif
