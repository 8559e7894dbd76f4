/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Places on Windows: what came with the programs is beside them.
 */
#include "places.h"

#include <windows.h>

#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool place_join(char path[PLACE_BYTES], const char *folder, const char *between,
                       const char *name)
{
    int length = snprintf(path, PLACE_BYTES, "%s%s%s", folder, between, name);
    return length > 0 && length < PLACE_BYTES;
}

bool place_exists(const char *path)
{
    return _access(path, 4) == 0;
}

void places_of_data(struct places *places)
{
    char self[PLACE_BYTES];
    const char *told = getenv("MICROVM_DATA");
    places->path[0] = NULL;
    if (told && *told) {
        places_add(places, told, "");
        return;
    }
    DWORD length = GetModuleFileNameA(NULL, self, sizeof self);
    self[length < sizeof self ? length : 0] = '\0';
    char *slash = strrchr(self, '\\');
    if (!slash)
        return;
    *slash = '\0';
    places_add(places, self, "\\share");
}

bool place_in_settings(const char *name, char path[PLACE_BYTES])
{
    const char *local = getenv("APPDATA");
    return local && *local && place_join(path, local, "\\microvm\\", name);
}

bool place_in_cache(const char *name, char path[PLACE_BYTES])
{
    const char *local = getenv("LOCALAPPDATA");
    return local && *local && place_join(path, local, "\\microvm\\cache\\", name);
}
