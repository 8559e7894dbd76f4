/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An image of a registry, a folder or an archive as the disk that a machine starts
 * from, made once and kept in the cache: disks/HEX.ext4, and HEX.ext4.json beside it,
 * HEX being the digest of the manifest, of what is in the folder, or of the archive.
 *
 * ext4, because every kernel has it and reading it costs the guest no decompression.
 * Device nodes of the image are left out: the guest's /dev is its kernel's.
 */
#include "disk_folder.h"
#include "pull.h"

#include "util/str.h"

#include <microvm/image.h>

#include <stdio.h>
#include <string.h>

static const char folder_prefix[] = "dir:", archive_prefix[] = "tar:";

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

static int disk_build(const char *base, const char *arch, const char *path,
                      const microvm_image_options *options, microvm_error *err)
{
    microvm_recipe *recipe = microvm_recipe_new();
    if (!recipe)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    microvm_recipe_set(recipe, "base", base);
    microvm_recipe_set(recipe, "arch", arch);
    microvm_recipe_set(recipe, "devices", "skip");
    microvm_recipe_set(recipe, "format", "ext4");
    microvm_recipe_set(recipe, "output", path);
    int rc = microvm_image_build(recipe, options, NULL, err);
    microvm_recipe_free(recipe);
    return rc;
}

static void disk_remove(const char *path)
{
    char about[MV_FILES_PATH_MAX];
    (void)snprintf(about, sizeof about, "%s.json", path);
    mv_files_remove(about);
    mv_files_remove(path);
}

static bool disk_base_is(const char *base, const char *prefix)
{
    return !strncmp(base, prefix, strlen(prefix));
}

static int disk_archive_digest(const char *path, const struct mv_progress *progress,
                               struct mv_digest *digest, microvm_error *err)
{
    uint64_t bytes;
    int fd;
    int rc = mv_files_open("base", path, &fd, &bytes, err);
    if (rc)
        return rc;
    rc = mv_digest_file(fd, bytes, progress, digest, err);
    mv_files_close(fd);
    return rc;
}

static int disk_host_digest(const char *base, const microvm_image_options *options,
                            struct mv_digest *digest, microvm_error *err)
{
    struct mv_progress progress = {options->progress, options->opaque};
    const char *path = strchr(base, ':') + 1;
    return disk_base_is(base, archive_prefix)
               ? disk_archive_digest(path, &progress, digest, err)
               : mv_disk_folder_digest(path, options->cache, &progress, digest, err);
}

/* `base` is "dir:" and a folder, or "tar:" and an archive. Looked at again afterwards:
 * what changes while it is read must not stand in the cache as what it was. */
static int disk_of_host(const char *base, const char *arch,
                        const microvm_image_options *options, char *path, size_t size,
                        microvm_error *err)
{
    struct mv_digest digest, after;
    int rc = mv_files_make_folder(options->cache, err);
    if (!rc)
        rc = disk_host_digest(base, options, &digest, err);
    if (!rc)
        rc = disk_place(options->cache, &digest, path, size, err);
    if (rc || disk_is_there(path))
        return rc;
    rc = disk_build(base, arch, path, options, err);
    if (!rc)
        rc = disk_host_digest(base, options, &after, err);
    if (!rc && !mv_digest_same(&digest, &after))
        rc = mv_fail(err, MICROVM_E_IO, "'%s' was changed while it was read",
                     strchr(base, ':') + 1);
    if (rc)
        disk_remove(path);
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
                                   .helper = mv_pull_helper(options),
                                   .helper_opaque = options->opaque,
                                   .progress = &progress};
    struct mv_pulled pulled = MV_PULLED_NONE;
    char base[MV_REF_TEXT + 8];
    if (disk_base_is(reference, folder_prefix) ||
        disk_base_is(reference, archive_prefix))
        return disk_of_host(reference, arch, options, path, size, err);
    int rc = mv_pull(reference, &pull, &pulled, err);
    if (!rc)
        rc = disk_place(options->cache, &pulled.digest, path, size, err);
    mv_pulled_free(&pulled);
    if (rc || disk_is_there(path))
        return rc;
    (void)snprintf(base, sizeof base, "oci:%s", reference);
    return disk_build(base, arch, path, options, err);
}
