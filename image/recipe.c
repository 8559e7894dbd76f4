/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The keys of a recipe and what they take. Whether keys fit each other is asked when
 * the image is built (builder.c).
 */
#include "recipe.h"

#include "util/bytes.h"
#include "util/str.h"

#include <stdlib.h>

/* ---- the table ------------------------------------------------------------------- */

enum recipe_row {
    ROW_BASE,
    ROW_TEMPLATE,
    ROW_INSTALL,
    ROW_ADD_FILE,
    ROW_RUN,
    ROW_ENV,
    ROW_ENTRYPOINT,
    ROW_CMD,
    ROW_WORKDIR,
    ROW_USER,
    ROW_FORMAT,
    ROW_COMPRESS,
    ROW_SIZE,
    ROW_ARCH,
    ROW_DEVICES,
    ROW_EPOCH,
    ROW_BUNDLE,
    ROW_MACHINE,
    ROW_OUTPUT,
    ROWS
};

#define TEXT_KEY(n, v, h)                         \
    {                                             \
        n, 0, MICROVM_KEY_TEXT, 0, v, "", NULL, h \
    }
#define LIST_KEY(n, s, v, h)                      \
    {                                             \
        n, s, MICROVM_KEY_LIST, 1, v, "", NULL, h \
    }
#define CHOICE_KEY(n, v, d, c, h)               \
    {                                           \
        n, 0, MICROVM_KEY_CHOICE, 0, v, d, c, h \
    }

static const microvm_key recipe_keys[ROWS] = {
    [ROW_BASE] = TEXT_KEY("base", "BASE",
                          "Begin with a root file system: scratch (nothing), dir:PATH, "
                          "tar:PATH, oci:REFERENCE, alpine:VERSION, debian:RELEASE"),
    [ROW_TEMPLATE] = TEXT_KEY("template", "NAME", "Begin with a template"),
    [ROW_INSTALL] =
        LIST_KEY("install", 0, "PACKAGE,...", "Install packages of the base"),
    [ROW_ADD_FILE] = LIST_KEY("add-file", 0, "SOURCE:TARGET[:MODE[:UID[:GID]]]",
                              "Add a file or folder of the host"),
    [ROW_RUN] = LIST_KEY("run", 0, "COMMAND", "Run a command in the image"),
    [ROW_ENV] = LIST_KEY("env", 'e', "NAME=VALUE",
                         "An environment variable of the guest's command"),
    [ROW_ENTRYPOINT] = LIST_KEY("entrypoint", 0, "WORD",
                                "The guest's command; again for each further word"),
    [ROW_CMD] =
        LIST_KEY("cmd", 0, "WORD",
                 "What is appended to it where a run gives no words of its own"),
    [ROW_WORKDIR] = {"workdir", 'w', MICROVM_KEY_TEXT, 0, "DIR", "/", NULL,
                     "The folder it starts in"},
    [ROW_USER] = {"user", 'u', MICROVM_KEY_TEXT, 0, "USER[:GROUP]", "root", NULL,
                  "Who it runs as"},
    [ROW_FORMAT] =
        CHOICE_KEY("format", "FORMAT", "squashfs",
                   "initramfs|squashfs|ext4|erofs|tar|dir", "What the image is"),
    [ROW_COMPRESS] = CHOICE_KEY("compress", "HOW", "auto", "auto|none|gzip|zstd|lz4|xz",
                                "Its compression, where the format has one"),
    [ROW_SIZE] = {"size", 0, MICROVM_KEY_SIZE, 0, "SIZE", "", NULL,
                  "Size of an ext4 file system; else what it needs and a tenth"},
    [ROW_ARCH] = CHOICE_KEY("arch", "ARCH", "x86_64", "x86_64|arm64",
                            "The guest's architecture"),
    [ROW_DEVICES] = CHOICE_KEY("devices", "POLICY", "refuse", "refuse|skip|keep",
                               "Device nodes in the base"),
    [ROW_EPOCH] = {"epoch", 0, MICROVM_KEY_COUNT, 0, "SECONDS", "", NULL,
                   "The latest time that files have, and the image's own, after 1970 "
                   "(SOURCE_DATE_EPOCH)"},
    [ROW_BUNDLE] = {"bundle", 0, MICROVM_KEY_BOOL, 0, "", "off", NULL,
                    "Write a folder with the image, its kernel and a config.json, "
                    "which runs as it is"},
    [ROW_MACHINE] = LIST_KEY("machine", 0, "JSON",
                             "Settings of the machine, for config.json: an object"),
    [ROW_OUTPUT] = {"output", 'o', MICROVM_KEY_PATH, 0, "FILE", "", NULL,
                    "The image to write"},
};

const microvm_key *microvm_recipe_key(unsigned index)
{
    return index < ROWS ? &recipe_keys[index] : NULL;
}

