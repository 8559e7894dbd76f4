/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Templates: kinds of machines as files. Where one is found, and how one begins with
 * another: what it says itself replaces what that one says, key by key. What machine
 * and recipe mean is others' affair.
 */
#include "api/text.h"
#include "core/config_row.h"
#include "util/assert.h"
#include "util/bytes.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 8, NAME_MAX_BYTES = 100, PATH_MAX_BYTES = 4096 };

/* What the search for one has come to. */
struct search {
    const char *name;           /* the first one's, for messages */
    const char *const *folders; /* may be NULL */
    microvm_error *err;
    struct {
        char file[NAME_MAX_BYTES]; /* found by its name, */
        unsigned next;             /* and the folder behind the one that has it */
    } found[DEEPEST + 1];
    unsigned count;
    char beside[PATH_MAX_BYTES]; /* the folder of the last file, with its '/' */
};

static json_t *template_none(const struct search *s, int code, const char *what)
{
    (void)mv_fail(s->err, code, "template '%.100s': %s", s->name, what);
    return NULL;
}

static bool names_file(const char *name)
{
    size_t length = strlen(name);
    return strchr(name, '/') || (length > 5 && !strcmp(name + length - 5, ".json"));
}

/* As it is written, then in small letters and without '-' and '_': "VpnGateway" and
 * "vpn-gateway" are vpngateway.json. */
static void file_of(const char *name, bool plain, char file[NAME_MAX_BYTES])
{
    size_t at = 0;
    for (; *name && at < NAME_MAX_BYTES - sizeof ".json"; name++) {
        if (!plain)
            file[at++] = *name;
        else if (*name != '-' && *name != '_')
            file[at++] = (char)tolower((unsigned char)*name);
    }
    (void)snprintf(file + at, NAME_MAX_BYTES - at, ".json");
}

/* ---- one file -------------------------------------------------------------------- */

static bool member_is_known(const struct search *s, const char *path, const char *key,
                            const json_t *value)
{
    static const struct {
        const char *key;
        json_type type;
    } members[] = {{"template", JSON_STRING},
                   {"about", JSON_STRING},
                   {"image", JSON_STRING},
                   {"machine", JSON_OBJECT},
                   {"recipe", JSON_OBJECT}};
    for (unsigned i = 0; i < MV_ARRAY_LEN(members); i++) {
        if (strcmp(key, members[i].key))
            continue;
        if (json_typeof(value) == members[i].type)
            return true;
        (void)mv_fail(s->err, MICROVM_E_INVALID,
                      "template '%.200s': %s: %s is wanted here", path, key,
                      members[i].type == JSON_STRING ? "a text" : "an object");
        return false;
    }
    (void)mv_fail(s->err, MICROVM_E_INVALID,
                  "template '%.200s': unknown key '%.40s'; there are template, about, "
                  "image, machine and recipe",
                  path, key);
    return false;
}

static json_t *parse(const struct search *s, const char *path, const char *text,
                     size_t length)
{
    json_error_t error;
    const char *key;
    json_t *value, *template = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (!template) {
        (void)mv_fail(s->err, MICROVM_E_INVALID, "template '%.200s': line %d: %s", path,
                      error.line, error.text);
        return NULL;
    }
    bool good = json_is_object(template);
    if (!good)
        (void)mv_fail(s->err, MICROVM_E_INVALID,
                      "template '%.200s': it is no JSON object", path);
    json_object_foreach(template, key, value) good =
        good && member_is_known(s, path, key, value);
    if (good)
        return template;
    json_decref(template);
    return NULL;
}

static json_t *read_file(struct search *s, const char *path, microvm_error *err)
{
    const char *slash = strrchr(path, '/');
    char *text;
    size_t length;
    if (mv_text_read("template", path, &text, &length, err))
        return NULL;
    (void)snprintf(s->beside, sizeof s->beside, "%.*s",
                   slash ? (int)(slash - path + 1) : 0, path);
    json_t *template = parse(s, path, text, length);
    free(text);
    return template;
}

/* False: there is none of that name in the folder, or no memory. */
static bool read_in(struct search *s, const char *folder, const char *name, bool plain,
                    json_t **out)
{
    char file[NAME_MAX_BYTES];
    microvm_error absent = {0};
    file_of(name, plain, file);
    size_t size = strlen(folder) + sizeof "/" + strlen(file);
    char *path = malloc(size);
    if (!path)
        return false;
    (void)snprintf(path, size, "%s/%s", folder, file);
    *out = read_file(s, path, &absent);
    free(path);
    return !absent.code;
}

