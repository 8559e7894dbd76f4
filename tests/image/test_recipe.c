/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Recipes: each key from text and from JSON, each mistake in words, and the first one
 * sticking.
 */
#include "check.h"

#include "recipe.h"
#include "scratch.h"
#include "util/bytes.h"

#include <stdio.h>
#include <string.h>

static int set_up(void **state)
{
    *state = microvm_recipe_new();
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    microvm_recipe_free(*state);
    return 0;
}

static int load(microvm_recipe *recipe, const char *text, microvm_error *err)
{
    return microvm_recipe_load_json(recipe, "r.json", text, strlen(text), err);
}

static void keys_are_a_table(void **state)
{
    const microvm_key *key;
    unsigned i = 0;
    (void)state;
    for (; (key = microvm_recipe_key(i)); i++) {
        assert_true(key->name && key->help && key->value && key->default_text);
        assert_ptr_equal(mv_recipe_key_find(key->name, NULL), key);
        assert_true((key->type == MICROVM_KEY_CHOICE) == (key->choices != NULL));
    }
    assert_int_equal(i, 19);
}

static void text_and_json_mean_the_same(void **state)
{
    microvm_recipe *a = *state, *b = microvm_recipe_new();
    microvm_error err;
    microvm_recipe_set(a, "base", "tar:x");
    microvm_recipe_set(a, "install", "one,two");
    microvm_recipe_set(a, "install", "three");
    microvm_recipe_set(a, "add_file", "a:b");
    microvm_recipe_set(a, "size", "1G");
    microvm_recipe_set(a, "epoch", "77");
    microvm_recipe_set(a, "format", "ext4");
    microvm_recipe_set(a, "arch", "arm64");
    microvm_recipe_set(a, "bundle", "on");
    microvm_recipe_set(a, "machine", "{\"memory\":\"128M\"}");
    assert_int_equal(a->first_error.code, 0);
    assert_ok(load(b,
                   "{\"base\": \"tar:x\", \"install\": [\"one,two\", \"three\"],"
                   " \"add-file\": [\"a:b\"], \"size\": 1024, \"epoch\": 77,"
                   " \"format\": \"ext4\", \"arch\": \"arm64\","
                   " \"bundle\": true, \"machine\": {\"memory\": \"128M\"}}",
                   &err),
              &err);
    microvm_recipe *both[] = {a, b};
    for (unsigned i = 0; i < 2; i++) {
        const microvm_recipe *r = both[i];
        assert_string_equal(r->base, "tar:x");
        assert_int_equal(r->install.count, 3);
        assert_string_equal(r->install.text[1], "two");
        assert_string_equal(r->add_file.text[0], "a:b");
        assert_int_equal(r->size_bytes, MV_GIB(1));
        assert_int_equal(r->epoch_s, 77);
        assert_int_equal(r->format, MV_FORMAT_EXT4);
        assert_string_equal(r->arch, "arm64");
        assert_true(r->bundle);
        assert_int_equal(r->machine.count, 1);
        assert_string_equal(r->machine.text[0], "{\"memory\":\"128M\"}");
    }
    microvm_recipe_free(b);
}

static void mistakes_are_named(void **state)
{
    static const struct {
        const char *json, *words;
    } wrong[] = {
        {"[]", "r.json: a recipe is an object"},
        {"{\"bsae\": \"x\"}", "r.json: unknown key 'bsae': did you mean 'base'?"},
        {"{\"base\": 1}", "base: wanted a string"},
        {"{\"env\": \"A=b\"}", "env: wanted a list of strings"},
        {"{\"env\": [1]}", "env: wanted a list of strings"},
        {"{\"env\": [\"A\"]}", "env: 'A' is not NAME=VALUE"},
        {"{\"epoch\": \"1\"}", "epoch: wanted a number"},
        {"{\"epoch\": -1}", "epoch: '-1'"},
        {"{\"size\": true}", "size: wanted a size"},
        {"{\"bundle\": \"on\"}", "bundle: wanted true or false"},
        {"{\"machine\": 1}", "machine: wanted a list of strings"},
        {"{\"format\": \"iso\"}", "format: 'iso' is none of"},
        {"{\"add-file\": [], \"add_file\": []}", "add-file: given twice"},
        {"{\"base\": \"a\", \"base\": \"b\"}", "r.json:1:"},
        {"{\"base\": \"\"}", "base: is empty"},
        {"{\"base\": \"a\\u0007\"}", "no plain text"},
        {"{} x", "r.json:1:"},
    };
    microvm_error err;
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(wrong); i++) {
        microvm_recipe *r = microvm_recipe_new();
        assert_error(load(r, wrong[i].json, &err), &err, MICROVM_E_INVALID,
                     wrong[i].words);
        microvm_recipe_free(r);
    }
}

