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

static bool place_has(char path[PLACE_BYTES], const char *folder, const char *between,
                      const char *name)
{
    return place_join(path, folder, between, name) && access(path, R_OK) == 0;
}

bool place_of_data(const char *name, char path[PLACE_BYTES])
{
    static const char *const beside[] = {"../share/microvm/", "../libexec/microvm/",
                                         "../guest/", "../../guest/"};
    char self[PLACE_BYTES];
    const char *told = getenv("MICROVM_DATA");
    if (told && *told)
        return place_has(path, told, "/", name);
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        slash[1] = '\0';
    for (unsigned i = 0; slash && i < sizeof beside / sizeof beside[0]; i++)
        if (place_has(path, self, beside[i], name))
            return true;
    return place_has(path, MICROVM_DATADIR, "/", name) ||
           place_has(path, MICROVM_LIBEXECDIR, "/", name);
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
