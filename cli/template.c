/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where templates are found, and how one begins with another: what it says itself
 * replaces what that one says, key by key.
 */
#include "template.h"

#include "cli.h"
#include "places.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { DEEPEST = 8 };

static bool is_file(const char *name)
{
    size_t length = strlen(name);
    return strchr(name, '/') || (length > 5 && !strcmp(name + length - 5, ".json"));
}

/* "VpnGateway", "vpn-gateway" and "vpn_gateway" are vpngateway.json. */
static bool place_of(const char *name, char path[PLACE_BYTES])
{
    char file[128] = "templates/";
    size_t at = strlen(file);
    if (is_file(name))
        return snprintf(path, PLACE_BYTES, "%s", name) < PLACE_BYTES;
    for (; *name && at < sizeof file - sizeof ".json"; name++) {
        if (*name != '-' && *name != '_')
            file[at++] = (char)tolower((unsigned char)*name);
    }
    (void)snprintf(file + at, sizeof file - at, ".json");
    if (place_in_settings(file, path)) {
        FILE *own = fopen(path, "r");
        if (own) {
            (void)fclose(own);
            return true;
        }
    }
    return place_of_data(file, path);
}

static bool known_member(const char *path, const char *key, const json_t *value)
{
    static const struct {
        const char *key;
        json_type type;
    } members[] = {{"template", JSON_STRING},
                   {"about", JSON_STRING},
                   {"image", JSON_STRING},
                   {"machine", JSON_OBJECT},
                   {"recipe", JSON_OBJECT}};
    for (unsigned i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (strcmp(key, members[i].key))
            continue;
        if (json_typeof(value) == members[i].type)
            return true;
        say("template '%s': %s: %s is wanted here", path, key,
            members[i].type == JSON_STRING ? "a text" : "an object");
        return false;
    }
    say("template '%s': unknown key '%s'; there are template, about, image, machine and "
        "recipe",
        path, key);
    return false;
}

static json_t *read_file(const char *path)
{
    json_error_t error;
    const char *key;
    json_t *value, *template = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!template) {
        say("template '%s': line %d: %s", path, error.line, error.text);
        return NULL;
    }
    if (!json_is_object(template)) {
        say("template '%s': it is no JSON object", path);
        json_decref(template);
        return NULL;
    }
    json_object_foreach(template, key, value)
    {
        if (!known_member(path, key, value)) {
            json_decref(template);
            return NULL;
        }
    }
    return template;
}

static json_t *read_named(const char *name)
{
    char path[PLACE_BYTES];
    if (place_of(name, path))
        return read_file(path);
    say("--template %s: there is none of that name in share/microvm/templates and in "
        "~/.config/microvm/templates; a file is named with its '/' or .json",
        name);
    return NULL;
}

/* What `over` says goes over `under`, which it is put into. */
static bool lay_over(json_t *under, json_t *over)
{
    const char *key;
    json_t *value;
    json_object_foreach(over, key, value)
    {
        json_t *old = json_object_get(under, key);
        int rc = json_is_object(old) && json_is_object(value)
                     ? json_object_update(old, value)
                     : json_object_set(under, key, value);
        if (rc)
            return false;
    }
    return true;
}

json_t *template_load(const char *name)
{
    json_t *template = read_named(name);
    for (unsigned depth = 0; template; depth++) {
        const char *first = json_string_value(json_object_get(template, "template"));
        if (!first)
            return template;
        if (depth == DEEPEST) {
            say("--template %s: it begins with itself", name);
            break;
        }
        json_t *under = read_named(first), *next = json_object_get(under, "template");
        json_incref(next);
        bool good = under && lay_over(under, template);
        if (good && next)
            good = json_object_set(under, "template", next) == 0;
        else if (good)
            (void)json_object_del(under, "template");
        json_decref(next);
        json_decref(template);
        template = good ? under : NULL;
        if (!good)
            json_decref(under);
    }
    json_decref(template);
    return NULL;
}

bool template_from_args(const struct args *args, json_t **out)
{
    const char *name = args_get(args, "template");
    *out = name ? template_load(name) : NULL;
    return !name || *out;
}
