/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A configuration as JSON, both ways. The reader is strict: unknown keys, keys that
 * stand twice, values of another type and anything after the object are errors that
 * name the place. The writer gives what the reader takes.
 */
#include "core/config_row.h"

#include "util/bytes.h"
#include "util/str.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- reading -------------------------------------------------------------------- */

static const char *json_type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "a number";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
        return "null";
    }
    return "something else";
}

static int json_wrong_type(const char *what, const char *wanted, const json_t *found,
                           microvm_error *err)
{
    return mv_fail(err, MICROVM_E_INVALID, "%s: wanted %s, found %s", what, wanted,
                   json_type_name(found));
}

static const char *json_wanted(const struct mv_config_row *row)
{
    switch (row->key.type) {
    case MICROVM_KEY_BOOL:
        return "true or false";
    case MICROVM_KEY_COUNT:
        return "a number";
    case MICROVM_KEY_SIZE:
        return "a size like \"256M\" or a number of MiB";
    case MICROVM_KEY_DURATION:
        return "a duration like \"300s\" or a number of seconds";
    case MICROVM_KEY_DISK:
        return row->key.repeatable ? "a list of disks" : "a path or an object";
    case MICROVM_KEY_LIMIT:
        return "a list of limits";
    case MICROVM_KEY_VSOCK:
        return "a text like \"uds=PATH\" or an object";
    case MICROVM_KEY_NET:
        return "a list of network devices";
    case MICROVM_KEY_LIST:
        return "a list of strings";
    default: /* TEXT, PATH, CHOICE */
        return "a string";
    }
}

/* A plain number in the unit that it has in JSON: MiB, seconds, or itself. */
static int json_number(struct mv_config *config, const struct mv_config_row *row,
                       const json_t *value, microvm_error *err)
{
    json_int_t number = json_integer_value(value);
    bool is_size = row->key.type == MICROVM_KEY_SIZE;
    uint64_t unit = 1, result;
    if (is_size)
        unit = MV_MIB(1);
    else if (row->key.type == MICROVM_KEY_DURATION)
        unit = 1000;
    if (number < 0 || __builtin_mul_overflow((uint64_t)number, unit, &result))
        return mv_fail(err, is_size ? MICROVM_E_MEMORY : MICROVM_E_INVALID,
                       "%s: %lld is %s", row->key.name, (long long)number,
                       number < 0 ? "negative" : "too large");
    return mv_config_row_set_number(config, row, result, err);
}

static int json_disk_member(const char *what, const char *key, const json_t *value,
                            struct microvm_disk *disk, microvm_error *err)
{
    static const char *const keys[] = {"path", "id", "readonly", "direct", NULL};
    char name[2 * MV_STR_SHOWN], shown[MV_STR_SHOWN];
    unsigned i = 0;
    while (keys[i] && strcmp(keys[i], key))
        i++;
    if (!keys[i]) {
        const char *nearest = mv_str_nearest(key, keys);
        return mv_fail(err, MICROVM_E_INVALID, "%s: unknown key '%s'%s%s%s", what,
                       mv_str_show(shown, key), nearest ? ": did you mean '" : "",
                       nearest ? nearest : "", nearest ? "'?" : "");
    }
    (void)snprintf(name, sizeof name, "%s.%s", what, keys[i]);
    if (i < 2) {
        if (!json_is_string(value))
            return json_wrong_type(name, "a string", value, err);
        *(i == 0 ? &disk->path : &disk->id) = json_string_value(value);
    } else {
        if (!json_is_boolean(value))
            return json_wrong_type(name, "true or false", value, err);
        *(i == 2 ? &disk->read_only : &disk->direct) = json_is_true(value);
    }
    return 0;
}

/* One disk: "FILE,ro" as on the command line, or an object. */
static int json_disk(struct mv_config *config, const struct mv_config_row *row,
                     const char *what, json_t *value, microvm_error *err)
{
    if (json_is_string(value))
        return mv_config_row_set(config, row, json_string_value(value), err);
    if (!json_is_object(value))
        return json_wrong_type(what, "a path or an object", value, err);
    struct microvm_disk disk = MICROVM_DISK_INIT;
    const char *key;
    json_t *member;
    json_object_foreach(value, key, member)
    {
        int rc = json_disk_member(what, key, member, &disk, err);
        if (rc)
            return rc;
    }
    if (!disk.path)
        return mv_fail(err, MICROVM_E_INVALID, "%s: the key 'path' is missing", what);
    return mv_config_row_set_disk(config, row, &disk, err);
}

