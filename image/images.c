/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The public functions on the cache: pull, list, remove, prune. Removing is marking and
 * sweeping: what any reference leads to is kept, everything else goes.
 */
#include "pull.h"

#include "util/bytes.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_ROOM = 128, HEX = 64 };

/* ---- pull and list --------------------------------------------------------------- */

static void image_describe(microvm_cached_image *image, const char *reference,
                           const char *arch, const struct mv_digest *digest,
                           const struct mv_manifest *manifest)
{
    (void)snprintf(image->reference, sizeof image->reference, "%s", reference);
    (void)snprintf(image->arch, sizeof image->arch, "%s", arch);
    mv_digest_text(digest, image->digest);
    for (unsigned i = 0; i < manifest->layers; i++)
        image->bytes += manifest->layer[i].size_bytes;
}

int microvm_image_pull(const char *reference, const char *arch,
                       const microvm_image_options *options,
                       microvm_cached_image *image, microvm_error *err)
{
    microvm_cached_image made = MICROVM_CACHED_IMAGE_INIT;
    struct mv_progress progress = {options->progress, options->opaque};
    struct mv_pull_options pull = {.arch = arch,
                                   .cache = options->cache,
                                   .docker_config = options->docker_config,
                                   .helper = mv_pull_helper(options),
                                   .helper_opaque = options->opaque,
                                   .progress = &progress,
                                   .refresh = true};
    struct mv_pulled pulled = MV_PULLED_NONE;
    char text[MV_REF_TEXT];
    int rc = mv_pull(reference, &pull, &pulled, err);
    if (rc)
        return rc;
    mv_ref_text(&pulled.ref, text);
    image_describe(&made, text, arch, &pulled.digest, &pulled.manifest);
    mv_pulled_free(&pulled);
    if (image) {
        made.size = image->size;
        memcpy(image, &made, MV_MIN((size_t)image->size, sizeof made));
    }
    return 0;
}

static int manifest_load(const struct mv_cache *cache, const struct mv_digest *digest,
                         struct mv_manifest *manifest)
{
    char *text = NULL;
    size_t length = 0;
    int rc = mv_cache_load(cache, digest, MV_MANIFEST_BYTES_MAX, &text, &length, NULL);
    if (!rc)
        rc = mv_manifest_parse("cache", text, length, manifest, NULL);
    free(text);
    return rc;
}

struct list {
    const struct mv_cache *cache;
    int (*each)(void *opaque, const microvm_cached_image *image);
    void *opaque;
};

static int list_one(void *opaque, const struct mv_cache_ref *ref)
{
    const struct list *list = opaque;
    microvm_cached_image image = MICROVM_CACHED_IMAGE_INIT;
    struct mv_manifest manifest;
    if (manifest_load(list->cache, &ref->manifest, &manifest))
        return 0; /* somebody has removed its blobs by hand */
    image_describe(&image, ref->text, ref->arch, &ref->manifest, &manifest);
    return list->each(list->opaque, &image);
}

int microvm_image_list(const char *folder,
                       int (*each)(void *opaque, const microvm_cached_image *image),
                       void *opaque, microvm_error *err)
{
    struct mv_cache cache = MV_CACHE_NONE;
    struct list list = {&cache, each, opaque};
    int rc = mv_cache_open(&cache, folder, false, err);
    if (!rc)
        rc = mv_cache_refs(&cache, list_one, &list, err);
    mv_cache_close(&cache);
    return rc;
}

/* ---- remove ---------------------------------------------------------------------- */

struct sweep {
    const struct mv_cache *cache;
    const char *forget; /* this reference; NULL: none */
    bool all;           /* every one */
    unsigned forgotten;
    char (*keep)[MV_DIGEST_TEXT]; /* of blobs */
    size_t kept, room;
    uint64_t freed;
};

enum { SWEEP_NO_MEMORY = 1 };

static int sweep_keep(struct sweep *s, const struct mv_digest *digest)
{
    if (s->kept == s->room) {
        size_t room = s->room ? 2 * s->room : 64;
        void *more = realloc(s->keep, room * sizeof *s->keep);
        if (!more)
            return SWEEP_NO_MEMORY;
        s->keep = more;
        s->room = room;
    }
    mv_digest_text(digest, s->keep[s->kept++]);
    return 0;
}

