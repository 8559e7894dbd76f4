/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A template is a text that is the same everywhere; where the programs are installed it
 * cannot know.
 */
#include "ours.h"

#include "cli.h"
#include "places.h"

#include <stdio.h>
#include <string.h>

enum { WORD_BYTES = 2 * PLACE_BYTES };

/* Where a file that is not there comes from. */
static const char *ours_hint(const char *file)
{
    if (!strcmp(file, "openvpn") || !strcmp(file, "vpn-root"))
        return "; 'make vpn' in the source tree builds it, once";
    return "; this build or installation is without it";
}

static json_t *ours_path(const char *name, const char *word)
{
    char file[64], path[PLACE_BYTES], text[WORD_BYTES];
    size_t length = strcspn(word, "}");
    if (!word[length] || length - 1 >= sizeof file) {
        say("--template %s: add-file: '%.80s': '}' is missing", name, word);
        return NULL;
    }
    (void)snprintf(file, sizeof file, "%.*s", (int)(length - 1), word + 1);
    if (!place_of_data(file, path)) {
        say("--template %s: it needs '%s', which is not installed beside this program%s",
            name, file, ours_hint(file));
        return NULL;
    }
    (void)snprintf(text, sizeof text, "%s%s", path, word + length + 1);
    return json_string(text);
}

bool ours_expand(const char *name, json_t *recipe)
{
    json_t *list = json_object_get(recipe, "add-file"), *word;
    size_t index;
    json_array_foreach(list, index, word)
    {
        const char *text = json_string_value(word);
        if (!text || *text != '{')
            continue;
        json_t *path = ours_path(name, text);
        if (!path || json_array_set_new(list, index, path))
            return false;
    }
    return true;
}
