/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The recipe of a template, and its machine's settings for a bundle. A template is a
 * text that is the same everywhere; where our own programs are it cannot know, and says
 * "{vpnd}:/usr/sbin/vpnd".
 */
#include "files.h"
#include "recipe.h"

#include "util/bytes.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES = 64, PATH_BYTES = 4096, WORD_BYTES = 2 * PATH_BYTES };

struct template
{
    const char *name;
    const char *const *data;
    microvm_error *err;
};

static int template_fail(const struct template *t, const char *what, const char *word,
                         const char *more)
{
    return mv_fail(t->err, MICROVM_E_INVALID, "template '%.100s': %s%.80s%s", t->name,
                   what, word, more);
}

/* Where a file that is not there comes from. */
static const char *file_hint(const char *file)
{
    if (!strcmp(file, "openvpn") || !strcmp(file, "vpn-root"))
        return "', which is not installed; 'make vpn' in the source tree builds it, "
               "once";
    return "', which is not installed: this build is without it";
}

/* What goes to "/." of the image is a folder, all else a file: a folder of the sources
 * may have a program's name. */
static bool file_find(const struct template *t, const char *file, const char *to,
                      char path[PATH_BYTES])
{
    size_t length_to = strlen(to);
    bool folder = length_to >= 2 && !strcmp(to + length_to - 2, "/.");
    for (unsigned i = 0; t->data && t->data[i]; i++) {
        int length = snprintf(path, PATH_BYTES, "%s/%s", t->data[i], file);
        if (length > 0 && length < PATH_BYTES && mv_files_has(path, folder))
            return true;
    }
    return false;
}

/* "{NAME}..." or "{NAME?}...". *out: the word with a path in its place; NULL: it is not
 * there, and need not be. */
static int word_expand(const struct template *t, const char *word, json_t **out)
{
    char file[FILE_BYTES], path[PATH_BYTES], text[WORD_BYTES];
    size_t length = strcspn(word, "}");
    if (!word[length] || length - 1 >= sizeof file)
        return template_fail(t, "add-file: '", word, "': '}' is missing");
    bool optional = word[length - 1] == '?';
    (void)snprintf(file, sizeof file, "%.*s", (int)length - 1 - optional, word + 1);
    *out = NULL;
    if (!file_find(t, file, word + length + 1, path))
        return optional ? 0 : template_fail(t, "it needs '", file, file_hint(file));
    (void)snprintf(text, sizeof text, "%s%s", path, word + length + 1);
    *out = json_string(text);
    return *out ? 0 : mv_fail(t->err, MICROVM_E_NO_MEMORY, "no memory for a recipe");
}

/* The name in "{NAME?}..." joins the list of those. */
static void note_left_away(microvm_recipe *recipe, const char *word)
{
    char *list = recipe->left_away;
    size_t used = strlen(list);
    (void)snprintf(list + used, sizeof recipe->left_away - used, "%s%.*s",
                   used ? ", " : "", (int)strcspn(word, "?") - 1, word + 1);
}

static int recipe_expand(const struct template *t, json_t *json, microvm_recipe *recipe)
{
    json_t *list = json_object_get(json, "add-file"), *path;
    size_t index = 0;
    int rc = 0;
    while (!rc && index < json_array_size(list)) {
        const char *word = json_string_value(json_array_get(list, index));
        if (!word || *word != '{') {
            index++;
            continue;
        }
        rc = word_expand(t, word, &path);
        if (!rc && path)
            (void)json_array_set_new(list, index++, path);
        else if (!rc) {
            note_left_away(recipe, word);
            (void)json_array_remove(list, index);
        }
    }
    return rc;
}

/* A bundle has a kernel and an image of its own. */
static int machine_keep(const struct template *t, json_t *machine,
                        microvm_recipe *recipe)
{
    static const char *const own[] = {"kernel", "initrd", "image", "rootfs"};
    for (unsigned i = 0; i < MV_ARRAY_LEN(own); i++)
        (void)json_object_del(machine, own[i]);
    free(recipe->template_machine);
    recipe->template_machine = machine ? json_dumps(machine, JSON_COMPACT) : NULL;
    return !machine || recipe->template_machine
               ? 0
               : mv_fail(t->err, MICROVM_E_NO_MEMORY, "no memory for a recipe");
}

static int template_load(const struct template *t, json_t *json, microvm_recipe *recipe)
{
    json_t *from = json_object_get(json, "recipe");
    if (!from)
        return template_fail(t, "it has no recipe", "", "");
    int rc = recipe_expand(t, from, recipe);
    if (rc)
        return rc;
    char *text = json_dumps(from, JSON_COMPACT), source[FILE_BYTES];
    (void)snprintf(source, sizeof source, "template '%.50s'", t->name);
    rc = text ? microvm_recipe_load_json(recipe, source, text, strlen(text), t->err)
              : mv_fail(t->err, MICROVM_E_NO_MEMORY, "no memory for a recipe");
    free(text);
    return rc ? rc : machine_keep(t, json_object_get(json, "machine"), recipe);
}

int microvm_recipe_load_template(microvm_recipe *recipe, const char *name,
                                 const char *const *folders, const char *const *data,
                                 microvm_error *err)
{
    microvm_error mine = {0};
    const struct template t = {name, data, &mine};
    char *text = microvm_template_read(name, folders, &mine);
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;
    int rc = mine.code;
    if (text && !json)
        rc = mv_fail(&mine, MICROVM_E_NO_MEMORY, "no memory for a recipe");
    if (json)
        rc = template_load(&t, json, recipe);
    json_decref(json);
    microvm_string_free(text);
    if (rc) {
        (void)mv_recipe_stick(recipe, &mine);
        if (err)
            *err = mine;
    }
    return rc;
}