const microvm_key *mv_recipe_key_find(const char *name, microvm_error *err)
{
    const char *names[ROWS + 1];
    char shown[MV_STR_SHOWN];
    for (unsigned i = 0; i < ROWS; i++) {
        names[i] = recipe_keys[i].name;
        if (mv_str_same_name(name, names[i]))
            return &recipe_keys[i];
    }
    names[ROWS] = NULL;
    const char *nearest = mv_str_nearest(name, names);
    (void)mv_fail(err, MICROVM_E_INVALID, "unknown key '%s'%s%s%s",
                  mv_str_show(shown, name), nearest ? ": did you mean '" : "",
                  nearest ? nearest : "", nearest ? "'?" : "");
    return NULL;
}

const char *mv_format_name(enum mv_format format)
{
    switch (format) {
    case MV_FORMAT_INITRAMFS:
        return "initramfs";
    case MV_FORMAT_SQUASHFS:
        return "squashfs";
    case MV_FORMAT_EXT4:
        return "ext4";
    case MV_FORMAT_EROFS:
        return "erofs";
    case MV_FORMAT_TAR:
        return "tar";
    case MV_FORMAT_DIR:
        return "dir";
    }
    return "";
}

/* ---- values ---------------------------------------------------------------------- */

static int recipe_wrong(const microvm_key *key, const char *text, const char *why,
                        microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    return mv_fail(err, MICROVM_E_INVALID, "%s: '%s' %s", key->name,
                   mv_str_show(shown, text), why);
}

static int recipe_no_memory(microvm_error *err)
{
    return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory for a recipe");
}

static int text_set(char **place, const char *text, microvm_error *err)
{
    char *copy = strdup(text);
    if (!copy)
        return recipe_no_memory(err);
    free(*place);
    *place = copy;
    return 0;
}

static int texts_add(struct mv_texts *texts, const char *text, size_t length,
                     microvm_error *err)
{
    if (texts->count == MV_TEXTS_MAX)
        return mv_fail(err, MICROVM_E_INVALID, "more than %d values of one key",
                       MV_TEXTS_MAX);
    char **more = realloc(texts->text, (texts->count + 1) * sizeof(char *));
    if (!more)
        return recipe_no_memory(err);
    texts->text = more;
    more[texts->count] = strndup(text, length);
    if (!more[texts->count])
        return recipe_no_memory(err);
    texts->count++;
    return 0;
}

void mv_texts_free(struct mv_texts *texts)
{
    for (unsigned i = 0; i < texts->count; i++)
        free(texts->text[i]);
    free(texts->text);
}

static int texts_add_split(struct mv_texts *texts, const microvm_key *key,
                           const char *text, microvm_error *err)
{
    const char *p = text;
    for (;;) {
        size_t length = strcspn(p, ",");
        if (length == 0)
            return recipe_wrong(key, text, "names nothing between two commas", err);
        int rc = texts_add(texts, p, length, err);
        if (rc || !p[length])
            return rc;
        p += length + 1;
    }
}

/* The position of `text` in "a|b|c". */
static int choice_find(const microvm_key *key, const char *text, unsigned *index,
                       microvm_error *err)
{
    const char *p = key->choices;
    size_t length = strlen(text);
    for (unsigned i = 0;; i++) {
        size_t n = strcspn(p, "|");
        if (n == length && !strncmp(p, text, n)) {
            *index = i;
            return 0;
        }
        if (!p[n])
            break;
        p += n + 1;
    }
    char shown[MV_STR_SHOWN];
    return mv_fail(err, MICROVM_E_INVALID, "%s: '%s' is none of %s", key->name,
                   mv_str_show(shown, text), key->choices);
}

static int recipe_set_choice(microvm_recipe *recipe, const microvm_key *key,
                             const char *text, microvm_error *err)
{
    static const enum mv_format formats[] = {MV_FORMAT_INITRAMFS, MV_FORMAT_SQUASHFS,
                                             MV_FORMAT_EXT4,      MV_FORMAT_EROFS,
                                             MV_FORMAT_TAR,       MV_FORMAT_DIR};
    static const enum mv_compress ways[] = {MV_COMPRESS_AUTO, MV_COMPRESS_NONE,
                                            MV_COMPRESS_GZIP, MV_COMPRESS_ZSTD,
                                            MV_COMPRESS_LZ4,  MV_COMPRESS_XZ};
    static const enum mv_devices policies[] = {MV_DEVICES_REFUSE, MV_DEVICES_SKIP,
                                               MV_DEVICES_KEEP};
    static const char *const archs[] = {"x86_64", "arm64"};
    unsigned i = 0;
    int rc = choice_find(key, text, &i, err);
    if (rc)
        return rc;
    if (key == &recipe_keys[ROW_FORMAT])
        recipe->format = formats[i];
    else if (key == &recipe_keys[ROW_COMPRESS])
        recipe->compress = ways[i];
    else if (key == &recipe_keys[ROW_DEVICES])
        recipe->devices = policies[i];
    else
        recipe->arch = archs[i];
    return 0;
}

