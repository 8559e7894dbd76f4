/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An image of a registry as the disk that a machine starts from, made once for each
 * manifest and kept in the cache: disks/HEX.ext4, and HEX.ext4.json beside it, HEX
 * being the manifest's digest.
 *
 * ext4, because every kernel has it and reading it costs the guest no decompression.
 * Device nodes of the image are left out: the guest's /dev is its kernel's.
 */
#include "pull.h"

#include "util/str.h"

#include <microvm/image.h>

#include <stdio.h>
#include <string.h>

static int disk_place(const char *cache, const struct mv_digest *digest, char *path,
                      size_t size, microvm_error *err)
{
    char folder[MV_FILES_PATH_MAX], text[MV_DIGEST_TEXT];
    mv_digest_text(digest, text);
    int folder_length = snprintf(folder, sizeof folder, "%s/disks", cache);
    int length = snprintf(path, size, "%s/%s.ext4", folder, strchr(text, ':') + 1);
    if (folder_length >= (int)sizeof folder || length >= (int)size)
        return mv_fail(err, MICROVM_E_INVALID, "cache: the path '%.64s...' is too long",
                       cache);
    return mv_files_make_folder(folder, err);
}

/* The description is renamed last, so where it is, the disk is whole. */
static bool disk_is_there(const char *path)
{
    char about[MV_FILES_PATH_MAX];
    (void)snprintf(about, sizeof about, "%s.json", path);
    return mv_files_usage(path) > 0 && mv_files_usage(about) > 0;
}

static int disk_build(const char *reference, const char *arch, const char *path,
                      const microvm_image_options *options, microvm_error *err)
{
    char base[MV_REF_TEXT + 8];
    microvm_recipe *recipe = microvm_recipe_new();
    if (!recipe)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    (void)snprintf(base, sizeof base, "oci:%s", reference);
    microvm_recipe_set(recipe, "base", base);
    microvm_recipe_set(recipe, "arch", arch);
    microvm_recipe_set(recipe, "devices", "skip");
    microvm_recipe_set(recipe, "format", "ext4");
    microvm_recipe_set(recipe, "output", path);
    int rc = microvm_image_build(recipe, options, NULL, err);
    microvm_recipe_free(recipe);
    return rc;
}

int microvm_image_disk(const char *reference, const char *arch,
                       const microvm_image_options *options, char *path, size_t size,
                       microvm_error *err)
{
    struct mv_progress progress = {options->progress, options->opaque};
    struct mv_pull_options pull = {.arch = arch,
                                   .cache = options->cache,
                                   .docker_config = options->docker_config,
                                   .progress = &progress};
    struct mv_pulled pulled = MV_PULLED_NONE;
    int rc = mv_pull(reference, &pull, &pulled, err);
    if (!rc)
        rc = disk_place(options->cache, &pulled.digest, path, size, err);
    mv_pulled_free(&pulled);
    if (rc || disk_is_there(path))
        return rc;
    return disk_build(reference, arch, path, options, err);
}
