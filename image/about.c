/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * OUTPUT.json: what an image is and how it is started. The same recipe and content give
 * the same text: keys in a fixed order, nothing of the host in it.
 */
#include "builder.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* NULL: no memory, here and below. */
static json_t *about_list(const struct mv_texts *texts)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < texts->count; i++)
        if (json_array_append_new(list, json_string(texts->text[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static bool about_same_name(const char *a, const char *b)
{
    size_t length = strcspn(a, "=");
    return !strncmp(a, b, length) && b[length] == '=';
}

/* Variables of the base, but for those that the recipe sets anew, then the recipe's. */
static json_t *about_env(const struct mv_texts *base, const struct mv_texts *own)
{
    json_t *list = json_array();
    int bad = 0;
    for (unsigned i = 0; i < base->count; i++) {
        bool again = false;
        for (unsigned k = 0; k < own->count; k++)
            again |= about_same_name(base->text[i], own->text[k]);
        if (!again)
            bad |= json_array_append_new(list, json_string(base->text[i]));
    }
    for (unsigned i = 0; i < own->count; i++)
        bad |= json_array_append_new(list, json_string(own->text[i]));
    if (!bad)
        return list;
    json_decref(list);
    return NULL;
}

/* 0, or not: no memory. */
static int about_set_text(json_t *about, const char *key, const char *own,
                          const char *base)
{
    const char *text = own ? own : base;
    return text ? json_object_set_new(about, key, json_string(text)) : 0;
}

static int about_start(json_t *about, const microvm_recipe *recipe,
                       const struct mv_config_of_image *base)
{
    /* A new entrypoint wants other arguments than the old one: as docker has it. */
    const struct mv_texts *cmd = &recipe->cmd, *entrypoint = &recipe->entrypoint;
    if (!cmd->count && !entrypoint->count)
        cmd = &base->cmd;
    if (!entrypoint->count)
        entrypoint = &base->entrypoint;
    int bad = 0;
    if (recipe->env.count || base->env.count)
        bad |= json_object_set_new(about, "env", about_env(&base->env, &recipe->env));
    if (entrypoint->count)
        bad |= json_object_set_new(about, "entrypoint", about_list(entrypoint));
    if (cmd->count)
        bad |= json_object_set_new(about, "cmd", about_list(cmd));
    bad |= about_set_text(about, "workdir", recipe->workdir, base->workdir);
    bad |= about_set_text(about, "user", recipe->user, base->user);
    return bad;
}

int mv_build_about(const microvm_recipe *recipe, const struct mv_config_of_image *base,
                   const char *digest, char **text, microvm_error *err)
{
    json_t *about = json_pack("{s:s, s:s}", "format", mv_format_name(recipe->format),
                              "arch", recipe->arch);
    char *made = NULL;
    if (about && !about_set_text(about, "digest", *digest ? digest : NULL, NULL) &&
        !about_start(about, recipe, base))
        made = json_dumps(about, JSON_INDENT(2));
    json_decref(about);
    if (!made)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    *text = made;
    return 0;
}
