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

bool place_of_data(const char *name, char path[PLACE_BYTES])
{
    char self[PLACE_BYTES];
    const char *told = getenv("MICROVM_DATA");
    if (told && *told)
        return place_join(path, told, "\\", name) && _access(path, 4) == 0;
    DWORD length = GetModuleFileNameA(NULL, self, sizeof self);
    self[length < sizeof self ? length : 0] = '\0';
    char *slash = strrchr(self, '\\');
    if (!slash)
        return false;
    *slash = '\0';
    return place_join(path, self, "\\share\\", name) && _access(path, 4) == 0;
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