/* An error in an element of a list, with its place: "disks[1]: ..." instead of the
 * setting's name, "disk: ...". */
static int json_at(const char *what, const struct mv_config_row *row,
                   const microvm_error *from, microvm_error *err)
{
    const char *text = from->message;
    size_t name = strlen(row->key.name);
    if (!strncmp(text, what, strlen(what)))
        return mv_fail_again(err, from);
    if (!strncmp(text, row->key.name, name) && !strncmp(text + name, ": ", 2))
        text += name + 2;
    return mv_fail(err, from->code, "%s: %s", what, text);
}

static int json_disks(struct mv_config *config, const struct mv_config_row *row,
                      const json_t *list, microvm_error *err)
{
    if (!json_is_array(list))
        return json_wrong_type("disks", json_wanted(row), list, err);
    size_t index;
    json_t *value;
    json_array_foreach(list, index, value)
    {
        char what[MV_STR_NUMBER];
        (void)snprintf(what, sizeof what, "disks[%zu]", index);
        microvm_error inner = {.code = 0};
        if (json_disk(config, row, what, value, &inner))
            return json_at(what, row, &inner, err);
    }
    return 0;
}

/* Limits and network devices: a list of what the command line takes. */
static int json_texts(struct mv_config *config, const struct mv_config_row *row,
                      const json_t *list, microvm_error *err)
{
    char name[MV_CONFIG_NAME_MAX];
    (void)mv_config_row_json_name(row, name);
    if (!json_is_array(list))
        return json_wrong_type(name, json_wanted(row), list, err);
    size_t index;
    json_t *value;
    json_array_foreach(list, index, value)
    {
        if (!json_is_string(value))
            return json_wrong_type(name, "strings in it", value, err);
        char what[MV_CONFIG_NAME_MAX + MV_STR_NUMBER];
        microvm_error inner = {.code = 0};
        (void)snprintf(what, sizeof what, "%s[%zu]", name, index);
        if (mv_config_row_set(config, row, json_string_value(value), &inner))
            return json_at(what, row, &inner, err);
    }
    return 0;
}

static int json_vsock(struct mv_config *config, const struct mv_config_row *row,
                      json_t *value, microvm_error *err)
{
    struct microvm_vsock vsock = MICROVM_VSOCK_INIT;
    const char *key;
    json_t *member;
    if (json_is_string(value))
        return mv_config_row_set(config, row, json_string_value(value), err);
    if (!json_is_object(value))
        return json_wrong_type("vsock", json_wanted(row), value, err);
    json_object_foreach(value, key, member)
    {
        json_int_t cid = json_integer_value(member);
        char shown[MV_STR_SHOWN];
        if (!strcmp(key, "uds") && json_is_string(member))
            vsock.uds = json_string_value(member);
        else if (!strcmp(key, "uds"))
            return json_wrong_type("vsock.uds", "a string", member, err);
        else if (strcmp(key, "cid"))
            return mv_fail(err, MICROVM_E_INVALID,
                           "vsock: unknown key '%s'; there are 'uds' and 'cid'",
                           mv_str_show(shown, key));
        else if (!json_is_integer(member))
            return json_wrong_type("vsock.cid", "a number", member, err);
        else
            vsock.cid = cid < 0 || cid > UINT32_MAX ? 0 : (uint32_t)cid;
    }
    return mv_config_row_set_vsock(config, row, &vsock, err);
}

