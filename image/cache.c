/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The cache as files and folders.
 */
#include "cache.h"

#include "util/bytes.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REF_BYTES_MAX = 4096, NAME_ROOM = 128 };

int mv_cache_open(struct mv_cache *cache, const char *folder, bool alone,
                  microvm_error *err)
{
    struct mv_cache new = MV_CACHE_NONE;
    char path[MV_FILES_PATH_MAX];
    if (strlen(folder) + NAME_ROOM > sizeof new.folder)
        return mv_fail(err, MICROVM_E_INVALID, "cache: the path is too long");
    (void)snprintf(path, sizeof path, "%s/blobs/sha256", folder);
    int rc = mv_files_make_folder(path, err);
    (void)snprintf(path, sizeof path, "%s/refs", folder);
    if (!rc)
        rc = mv_files_make_folder(path, err);
    (void)snprintf(path, sizeof path, "%s/lock", folder);
    if (!rc)
        rc = mv_files_lock(path, alone, &new.lock, NULL, err);
    if (rc)
        return rc;
    (void)snprintf(new.folder, sizeof new.folder, "%s", folder);
    *cache = new;
    return 0;
}

void mv_cache_close(struct mv_cache *cache)
{
    mv_files_close(cache->lock); /* with it goes the lock */
    cache->lock = -1;
}

/* ---- blobs ----------------------------------------------------------------------- */

void mv_cache_blob_path(const struct mv_cache *cache, const struct mv_digest *digest,
                        char path[MV_FILES_PATH_MAX])
{
    char text[MV_DIGEST_TEXT];
    int room = MV_FILES_PATH_MAX - NAME_ROOM; /* mv_cache_open has seen to it */
    mv_digest_text(digest, text);
    (void)snprintf(path, MV_FILES_PATH_MAX, "%.*s/blobs/sha256/%s", room, cache->folder,
                   text + 7);
}

bool mv_cache_has(const struct mv_cache *cache, const struct mv_digest *digest)
{
    char path[MV_FILES_PATH_MAX];
    int fd;
    mv_cache_blob_path(cache, digest, path);
    if (mv_files_open("blob", path, &fd, NULL, NULL))
        return false;
    mv_files_close(fd);
    return true;
}

int mv_cache_load(const struct mv_cache *cache, const struct mv_digest *digest,
                  size_t most, char **text, size_t *length, microvm_error *err)
{
    char path[MV_FILES_PATH_MAX];
    struct mv_digest found;
    mv_cache_blob_path(cache, digest, path);
    int rc = mv_files_load("blob", path, most, text, length, err);
    if (rc)
        return rc;
    rc = mv_digest_of(*text, *length, &found, err);
    if (!rc && !mv_digest_same(&found, digest))
        rc = mv_fail(err, MICROVM_E_IO,
                     "blob '%s' is damaged; removing it lets it be pulled again", path);
    if (rc)
        free(*text);
    return rc;
}

static int cache_write(const char *path, const void *data, size_t length,
                       microvm_error *err)
{
    struct mv_output out = MV_OUTPUT_NONE;
    int rc = mv_output_open(&out, path, err);
    if (!rc)
        rc = mv_files_write(out.fd, 0, data, length, "cache", err);
    if (!rc)
        rc = mv_output_commit(&out, err);
    mv_output_drop(&out);
    return rc;
}

int mv_cache_store(const struct mv_cache *cache, const void *data, size_t length,
                   struct mv_digest *digest, microvm_error *err)
{
    char path[MV_FILES_PATH_MAX];
    int rc = mv_digest_of(data, length, digest, err);
    if (rc || mv_cache_has(cache, digest))
        return rc;
    mv_cache_blob_path(cache, digest, path);
    return cache_write(path, data, length, err);
}

/* ---- downloads ------------------------------------------------------------------- */

int mv_cache_part_begin(const struct mv_cache *cache, const struct mv_digest *digest,
                        struct mv_part *part, microvm_error *err)
{
    struct mv_part new = {.fd = -1};
    mv_cache_blob_path(cache, digest, new.final);
    (void)snprintf(new.path, sizeof new.path, "%.*s.part", MV_FILES_PATH_MAX - 8,
                   new.final);
    int rc = mv_files_lock(new.path, true, &new.fd, &new.have, err);
    if (!rc)
        *part = new;
    return rc;
}

int mv_cache_part_finish(struct mv_part *part, microvm_error *err)
{
    int rc = mv_files_rename(part->fd, part->path, part->final, err);
    mv_files_close(part->fd);
    part->fd = -1;
    return rc;
}

void mv_cache_part_drop(struct mv_part *part, bool worthless)
{
    if (worthless)
        mv_files_remove(part->path);
    mv_files_close(part->fd);
    part->fd = -1;
}