static int recipe_set_number(microvm_recipe *recipe, const microvm_key *key,
                             const char *text, microvm_error *err)
{
    uint64_t value = 0;
    bool size = key == &recipe_keys[ROW_SIZE];
    const char *why =
        size ? mv_str_to_size(text, &value) : mv_str_to_count(text, &value);
    if (!why && value > INT64_MAX)
        why = "is too large";
    if (why)
        return recipe_wrong(key, text, why, err);
    if (size)
        recipe->size_bytes = value;
    else
        recipe->epoch_s = (int64_t)value;
    return 0;
}

static int recipe_set_bool(microvm_recipe *recipe, const microvm_key *key,
                           const char *text, microvm_error *err)
{
    const char *why = mv_str_to_bool(text, &recipe->bundle);
    return why ? recipe_wrong(key, text, why, err) : 0;
}

static int recipe_set_list(microvm_recipe *recipe, const microvm_key *key,
                           const char *text, microvm_error *err)
{
    switch ((enum recipe_row)(key - recipe_keys)) {
    case ROW_INSTALL:
        return texts_add_split(&recipe->install, key, text, err);
    case ROW_ADD_FILE:
        return texts_add(&recipe->add_file, text, strlen(text), err);
    case ROW_RUN:
        return texts_add(&recipe->run, text, strlen(text), err);
    case ROW_ENV:
        if (text[0] == '=' || !strchr(text, '='))
            return recipe_wrong(key, text, "is not NAME=VALUE", err);
        return texts_add(&recipe->env, text, strlen(text), err);
    case ROW_ENTRYPOINT:
        return texts_add(&recipe->entrypoint, text, strlen(text), err);
    case ROW_MACHINE:
        return texts_add(&recipe->machine, text, strlen(text), err);
    default: /* CMD: the last of the lists */
        return texts_add(&recipe->cmd, text, strlen(text), err);
    }
}

static int recipe_set_text(microvm_recipe *recipe, const microvm_key *key,
                           const char *text, microvm_error *err)
{
    if (!*text)
        return mv_fail(err, MICROVM_E_INVALID, "%s: is empty", key->name);
    switch ((enum recipe_row)(key - recipe_keys)) {
    case ROW_BASE:
        return text_set(&recipe->base, text, err);
    case ROW_TEMPLATE:
        return text_set(&recipe->template_name, text, err);
    case ROW_WORKDIR:
        if (text[0] != '/')
            return recipe_wrong(key, text, "is not absolute", err);
        return text_set(&recipe->workdir, text, err);
    case ROW_USER:
        return text_set(&recipe->user, text, err);
    default: /* OUTPUT: the last of the texts */
        return text_set(&recipe->output, text, err);
    }
}

int mv_recipe_set(microvm_recipe *recipe, const microvm_key *key, const char *text,
                  microvm_error *err)
{
    if (!text)
        return mv_fail(err, MICROVM_E_INVALID, "%s: needs a value", key->name);
    if (!mv_str_is_plain(text))
        return recipe_wrong(key, text, "is no plain text", err);
    if (key->type == MICROVM_KEY_CHOICE)
        return recipe_set_choice(recipe, key, text, err);
    if (key->type == MICROVM_KEY_SIZE || key->type == MICROVM_KEY_COUNT)
        return recipe_set_number(recipe, key, text, err);
    if (key->type == MICROVM_KEY_BOOL)
        return recipe_set_bool(recipe, key, text, err);
    if (key->type == MICROVM_KEY_LIST)
        return recipe_set_list(recipe, key, text, err);
    return recipe_set_text(recipe, key, text, err);
}

/* ---- the object ------------------------------------------------------------------ */

int mv_recipe_stick(microvm_recipe *recipe, const microvm_error *from)
{
    if (!recipe->first_error.code)
        recipe->first_error = *from;
    return recipe->first_error.code;
}

microvm_recipe *microvm_recipe_new(void)
{
    microvm_recipe *recipe = calloc(1, sizeof *recipe);
    if (!recipe)
        return NULL;
    recipe->format = MV_FORMAT_SQUASHFS;
    recipe->arch = "x86_64";
    recipe->epoch_s = -1;
    return recipe;
}

void microvm_recipe_free(microvm_recipe *recipe)
{
    if (!recipe)
        return;
    free(recipe->base);
    free(recipe->output);
    free(recipe->template_name);
    free(recipe->template_machine);
    free(recipe->workdir);
    free(recipe->user);
    mv_texts_free(&recipe->add_file);
    mv_texts_free(&recipe->env);
    mv_texts_free(&recipe->entrypoint);
    mv_texts_free(&recipe->cmd);
    mv_texts_free(&recipe->install);
    mv_texts_free(&recipe->run);
    mv_texts_free(&recipe->machine);
    free(recipe);
}

void microvm_recipe_set(microvm_recipe *recipe, const char *name, const char *text)
{
    microvm_error err;
    const microvm_key *key = mv_recipe_key_find(name, &err);
    if (!key || mv_recipe_set(recipe, key, text, &err))
        (void)mv_recipe_stick(recipe, &err);
}