/* A path in a template begins where that is. */
static json_t *read_beside(struct search *s, const char *name)
{
    char path[PATH_MAX_BYTES];
    bool absolute = name[0] == '/' || name[0] == '\\' || (name[0] && name[1] == ':');
    int n = snprintf(path, sizeof path, "%s%s", absolute ? "" : s->beside, name);
    return n < (int)sizeof path
               ? read_file(s, path, s->err)
               : template_none(s, MICROVM_E_INVALID, "its path is too long");
}

/* The first of the folders that has it counts, whatever is in it; for one that begins
 * with its own name, the first behind its own. */
static json_t *read_named(struct search *s, const char *name)
{
    char file[NAME_MAX_BYTES];
    json_t *template;
    if (names_file(name))
        return read_beside(s, name);
    file_of(name, true, file);
    unsigned at = 0;
    while (at < s->count && strcmp(file, s->found[at].file))
        at++;
    bool again = at < s->count;
    MV_ASSERT(again || at <= DEEPEST);
    for (unsigned i = again ? s->found[at].next : 0; s->folders && s->folders[i]; i++) {
        if (read_in(s, s->folders[i], name, false, &template) ||
            read_in(s, s->folders[i], name, true, &template)) {
            memcpy(s->found[at].file, file, sizeof file);
            s->found[at].next = i + 1;
            s->count += !again;
            return template;
        }
    }
    if (again)
        return template_none(s, MICROVM_E_INVALID, "it begins with itself");
    (void)mv_fail(s->err, MICROVM_E_INVALID,
                  "template '%.100s': there is none of that name; a file is named with "
                  "its '/' or .json",
                  name);
    return NULL;
}

/* ---- one over another ------------------------------------------------------------ */

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

/* Takes `template` for what it begins with, the two as one. `first` is its own word. */
static json_t *begin_with(struct search *s, json_t *template, const char *first)
{
    json_t *under = read_named(s, first);
    json_t *next = json_incref(json_object_get(under, "template"));
    bool good = under && lay_over(under, template);
    if (good && next)
        good = json_object_set(under, "template", next) == 0;
    else if (good)
        (void)json_object_del(under, "template");
    json_decref(next);
    json_decref(template);
    if (good)
        return under;
    if (under)
        (void)template_none(s, MICROVM_E_NO_MEMORY, "no memory");
    json_decref(under);
    return NULL;
}

static json_t *template_read(struct search *s)
{
    json_t *template = read_named(s, s->name);
    for (unsigned depth = 0; template; depth++) {
        const char *first = json_string_value(json_object_get(template, "template"));
        if (!first)
            return template;
        if (depth == DEEPEST) {
            json_decref(template);
            return template_none(s, MICROVM_E_INVALID, "it begins with itself");
        }
        template = begin_with(s, template, first);
    }
    return NULL;
}

char *microvm_template_read(const char *name, const char *const *folders,
                            microvm_error *err)
{
    struct search s = {.name = name, .folders = folders, .err = err};
    if (!name) {
        (void)mv_fail(err, MICROVM_E_INVALID, "no template was given");
        return NULL;
    }
    json_t *template = template_read(&s);
    if (!template)
        return NULL;
    char *text = json_dumps(template, JSON_INDENT(2));
    json_decref(template);
    if (!text)
        (void)template_none(&s, MICROVM_E_NO_MEMORY, "no memory");
    return text;
}

/* What it says of the machine; a template may say nothing of it. */
static int load_machine(struct mv_config *config, struct search *s, microvm_error *err)
{
    json_t *template = template_read(s);
    if (!template)
        return err->code;
    json_t *machine = json_object_get(template, "machine");
    char *text = machine ? json_dumps(machine, JSON_COMPACT) : NULL;
    int rc = 0;
    if (text)
        rc = mv_config_load_json(config, s->name, text, strlen(text), err);
    else if (machine)
        rc = mv_fail(err, MICROVM_E_NO_MEMORY, "template: no memory");
    free(text);
    json_decref(template);
    return rc;
}

int microvm_config_load_template(microvm_config *config, const char *name,
                                 const char *const *folders, microvm_error *err)
{
    microvm_error first = {0};
    struct search s = {.name = name, .folders = folders, .err = &first};
    if (!config || !name)
        return mv_fail(err, MICROVM_E_INVALID,
                       "no configuration or template was given");
    if (config->values.first_error.code)
        return mv_fail_again(err, &config->values.first_error);
    int rc = load_machine(&config->values, &s, &first);
    if (!rc)
        return 0;
    (void)mv_config_stick(&config->values, &first);
    return mv_fail_again(err, &first);
}