/* ---- references ------------------------------------------------------------------ */

static int ref_path(const struct mv_cache *cache, const struct mv_ref *ref,
                    const char *arch, char path[MV_FILES_PATH_MAX], microvm_error *err)
{
    char text[MV_REF_TEXT], both[MV_REF_TEXT + 32], hex[MV_DIGEST_TEXT];
    struct mv_digest digest;
    mv_ref_text(ref, text);
    int length = snprintf(both, sizeof both, "%s %s", text, arch);
    int rc = mv_digest_of(both, (size_t)length, &digest, err);
    if (rc)
        return rc;
    mv_digest_text(&digest, hex);
    (void)snprintf(path, MV_FILES_PATH_MAX, "%.*s/refs/%s",
                   MV_FILES_PATH_MAX - NAME_ROOM, cache->folder, hex + 7);
    return 0;
}

int mv_cache_ref_store(const struct mv_cache *cache, const struct mv_ref *ref,
                       const char *arch, const struct mv_digest *manifest,
                       microvm_error *err)
{
    char path[MV_FILES_PATH_MAX], text[MV_REF_TEXT], digest[MV_DIGEST_TEXT];
    int rc = ref_path(cache, ref, arch, path, err);
    if (rc)
        return rc;
    mv_ref_text(ref, text);
    mv_digest_text(manifest, digest);
    json_t *object = json_pack("{s:s, s:s, s:s}", "reference", text, "arch", arch,
                               "manifest", digest);
    char *dumped = object ? json_dumps(object, JSON_INDENT(2)) : NULL;
    json_decref(object);
    if (!dumped)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    rc = cache_write(path, dumped, strlen(dumped), err);
    free(dumped);
    return rc;
}

/* False: none of ours. */
static bool ref_load(struct mv_cache_ref *ref)
{
    char *text = NULL;
    size_t length = 0;
    if (mv_files_load("reference", ref->path, REF_BYTES_MAX, &text, &length, NULL))
        return false;
    json_t *object = json_loadb(text, length, 0, NULL);
    const char *name = json_string_value(json_object_get(object, "reference"));
    const char *arch = json_string_value(json_object_get(object, "arch"));
    const char *digest = json_string_value(json_object_get(object, "manifest"));
    bool good = name && arch && digest && mv_digest_parse(digest, &ref->manifest) &&
                strlen(name) < sizeof ref->text && strlen(arch) < sizeof ref->arch;
    if (good) {
        memcpy(ref->text, name, strlen(name) + 1);
        memcpy(ref->arch, arch, strlen(arch) + 1);
    }
    json_decref(object);
    free(text);
    return good;
}

bool mv_cache_ref_find(const struct mv_cache *cache, const struct mv_ref *ref,
                       const char *arch, struct mv_digest *manifest)
{
    struct mv_cache_ref found;
    if (ref_path(cache, ref, arch, found.path, NULL) || !ref_load(&found) ||
        !mv_cache_has(cache, &found.manifest))
        return false;
    *manifest = found.manifest;
    return true;
}

static int ref_order(const void *a, const void *b)
{
    const struct mv_cache_ref *one = a, *other = b;
    int order = strcmp(one->text, other->text);
    return order ? order : strcmp(one->arch, other->arch);
}

static void names_free(char **names)
{
    for (char **name = names; *name; name++)
        free(*name);
    free(names);
}

int mv_cache_refs(const struct mv_cache *cache,
                  int (*each)(void *opaque, const struct mv_cache_ref *ref),
                  void *opaque, microvm_error *err)
{
    char folder[MV_FILES_PATH_MAX], **names = NULL;
    size_t count = 0, good = 0;
    (void)snprintf(folder, sizeof folder, "%.*s/refs", MV_FILES_PATH_MAX - NAME_ROOM,
                   cache->folder);
    int rc = mv_files_names(folder, &names, err);
    if (rc)
        return rc;
    while (names[count])
        count++;
    struct mv_cache_ref *refs = calloc(count + 1, sizeof *refs);
    if (!refs)
        rc = mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    for (size_t i = 0; !rc && i < count; i++) {
        (void)snprintf(refs[good].path, sizeof refs[good].path, "%.*s/%.80s",
                       MV_FILES_PATH_MAX - NAME_ROOM, folder, names[i]);
        good += ref_load(&refs[good]);
    }
    if (!rc)
        qsort(refs, good, sizeof *refs, ref_order);
    for (size_t i = 0; !rc && i < good; i++)
        rc = each(opaque, &refs[i]);
    names_free(names);
    free(refs);
    return rc;
}
