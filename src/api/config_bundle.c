/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A bundle: a folder with a config.json and the files that it names, wherever the
 * folder is. The settings are read into a configuration of their own, its relative
 * paths are led into the folder, and what came of it goes the way of every JSON text.
 */
#include "core/config_row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool path_is_absolute(const char *path)
{
    return path[0] == '/' || path[0] == '\\' || (path[0] != '\0' && path[1] == ':');
}

static int path_lead(char **path, const char *folder, microvm_error *err)
{
    if (!*path || path_is_absolute(*path))
        return 0;
    size_t size = strlen(folder) + strlen(*path) + 2;
    char *led = malloc(size);
    if (!led)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "bundle: no memory");
    (void)snprintf(led, size, "%s/%s", folder, *path);
    free(*path);
    *path = led;
    return 0;
}

/* Sockets, programs and devices of networks are of the computer, not of the bundle. */
static int bundle_lead(struct mv_config *own, const char *folder, microvm_error *err)
{
    int rc = path_lead(&own->kernel, folder, err);
    if (!rc)
        rc = path_lead(&own->initrd, folder, err);
    for (unsigned i = 0; !rc && i < own->disks; i++)
        rc = path_lead(&own->disk[i].path, folder, err);
    return rc;
}

static int bundle_apply(microvm_config *config, microvm_config *own, const char *folder,
                        microvm_error *err)
{
    int rc = bundle_lead(&own->values, folder, err);
    if (rc)
        return rc;
    char *text = mv_config_to_json(&own->values, false);
    if (!text)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "bundle: no memory");
    rc = mv_config_load_json(&config->values, NULL, text, strlen(text), err);
    free(text);
    return rc;
}

int microvm_config_load_bundle(microvm_config *config, const char *folder,
                               microvm_error *err)
{
    if (!config || !folder)
        return mv_fail(err, MICROVM_E_INVALID, "no configuration was given");
    if (config->values.first_error.code)
        return mv_fail_again(err, &config->values.first_error);
    microvm_error first;
    size_t size = strlen(folder) + sizeof "/config.json";
    char *path = malloc(size);
    microvm_config *own = microvm_config_new();
    int rc =
        path && own ? 0 : mv_fail(&first, MICROVM_E_NO_MEMORY, "bundle: no memory");
    if (!rc) {
        (void)snprintf(path, size, "%s/config.json", folder);
        rc = microvm_config_load_file(own, path, &first);
    }
    if (!rc)
        rc = bundle_apply(config, own, folder, &first);
    microvm_config_free(own);
    free(path);
    if (!rc)
        return 0;
    (void)mv_config_stick(&config->values, &first);
    return mv_fail_again(err, &first);
}
