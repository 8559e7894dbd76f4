/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Places on POSIX systems. A program that was copied with its tree, and one that has
 * been built and not installed, find what is beside them.
 */
#define _GNU_SOURCE
#include "places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool place_join(char path[PLACE_BYTES], const char *folder, const char *between,
                       const char *name)
{
    int length = snprintf(path, PLACE_BYTES, "%s%s%s", folder, between, name);
    return length > 0 && length < PLACE_BYTES;
}

bool place_exists(const char *path)
{
    return access(path, R_OK) == 0;
}

void places_of_data(struct places *places)
{
    static const char *const beside[] = {"../share/microvm", "../libexec/microvm",
                                         "../guest", "../../guest"};
    char self[PLACE_BYTES];
    const char *told = getenv("MICROVM_DATA");
    places->path[0] = NULL;
    if (told && *told) {
        places_add(places, told, "");
        return;
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        slash[1] = '\0';
    for (unsigned i = 0; slash && i < sizeof beside / sizeof beside[0]; i++)
        places_add(places, self, beside[i]);
    places_add(places, MICROVM_DATADIR, "");
    places_add(places, MICROVM_LIBEXECDIR, "");
}

/* XDG Base Directory Specification: a variable that is no absolute path is passed over.
 */
static bool place_of_user(const char *variable, const char *otherwise, const char *name,
                          char path[PLACE_BYTES])
{
    const char *folder = getenv(variable);
    const char *home = getenv("HOME");
    if (folder && folder[0] == '/')
        return place_join(path, folder, "/microvm/", name);
    return home && home[0] == '/' && place_join(path, home, otherwise, name);
}

bool place_in_cache(const char *name, char path[PLACE_BYTES])
{
    return place_of_user("XDG_CACHE_HOME", "/.cache/microvm/", name, path);
}

bool place_in_settings(const char *name, char path[PLACE_BYTES])
{
    return place_of_user("XDG_CONFIG_HOME", "/.config/microvm/", name, path);
}