static int json_set(struct mv_config *config, const struct mv_config_row *row,
                    json_t *value, microvm_error *err)
{
    bool is_text = json_is_string(value);
    switch (row->key.type) {
    case MICROVM_KEY_DISK:
        if (row->key.repeatable)
            return json_disks(config, row, value, err);
        return json_disk(config, row, row->key.name, value, err);
    case MICROVM_KEY_LIMIT:
    case MICROVM_KEY_NET:
    case MICROVM_KEY_LIST:
        return json_texts(config, row, value, err);
    case MICROVM_KEY_VSOCK:
        return json_vsock(config, row, value, err);
    case MICROVM_KEY_BOOL:
        if (json_is_boolean(value))
            return mv_config_row_set_bool(config, row, json_is_true(value));
        is_text = false;
        break;
    case MICROVM_KEY_COUNT:
        is_text = false; /* "2" is no number */
        __attribute__((fallthrough));
    case MICROVM_KEY_SIZE:
    case MICROVM_KEY_DURATION:
        if (json_is_integer(value))
            return json_number(config, row, value, err);
        break;
    default: /* TEXT, PATH, CHOICE */
        break;
    }
    if (!is_text)
        return json_wrong_type(row->key.name, json_wanted(row), value, err);
    return mv_config_row_set(config, row, json_string_value(value), err);
}