static int sweep_mark(void *opaque, const struct mv_cache_ref *ref)
{
    struct sweep *s = opaque;
    struct mv_manifest manifest;
    if (s->all || (s->forget && !strcmp(ref->text, s->forget))) {
        s->forgotten++;
        mv_files_remove(ref->path);
        return 0;
    }
    int rc = sweep_keep(s, &ref->manifest);
    if (rc || manifest_load(s->cache, &ref->manifest, &manifest))
        return rc;
    rc = sweep_keep(s, &manifest.config.digest);
    for (unsigned i = 0; !rc && i < manifest.layers; i++)
        rc = sweep_keep(s, &manifest.layer[i].digest);
    return rc;
}

static int sweep_order(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* A blob, a disk, what describes a disk; all else is a remnant. */
static bool sweep_is_whole(const char *name)
{
    static const char *const ends[] = {"", ".ext4", ".ext4.json"};
    bool whole = false;
    for (unsigned i = 0; strlen(name) >= HEX && i < MV_ARRAY_LEN(ends); i++)
        whole |= !strcmp(name + HEX, ends[i]);
    return whole;
}

static void sweep_file(struct sweep *s, const char *folder, const char *name)
{
    char path[MV_FILES_PATH_MAX], digest[MV_DIGEST_TEXT];
    (void)snprintf(digest, sizeof digest, "sha256:%.64s", name);
    if (sweep_is_whole(name) && s->kept &&
        bsearch(digest, s->keep, s->kept, sizeof *s->keep, sweep_order))
        return;
    (void)snprintf(path, sizeof path, "%.*s/%.110s", MV_FILES_PATH_MAX - NAME_ROOM,
                   folder, name);
    s->freed += mv_files_usage(path);
    mv_files_remove(path);
}

/* Files whose names begin with a digest. */
static int sweep_folder(struct sweep *s, const char *where, microvm_error *err)
{
    char folder[MV_FILES_PATH_MAX], **names = NULL;
    (void)snprintf(folder, sizeof folder, "%.*s/%s", MV_FILES_PATH_MAX - NAME_ROOM,
                   s->cache->folder, where);
    int rc = mv_files_make_folder(folder, err);
    if (!rc)
        rc = mv_files_names(folder, &names, err);
    if (rc)
        return rc;
    for (char **name = names; *name; name++) {
        sweep_file(s, folder, *name);
        free(*name);
    }
    free(names);
    return 0;
}

static int sweep_files(struct sweep *s, microvm_error *err)
{
    if (s->kept)
        qsort(s->keep, s->kept, sizeof *s->keep, sweep_order);
    int rc = sweep_folder(s, "blobs/sha256", err);
    return rc ? rc : sweep_folder(s, "disks", err);
}

static int sweep_run(struct sweep *s, const char *folder, uint64_t *freed,
                     microvm_error *err)
{
    struct mv_cache cache = MV_CACHE_NONE;
    int rc = mv_cache_open(&cache, folder, true, err);
    if (rc)
        return rc;
    s->cache = &cache;
    rc = mv_cache_refs(&cache, sweep_mark, s, err);
    if (rc == SWEEP_NO_MEMORY)
        rc = mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    if (!rc && s->forget && !s->forgotten)
        rc = mv_fail(err, MICROVM_E_INVALID, "image '%s' is not in the cache",
                     s->forget);
    if (!rc)
        rc = sweep_files(s, err);
    mv_cache_close(&cache);
    free(s->keep);
    if (!rc && freed)
        *freed = s->freed;
    return rc;
}

int microvm_image_remove(const char *cache, const char *reference,
                         uint64_t *freed_bytes, microvm_error *err)
{
    struct mv_ref ref;
    char text[MV_REF_TEXT];
    struct sweep s = {.forget = text};
    int rc = mv_ref_parse(reference, &ref, err);
    if (rc)
        return rc;
    mv_ref_text(&ref, text);
    return sweep_run(&s, cache, freed_bytes, err);
}

int microvm_image_prune(const char *cache, int all, uint64_t *freed_bytes,
                        microvm_error *err)
{
    struct sweep s = {.all = all != 0};
    return sweep_run(&s, cache, freed_bytes, err);
}
