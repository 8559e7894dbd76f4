/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What is looked for in several places: files of ours, and the default kernel.
 */
#include "places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void places_add(struct places *places, const char *folder, const char *below)
{
    unsigned count = 0;
    while (places->path[count])
        count++;
    int length = snprintf(places->text[count], PLACE_BYTES, "%s%s", folder, below);
    if (length <= 0 || length >= PLACE_BYTES)
        return;
    places->path[count] = places->text[count];
    places->path[count + 1] = NULL;
}

bool place_of_data(const char *name, char path[PLACE_BYTES])
{
    struct places places;
    places_of_data(&places);
    for (unsigned i = 0; places.path[i]; i++) {
        int length = snprintf(path, PLACE_BYTES, "%s/%s", places.path[i], name);
        if (length > 0 && length < PLACE_BYTES && place_exists(path))
            return true;
    }
    return false;
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
        if (place_in_cache(name, path) && place_exists(path))
            return true;
    }
    for (unsigned i = 0; !strcmp(arch, MICROVM_ARCH) && i < 2; i++)
        if (place_of_data(names[i ^ (first == KERNEL_SMALL)], path))
            return true;
    return false;
}