static int json_set_all(struct mv_config *config, json_t *object, microvm_error *err)
{
    bool seen[MV_CONFIG_ROWS] = {false};
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        const struct mv_config_row *row = mv_config_row_find(key, err);
        if (!row)
            return MICROVM_E_INVALID;
        bool *row_seen = &seen[row - mv_config_rows];
        if (*row_seen)
            return mv_fail(err, MICROVM_E_INVALID, "%s: given twice", row->key.name);
        *row_seen = true;
        int rc = json_set(config, row, value, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* "vm.json:3:5: ..." as compilers write it, or "line 3, column 5: ...". */
static int json_syntax(const char *source, const json_error_t *wrong,
                       microvm_error *err)
{
    char shown[MV_STR_SHOWN], text[MV_STR_SHOWN];
    (void)mv_str_show(text, wrong->text);
    if (source)
        return mv_fail(err, MICROVM_E_INVALID, "%s:%d:%d: %s",
                       mv_str_show(shown, source), wrong->line, wrong->column, text);
    return mv_fail(err, MICROVM_E_INVALID, "line %d, column %d: %s", wrong->line,
                   wrong->column, text);
}

static int json_load(struct mv_config *config, const char *source, json_t *root,
                     microvm_error *err)
{
    microvm_error first;
    int rc;
    if (json_is_object(root))
        rc = json_set_all(config, root, &first);
    else
        rc = json_wrong_type("configuration", "an object", root, &first);
    if (!rc)
        return 0;
    char shown[MV_STR_SHOWN];
    if (source)
        return mv_fail(err, rc, "%s: %s", mv_str_show(shown, source), first.message);
    return mv_fail_again(err, &first);
}

int mv_config_load_json(struct mv_config *config, const char *source, const char *text,
                        size_t length, microvm_error *err)
{
    if (config->first_error.code)
        return mv_fail_again(err, &config->first_error);
    json_error_t wrong;
    microvm_error first;
    int rc;
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &wrong);
    if (root) {
        rc = json_load(config, source, root, &first);
        json_decref(root);
    } else {
        rc = json_syntax(source, &wrong, &first);
    }
    if (!rc)
        return 0;
    (void)mv_config_stick(config, &first);
    return mv_fail_again(err, &first);
}

/* ---- writing --------------------------------------------------------------------
 *
 * NULL means "no memory" all the way up; a setting without a value is JSON's null. */

static json_t *json_from_disk(const struct mv_disk_config *disk)
{
    json_t *object = json_pack("{s:s}", "path", disk->path);
    int bad = 0;
    if (disk->read_only)
        bad |= json_object_set_new(object, "readonly", json_true());
    if (disk->direct)
        bad |= json_object_set_new(object, "direct", json_true());
    if (disk->id)
        bad |= json_object_set_new(object, "id", json_string(disk->id));
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *json_from_disks(const struct mv_config *config, int root)
{
    unsigned first = config->root != MV_ROOT_NONE;
    if (root != MV_ROOT_NONE)
        return config->root == root ? json_from_disk(&config->disk[0]) : json_null();
    if (config->disks == first)
        return json_null();
    json_t *list = json_array();
    int bad = 0;
    for (unsigned i = first; i < config->disks; i++)
        bad |= json_array_append_new(list, json_from_disk(&config->disk[i]));
    if (!bad)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *json_from_limits(const struct mv_config *config)
{
    if (config->limits == 0)
        return json_null();
    json_t *list = json_array();
    char text[MV_LIMIT_TEXT];
    int bad = 0;
    for (unsigned i = 0; i < config->limits; i++)
        bad |= json_array_append_new(
            list, json_string(mv_config_limit_show(&config->limit[i], text)));
    if (!bad)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *json_from_vsock(const struct mv_vsock_config *vsock)
{
    if (!vsock->on)
        return json_null();
    json_t *object = json_pack("{s:I}", "cid", (json_int_t)vsock->cid);
    if (!vsock->uds || !json_object_set_new(object, "uds", json_string(vsock->uds)))
        return object;
    json_decref(object);
    return NULL;
}

static json_t *json_from_nets(const struct mv_config *config)
{
    if (config->nets == 0)
        return config->no_net ? json_pack("[s]", "none") : json_null();
    json_t *list = json_array();
    int bad = 0;
    for (unsigned i = 0; i < config->nets; i++) {
        char *text = mv_config_net_text(&config->net[i]);
        bad |= json_array_append_new(list, text ? json_string(text) : NULL);
        free(text);
    }
    if (!bad)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *json_from_list(const struct mv_config_list *texts)
{
    json_t *list = json_array();
    int bad = 0;
    if (!texts->count) {
        json_decref(list);
        return json_null();
    }
    for (unsigned i = 0; i < texts->count; i++)
        bad |= json_array_append_new(list, json_string(texts->text[i]));
    if (!bad)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *json_from_field(const struct mv_config *config,
                               const struct mv_config_row *row)
{
    const void *field = mv_config_field_of(config, row);
    char text[MV_STR_NUMBER], word[MV_CONFIG_NAME_MAX];
    const char *own;
    switch (row->key.type) {
    case MICROVM_KEY_DISK:
        return json_from_disks(config, (int)row->least);
    case MICROVM_KEY_LIMIT:
        return json_from_limits(config);
    case MICROVM_KEY_VSOCK:
        return json_from_vsock(&config->vsock);
    case MICROVM_KEY_NET:
        return json_from_nets(config);
    case MICROVM_KEY_LIST:
        return json_from_list(field);
    case MICROVM_KEY_BOOL:
        return json_boolean(*(const bool *)field);
    case MICROVM_KEY_COUNT:
        return json_integer(*(const uint32_t *)field);
    case MICROVM_KEY_SIZE:
        return json_string(mv_str_from_size(text, *(const uint64_t *)field));
    case MICROVM_KEY_DURATION:
        return json_string(mv_str_from_duration(text, *(const uint64_t *)field));
    case MICROVM_KEY_CHOICE:
        (void)mv_config_choice(row->key.choices, *(const int *)field, word);
        return json_string(word);
    default: /* TEXT, PATH */
        own = *(char *const *)field;
        return own ? json_string(own) : json_null();
    }
}

/* 0, or -1: no memory. */
static int json_add_field(json_t *object, const struct mv_config *config,
                          const struct mv_config *defaults,
                          const struct mv_config_row *row, bool with_defaults)
{
    char name[MV_CONFIG_NAME_MAX];
    json_t *value = json_from_field(config, row);
    json_t *usual = json_from_field(defaults, row);
    int rc = value && usual ? 0 : -1;
    if (!rc && !json_is_null(value) && (with_defaults || !json_equal(value, usual)))
        rc = json_object_set(object, mv_config_row_json_name(row, name), value);
    json_decref(value);
    json_decref(usual);
    return rc;
}

char *mv_config_to_json(const struct mv_config *config, bool with_defaults)
{
    struct mv_config defaults;
    json_t *object = json_object();
    int rc = 0;
    mv_config_init(&defaults);
    for (unsigned i = 0; i < MV_CONFIG_ROWS; i++)
        rc |= json_add_field(object, config, &defaults, &mv_config_rows[i],
                             with_defaults);
    mv_config_done(&defaults);
    char *text = rc ? NULL : json_dumps(object, JSON_INDENT(4));
    json_decref(object);
    return text;
}
