/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The default kernel's place.
 */
#include "places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool place_is(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file)
        (void)fclose(file);
    return file != NULL;
}

bool place_of_kernel(const char *arch, enum place_kernel first, char path[PLACE_BYTES])
{
    static const char *const names[] = {"vmlinux", "vmlinuz"};
    const char *named = getenv("MICROVM_KERNEL");
    if (named && *named) {
        /* Whether it exists is found out by whoever opens it, who can say so. */
        return snprintf(path, PLACE_BYTES, "%s", named) < PLACE_BYTES;
    }
    for (unsigned i = 0; i < 2; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "kernels/default-%.16s/%s", arch,
                       names[i ^ (first == KERNEL_SMALL)]);
        if (place_in_cache(name, path) && place_is(path))
            return true;
    }
    for (unsigned i = 0; !strcmp(arch, MICROVM_ARCH) && i < 2; i++)
        if (place_of_data(names[i ^ (first == KERNEL_SMALL)], path))
            return true;
    return false;
}
