/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A recipe: what an image is built from and into. The table of its keys makes the flags
 * of microvm-build, the keys of JSON recipes, and the checks.
 */
#ifndef MV_IMAGE_RECIPE_H
#define MV_IMAGE_RECIPE_H

#include "layer.h"
#include "microvm/image.h"
#include "write.h"

/* A list of texts, in the order given. */
struct mv_texts {
    char **text;
    unsigned count;
};

enum { MV_TEXTS_MAX = 4096 };

void mv_texts_free(struct mv_texts *texts);

struct microvm_recipe {
    char *base, *output, *template_name, *workdir, *user;
    char *template_machine; /* its settings, JSON, before those of `machine` */
    struct mv_texts add_file, env, entrypoint, cmd, install, run, machine;
    enum mv_format format;
    enum mv_compress compress;
    enum mv_devices devices;
    bool bundle;
    const char *arch; /* of a static table */
    uint64_t size_bytes;
    int64_t epoch_s;     /* -1: not given */
    char left_away[128]; /* "wg, nft": what a template would have and is not there */
    microvm_error first_error;
};

/* The names of the enums, as in the table. */
const char *mv_format_name(enum mv_format format);

/* One key from one text; the error does not stick. */
int mv_recipe_set(microvm_recipe *recipe, const microvm_key *key, const char *text,
                  microvm_error *err);
/* The key of that name ('-' and '_' are one), or NULL after an error that names the
 * nearest. */
const microvm_key *mv_recipe_key_find(const char *name, microvm_error *err);
/* Keeps the first error. Returns its code. */
int mv_recipe_stick(microvm_recipe *recipe, const microvm_error *from);

#endif
