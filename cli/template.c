/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Templates by the names that users give them, from their own folder and from ours. */
#include "template.h"

#include "cli.h"
#include "places.h"

#include <string.h>

json_t *template_load(const char *name)
{
    char own[PLACE_BYTES], ours[PLACE_BYTES];
    const char *folders[3] = {NULL};
    unsigned count = 0;
    microvm_error err;
    if (place_in_settings("templates", own))
        folders[count++] = own;
    if (place_of_data("templates", ours))
        folders[count++] = ours;
    char *text = microvm_template_read(name, folders, &err);
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
