/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * OUTPUT.json: what an image is and how it is started. The same recipe and content give
 * the same text: keys in a fixed order, nothing of the host in it.
 */
#include "builder.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

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

/* 0, or not: no memory. */
static int about_fill(json_t *about, const microvm_recipe *recipe, const char *digest)
{
    int bad = json_object_set_new(about, "format",
                                  json_string(mv_format_name(recipe->format)));
    bad |= json_object_set_new(about, "arch", json_string(recipe->arch));
    if (*digest)
        bad |= json_object_set_new(about, "digest", json_string(digest));
    if (recipe->env.count)
        bad |= json_object_set_new(about, "env", about_list(&recipe->env));
    if (recipe->entrypoint.count)
        bad |=
            json_object_set_new(about, "entrypoint", about_list(&recipe->entrypoint));
    if (recipe->cmd.count)
        bad |= json_object_set_new(about, "cmd", about_list(&recipe->cmd));
    if (recipe->workdir)
        bad |= json_object_set_new(about, "workdir", json_string(recipe->workdir));
    if (recipe->user)
        bad |= json_object_set_new(about, "user", json_string(recipe->user));
    return bad;
}

int mv_build_about(const microvm_recipe *recipe, const char *digest, char **text,
                   microvm_error *err)
{
    json_t *about = json_object();
    char *made = NULL;
    if (about && !about_fill(about, recipe, digest))
        made = json_dumps(about, JSON_INDENT(2));
    json_decref(about);
    if (!made)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    *text = made;
    return 0;
}