static void the_first_mistake_sticks(void **state)
{
    microvm_error err;
    microvm_recipe_set(*state, "frmat", "ext4");
    microvm_recipe_set(*state, "format", "iso");
    microvm_recipe_set(*state, "base", "scratch");
    assert_error(load(*state, "{}", &err), &err, MICROVM_E_INVALID, "'frmat'");
    assert_error(microvm_image_build(*state, NULL, NULL, &err), &err, MICROVM_E_INVALID,
                 "did you mean 'format'?");
}

static void put(const char *folder, const char *name, const char *text)
{
    char path[SCRATCH_PATH + 32];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int load_box(microvm_recipe *recipe, const char *folder, const char *text,
                    microvm_error *err)
{
    const char *folders[] = {folder, NULL}, *data[] = {"/nonexistent", folder, NULL};
    put(folder, "box.json", text);
    return microvm_recipe_load_template(recipe, "Box", folders, data, err);
}

/* Files of ours where a template wants them, and what it says of its machine. */
static void templates_find_what_is_ours(void **state)
{
    const struct mv_texts *files = &((microvm_recipe *)*state)->add_file;
    char folder[SCRATCH_PATH], path[SCRATCH_PATH + 32];
    microvm_error err;
    (void)scratch_special(folder, SCRATCH_DIRECTORY);
    put(folder, "tool", "");
    assert_ok(
        load_box(
            *state, folder,
            "{\"recipe\": {\"add-file\": [\"{tool}:/t:0755\", \"{none?}:/n\","
            " \"{tool?}:/u\", \"{.}:/.\", \"{tool?}:/.\", \"x:/x\"]}, \"machine\": {\"memory\": \"99M\","
            " \"kernel\": \"k\", \"image\": \"i\"}}",
            &err),
        &err);
    assert_int_equal(files->count, 4);
    (void)snprintf(path, sizeof path, "%s/tool:/t:0755", folder);
    assert_string_equal(files->text[0], path);
    (void)snprintf(path, sizeof path, "%s/tool:/u", folder);
    assert_string_equal(files->text[1], path);
    (void)snprintf(path, sizeof path, "%s/.:/.", folder);
    assert_string_equal(files->text[2], path);
    assert_string_equal(files->text[3], "x:/x");
    assert_string_equal(((microvm_recipe *)*state)->template_machine,
                        "{\"memory\":\"99M\"}");
    (void)snprintf(path, sizeof path, "%s/tool", folder);
    assert_int_equal(remove(path), 0);
    (void)snprintf(path, sizeof path, "%s/box.json", folder);
    assert_int_equal(remove(path), 0);
    scratch_remove(folder);
}

static void templates_that_are_wrong(void **state)
{
    static const struct {
        const char *json, *words;
    } wrong[] = {
        {"{}", "template 'Box': it has no recipe"},
        {"{\"recipe\": {\"add-file\": [\"{openvpn}:/o\"]}}",
         "it needs 'openvpn', which is not installed; 'make vpn'"},
        {"{\"recipe\": {\"add-file\": [\"{none}:/n\"]}}", "this build is without it"},
        {"{\"recipe\": {\"add-file\": [\"{.}:/n:0755\"]}}",
         "it needs '.'"}, /* a folder */
        {"{\"recipe\": {\"add-file\": [\"{none:/n\"]}}", "'{none:/n': '}' is missing"},
        {"{\"recipe\": {\"frmat\": \"ext4\"}}", "template 'Box': unknown key 'frmat'"},
    };
    char folder[SCRATCH_PATH], path[SCRATCH_PATH + 32];
    microvm_error err;
    (void)state;
    (void)scratch_special(folder, SCRATCH_DIRECTORY);
    for (size_t i = 0; i < MV_ARRAY_LEN(wrong); i++) {
        microvm_recipe *r = microvm_recipe_new();
        assert_error(load_box(r, folder, wrong[i].json, &err), &err, MICROVM_E_INVALID,
                     wrong[i].words);
        assert_error(microvm_image_build(r, NULL, NULL, &err), &err, MICROVM_E_INVALID,
                     wrong[i].words); /* it sticks */
        microvm_recipe_free(r);
    }
    (void)snprintf(path, sizeof path, "%s/box.json", folder);
    assert_int_equal(remove(path), 0);
    scratch_remove(folder);
}

#define RECIPE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RECIPE_TEST(keys_are_a_table),
        RECIPE_TEST(text_and_json_mean_the_same),
        RECIPE_TEST(mistakes_are_named),
        RECIPE_TEST(the_first_mistake_sticks),
        RECIPE_TEST(templates_find_what_is_ours),
        RECIPE_TEST(templates_that_are_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
