/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Templates by the names that users give them, from their own folder and from ours. */
#include "template.h"

#include "cli.h"

#include <string.h>

void template_folders(struct places *folders)
{
    char own[PLACE_BYTES];
    struct places data;
    folders->path[0] = NULL;
    if (place_in_settings("templates", own))
        places_add(folders, own, "");
    places_of_data(&data);
    for (unsigned i = 0; data.path[i]; i++)
        places_add(folders, data.path[i], "/templates");
}

json_t *template_load(const char *name)
{
    struct places folders;
    microvm_error err;
    template_folders(&folders);
    char *text = microvm_template_read(name, folders.path, &err);
    if (!text) {
        say("%s", err.message);
        return NULL;
    }
    json_t *template = json_loads(text, 0, NULL);
    if (!template)
        say("no memory");
    microvm_string_free(text);
    return template;
}

bool template_from_args(const struct args *args, json_t **out)
{
    const char *name = args_get(args, "template");
    *out = name ? template_load(name) : NULL;
    return !name || *out;
}
