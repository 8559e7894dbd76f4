/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Recipes in JSON: the keys of the command line with their values as strings, lists of
 * strings where a key may be repeated, numbers where it counts or sizes (MiB). As
 * strict as configurations of machines are (src/core/config_json.c), and in the same
 * words.
 */
#include "recipe.h"

#include "util/bytes.h"
#include "util/str.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static int json_wrong_type(const microvm_key *key, const char *wanted,
                           microvm_error *err)
{
    return mv_fail(err, MICROVM_E_INVALID, "%s: wanted %s", key->name, wanted);
}

static int json_list(microvm_recipe *recipe, const microvm_key *key, const json_t *list,
                     microvm_error *err)
{
    size_t index;
    json_t *value;
    json_array_foreach(list, index, value)
    {
        if (!json_is_string(value))
            return json_wrong_type(key, "a list of strings", err);
        int rc = mv_recipe_set(recipe, key, json_string_value(value), err);
        if (rc)
            return rc;
    }
    return 0;
}

static int json_number(microvm_recipe *recipe, const microvm_key *key,
                       const json_t *value, microvm_error *err)
{
    char text[MV_STR_NUMBER];
    (void)snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
    return mv_recipe_set(recipe, key, text, err);
}

/* Settings of a machine stand as they are in a configuration's file. */
static int json_settings(microvm_recipe *recipe, const microvm_key *key,
                         const json_t *object, microvm_error *err)
{
    char *text = json_dumps(object, JSON_COMPACT);
    int rc = text ? mv_recipe_set(recipe, key, text, err)
                  : mv_fail(err, MICROVM_E_NO_MEMORY, "no memory for a recipe");
    free(text);
    return rc;
}

static int json_value(microvm_recipe *recipe, const microvm_key *key,
                      const json_t *value, microvm_error *err)
{
    bool counts = key->type == MICROVM_KEY_COUNT, size = key->type == MICROVM_KEY_SIZE;
    if (key == mv_recipe_key_find("machine", err) && json_is_object(value))
        return json_settings(recipe, key, value, err);
    if (key->type == MICROVM_KEY_BOOL && json_is_boolean(value))
        return mv_recipe_set(recipe, key, json_is_true(value) ? "on" : "off", err);
    if (key->type == MICROVM_KEY_BOOL)
        return json_wrong_type(key, "true or false", err);
    if (key->repeatable) {
        if (json_is_array(value))
            return json_list(recipe, key, value, err);
        return json_wrong_type(key, "a list of strings", err);
    }
    if (json_is_integer(value) && (counts || size))
        return json_number(recipe, key, value, err);
    if (counts)
        return json_wrong_type(key, "a number", err);
    if (!json_is_string(value))
        return json_wrong_type(
            key, size ? "a size like \"256M\" or a number of MiB" : "a string", err);
    return mv_recipe_set(recipe, key, json_string_value(value), err);
}

static int json_all(microvm_recipe *recipe, json_t *root, microvm_error *err)
{
    const char *name;
    json_t *value;
    const microvm_key *seen[64];
    unsigned count = 0;
    if (!json_is_object(root))
        return mv_fail(err, MICROVM_E_INVALID, "a recipe is an object");
    json_object_foreach(root, name, value)
    {
        const microvm_key *key = mv_recipe_key_find(name, err);
        if (!key)
            return MICROVM_E_INVALID;
        for (unsigned i = 0; i < count; i++) /* add-file and add_file are one key */
            if (seen[i] == key)
                return mv_fail(err, MICROVM_E_INVALID, "%s: given twice", key->name);
        if (count < MV_ARRAY_LEN(seen))
            seen[count++] = key;
        int rc = json_value(recipe, key, value, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int json_load(microvm_recipe *recipe, const char *text, size_t length,
                     const char *place, microvm_error *err)
{
    json_error_t wrong;
    microvm_error inner;
    char words[MV_STR_SHOWN];
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &wrong);
    if (!root)
        return mv_fail(err, MICROVM_E_INVALID, "%s:%d:%d: %s", place, wrong.line,
                       wrong.column, mv_str_show(words, wrong.text));
    int rc = json_all(recipe, root, &inner);
    json_decref(root);
    return rc ? mv_fail(err, rc, "%s: %s", place, inner.message) : 0;
}

int microvm_recipe_load_json(microvm_recipe *recipe, const char *source,
                             const char *text, size_t length, microvm_error *err)
{
    char place[MV_STR_SHOWN];
    microvm_error first;
    if (recipe->first_error.code)
        return mv_fail_again(err, &recipe->first_error);
    (void)mv_str_show(place, source ? source : "recipe");
    int rc = json_load(recipe, text, length, place, &first);
    if (!rc)
        return 0;
    (void)mv_recipe_stick(recipe, &first);
    return mv_fail_again(err, &first);
}
