/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm-build cache: the images of registries that are kept on this computer.
 */
#include "build.h"
#include "watch.h"

#include <stdio.h>
#include <string.h>

enum { DISK_PATH = 4096 };

struct listing {
    bool json;
    unsigned count;
};

static int list_one(void *opaque, const microvm_cached_image *image)
{
    struct listing *listing = opaque;
    char size[BAR_SIZE_TEXT];
    bar_size(size, image->bytes);
    if (listing->json) {
        (void)fputs(listing->count++ ? ",\n  {\"reference\": "
                                     : "[\n  {\"reference\": ",
                    stdout);
        put_json_string(image->reference);
        (void)fputs(", \"arch\": ", stdout);
        put_json_string(image->arch);
        (void)printf(", \"digest\": \"%s\", \"bytes\": %llu}", image->digest,
                     (unsigned long long)image->bytes);
        return 0;
    }
    if (listing->count++ == 0)
        (void)printf("%-50s %-7s %-12s %10s\n", "REFERENCE", "ARCH", "DIGEST", "SIZE");
    (void)printf("%-50s %-7s %.12s %10s\n", image->reference, image->arch,
                 image->digest + 7, size);
    return 0;
}

static int cache_list(const struct args *args, const char *cache, microvm_error *err)
{
    struct listing listing = {.json = args_get(args, "json")};
    int rc = microvm_image_list(cache, list_one, &listing, err);
    if (!rc && listing.json)
        (void)puts(listing.count ? "\n]" : "[]");
    return rc;
}

static int cache_pull(const struct args *args, struct watch *watch, microvm_error *err)
{
    const char *arch = args_get(args, "arch");
    for (int i = 1; i < args->word_count; i++) {
        microvm_cached_image image = MICROVM_CACHED_IMAGE_INIT;
        int rc = microvm_image_pull(args->words[i], arch ? arch : MICROVM_ARCH,
                                    &watch->options, &image, err);
        bar_end(&watch->bar);
        if (rc)
            return rc;
        (void)printf("%s\n", image.digest);
    }
    return 0;
}

static int cache_disk(const struct args *args, struct watch *watch, microvm_error *err)
{
    static char path[DISK_PATH];
    const char *arch = args_get(args, "arch");
    for (int i = 1; i < args->word_count; i++) {
        int rc = microvm_image_disk(args->words[i], arch ? arch : MICROVM_ARCH,
                                    &watch->options, path, sizeof path, err);
        bar_end(&watch->bar);
        if (rc)
            return rc;
        (void)printf("%s\n", path);
    }
    return 0;
}

static int cache_remove(const struct args *args, const char *cache, microvm_error *err)
{
    uint64_t freed, all = 0;
    char size[BAR_SIZE_TEXT];
    int rc = 0;
    for (int i = 1; !rc && i < args->word_count; i++) {
        rc = microvm_image_remove(cache, args->words[i], &freed, err);
        all += rc ? 0 : freed;
    }
    bar_size(size, all);
    if (!rc)
        say("%s are free now", size);
    return rc;
}

static int cache_prune(const struct args *args, const char *cache, microvm_error *err)
{
    uint64_t freed = 0;
    char size[BAR_SIZE_TEXT];
    int rc = microvm_image_prune(cache, args_get(args, "all") != NULL, &freed, err);
    bar_size(size, freed);
    if (!rc)
        say("%s are free now", size);
    return rc;
}

/* Which word, and does it take others? */
static bool cache_usage(const struct args *args)
{
    static const char *const words[] = {"list", "pull", "disk", "rm", "prune", NULL};
    const char *word = args->word_count ? args->words[0] : "";
    for (unsigned i = 0; words[i]; i++) {
        if (strcmp(word, words[i]))
            continue;
        bool takes = i >= 1 && i <= 3;
        if (takes && args->word_count < 2)
            say("cache %s: which image?", word);
        else if (!takes && args->word_count > 1)
            say("cache %s: '%s' is one word too many", word, args->words[1]);
        return takes == (args->word_count > 1);
    }
    const char *nearest = *word ? microvm_nearest(word, words) : NULL;
    if (nearest)
        say("cache: unknown word '%s': did you mean '%s'?", word, nearest);
    else
        say("cache: one of list, pull, disk, rm, prune is wanted");
    return false;
}

static int cache_run(const struct args *args)
{
    static struct watch watch; /* large */
    microvm_error err;
    int rc;
    if (!cache_usage(args) || !watch_begin(&watch, args_get(args, "quiet")))
        return STATUS_OURS;
    const char *word = args->words[0], *cache = watch.options.cache;
    if (!cache) {
        say("cache: neither XDG_CACHE_HOME nor HOME says where it is");
        return STATUS_OURS;
    }
    if (!strcmp(word, "list"))
        rc = cache_list(args, cache, &err);
    else if (!strcmp(word, "pull"))
        rc = cache_pull(args, &watch, &err);
    else if (!strcmp(word, "disk"))
        rc = cache_disk(args, &watch, &err);
    else if (!strcmp(word, "rm"))
        rc = cache_remove(args, cache, &err);
    else
        rc = cache_prune(args, cache, &err);
    return finish(watch_end(&watch, rc, &err));
}

static const struct flag cache_flags[] = {
    {"all", 'a', NULL, "prune: the images too, not only what none of them has"},
    {"arch", 0, "ARCH", "pull, disk: x86_64 or arm64; this computer's without it"},
    {"json", 0, NULL, "list: as JSON"},
    {"quiet", 'q', NULL, "No progress"},
    {NULL, 0, NULL, NULL},
};

const struct command cmd_cache = {
    .name = "cache",
    .usage = "[OPTIONS] list | prune | (pull | disk | rm) IMAGE...",
    .summary = "Images of registries on this computer",
    .details =
        "Examples:\n"
        "  microvm-build cache pull alpine:3.19\n"
        "  microvm-build cache disk alpine:3.19    (as 'microvm run' does; its path)\n"
        "  microvm-build cache list\n"
        "  microvm-build cache rm alpine:3.19\n"
        "  microvm-build cache prune --all\n",
    .flags = cache_flags,
    .words = true,
    .run = cache_run,
};
