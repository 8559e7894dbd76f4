/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm images, pull, rmi, prune: docker's names for what `microvm-build cache` does,
 * which does it.
 */
#include "cli.h"
#include "handover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FLAG_TEXT = 64 };

/* `microvm-build cache WORD` with the flags and words that were given. */
static int images_hand_over(const char *word, const struct args *args)
{
    size_t most = 4 + 2 * (size_t)args->use_count + (size_t)args->word_count, count = 0;
    char(*flags)[FLAG_TEXT] = calloc((size_t)args->use_count + 1, sizeof *flags);
    const char **list = calloc(most, sizeof *list);
    int status = STATUS_OURS;
    if (list && flags) {
        list[count++] = "microvm-build";
        list[count++] = "cache";
        list[count++] = word;
        for (int i = 0; i < args->use_count; i++) {
            const struct flag_use *use = &args->uses[i];
            (void)snprintf(flags[i], sizeof flags[i], "--%s", use->own->name);
            list[count++] = flags[i];
            if (use->own->value)
                list[count++] = use->value;
        }
        for (int i = 0; i < args->word_count; i++)
            list[count++] = args->words[i];
        status = handover("microvm-build", (char *const *)(void *)list);
    } else {
        say("no memory");
    }
    free(list);
    free(flags);
    return status;
}

static int images_run(const struct args *args)
{
    return images_hand_over("list", args);
}

static int pull_run(const struct args *args)
{
    return images_hand_over("pull", args);
}

static int rmi_run(const struct args *args)
{
    return images_hand_over("rm", args);
}

static int prune_run(const struct args *args)
{
    return images_hand_over("prune", args);
}

static const struct flag images_flags[] = {
    {"json", 0, NULL, "As JSON"},
    {NULL, 0, NULL, NULL},
};

static const struct flag pull_flags[] = {
    {"arch", 0, "ARCH", "x86_64 or arm64; this computer's without it"},
    {"quiet", 'q', NULL, "No progress"},
    {NULL, 0, NULL, NULL},
};

static const struct flag rmi_flags[] = {
    {NULL, 0, NULL, NULL},
};

static const struct flag prune_flags[] = {
    {"all", 'a', NULL, "The images too, not only what none of them has"},
    {NULL, 0, NULL, NULL},
};

const struct command cmd_images = {
    .name = "images",
    .usage = "[--json]",
    .summary = "List the images that were pulled",
    .details = "Examples:\n"
               "  microvm images\n",
    .flags = images_flags,
    .run = images_run,
};

const struct command cmd_pull = {
    .name = "pull",
    .usage = "[OPTIONS] IMAGE...",
    .summary = "Bring images of registries to this computer",
    .details = "Examples:\n"
               "  microvm pull alpine:3.19\n"
               "  microvm pull --arch arm64 ghcr.io/someone/something\n",
    .flags = pull_flags,
    .words = true,
    .run = pull_run,
};

const struct command cmd_rmi = {
    .name = "rmi",
    .usage = "IMAGE...",
    .summary = "Remove images that were pulled",
    .details = "Examples:\n"
               "  microvm rmi alpine:3.19\n",
    .flags = rmi_flags,
    .words = true,
    .run = rmi_run,
};

const struct command cmd_prune = {
    .name = "prune",
    .usage = "[--all]",
    .summary = "Remove what no image that was pulled needs",
    .details = "Examples:\n"
               "  microvm prune\n"
               "  microvm prune --all\n",
    .flags = prune_flags,
    .run = prune_run,
};
