/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Templates: where they are found, what they begin with, what is wrong with them. */
#include "check.h"

#include "core/config.h"
#include "scratch.h"

#include <stdio.h>
#include <string.h>

/* Two folders, the first of which goes before the second. */
struct places {
    char own[SCRATCH_PATH], ours[SCRATCH_PATH];
    const char *folders[3];
};

static void put(const char *folder, const char *name, const char *text)
{
    char path[SCRATCH_PATH + 32];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void take(const char *folder, const char *name)
{
    char path[SCRATCH_PATH + 32];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(remove(path), 0);
}

static void open_places(struct places *p)
{
    (void)scratch_special(p->own, SCRATCH_DIRECTORY);
    (void)scratch_special(p->ours, SCRATCH_DIRECTORY);
    p->folders[0] = p->own;
    p->folders[1] = p->ours;
    p->folders[2] = NULL;
}

static void close_places(struct places *p)
{
    scratch_remove(p->own);
    scratch_remove(p->ours);
}

static microvm_config *loaded(const struct places *p, const char *name)
{
    microvm_config *config = microvm_config_new();
    microvm_error err;
    assert_ok(microvm_config_load_template(config, name, p->folders, &err), &err);
    return config;
}

static uint64_t memory_mib(const struct places *p, const char *name)
{
    microvm_config *config = loaded(p, name);
    uint64_t mib = config->values.memory_bytes >> 20;
    microvm_config_free(config);
    return mib;
}

static void is_found_by_its_name(void **state)
{
    struct places p;
    char path[SCRATCH_PATH + 32];
    (void)state;
    open_places(&p);
    put(p.ours, "vpngateway.json", "{\"machine\": {\"memory\": \"128M\"}}");
    put(p.ours, "small.json", "{\"machine\": {\"memory\": \"64M\"}}");
    put(p.own, "small.json", "{\"machine\": {\"memory\": \"32M\"}}");
    assert_int_equal(memory_mib(&p, "VpnGateway"), 128);
    assert_int_equal(memory_mib(&p, "vpn-gateway"), 128);
    assert_int_equal(memory_mib(&p, "VPN_GATEWAY"), 128);
    assert_int_equal(memory_mib(&p, "small"), 32); /* the first folder counts */
    put(p.own, "My-Box.json", "{\"machine\": {\"memory\": \"96M\"}}");
    assert_int_equal(memory_mib(&p, "My-Box"), 96);
    take(p.own, "My-Box.json");
    (void)snprintf(path, sizeof path, "%s/small.json", p.ours);
    assert_int_equal(memory_mib(&p, path), 64);
    p.folders[0] = NULL; /* a file needs no folder */
    assert_int_equal(memory_mib(&p, path), 64);
    take(p.ours, "vpngateway.json");
    take(p.ours, "small.json");
    take(p.own, "small.json");
    close_places(&p);
}

static void what_is_said_later_wins(void **state)
{
    struct places p;
    (void)state;
    open_places(&p);
    put(p.ours, "base.json",
        "{\"image\": \"a\", \"machine\": {\"memory\": \"128M\", \"cpus\": 2}}");
    put(p.own, "mine.json",
        "{\"template\": \"Base\", \"image\": \"b\", \"machine\": {\"memory\": "
        "\"256M\"}}");
    microvm_config *config = loaded(&p, "mine");
    assert_int_equal(config->values.memory_bytes, 256u << 20);
    assert_int_equal(config->values.cpus, 2);
    microvm_config_set(config, "cpus", "3");
    assert_int_equal(config->values.cpus, 3);
    microvm_config_free(config);
    char *text = microvm_template_read("mine", p.folders, NULL);
    assert_non_null(text);
    assert_non_null(strstr(text, "\"image\": \"b\""));
    assert_non_null(strstr(text, "\"cpus\": 2"));
    assert_null(strstr(text, "\"template\""));
    microvm_string_free(text);
    take(p.ours, "base.json");
    take(p.own, "mine.json");
    close_places(&p);
}

/* One of a name may begin with the other of that name, and a path is beside who says
 * it.
 */
static void what_it_begins_with(void **state)
{
    struct places p;
    char path[SCRATCH_PATH + 32];
    (void)state;
    open_places(&p);
    put(p.ours, "sandbox.json", "{\"machine\": {\"memory\": \"128M\", \"cpus\": 2}}");
    put(p.own, "sandbox.json",
        "{\"template\": \"Sandbox\", \"machine\": {\"memory\": \"256M\"}}");
    microvm_config *config = loaded(&p, "sandbox");
    assert_int_equal(config->values.memory_bytes, 256 << 20);
    assert_int_equal(config->values.cpus, 2);
    microvm_config_free(config);
    put(p.own, "above.json", "{\"template\": \"sandbox.json\"}");
    (void)snprintf(path, sizeof path, "%s/above.json", p.own);
    assert_int_equal(memory_mib(&p, path), 256);
    take(p.own, "above.json");
    take(p.own, "sandbox.json");
    take(p.ours, "sandbox.json");
    close_places(&p);
}

/* Mine begins with one of mine, which begins with ours of the first one's name. */
static void mine_may_begin_with_ours_by_another(void **state)
{
    struct places p;
    (void)state;
    open_places(&p);
    put(p.own, "box.json", "{\"template\": \"base\", \"machine\": {\"cpus\": 2}}");
    put(p.own, "base.json", "{\"template\": \"box\"}");
    put(p.ours, "box.json", "{\"machine\": {\"cpus\": 1, \"memory\": \"64M\"}}");
    microvm_config *config = loaded(&p, "box");
    assert_int_equal(config->values.cpus, 2);
    assert_int_equal(config->values.memory_bytes, 64 << 20);
    microvm_config_free(config);
    take(p.own, "box.json");
    take(p.own, "base.json");
    take(p.ours, "box.json");
    close_places(&p);
}

static void wrong_ones_are_refused(void **state)
{
    static const struct {
        const char *text, *words;
    } wrong[] = {
        {"{", "line 1"},
        {"[]", "no JSON object"},
        {"{\"machines\": {}}", "unknown key 'machines'"},
        {"{\"machine\": []}", "an object is wanted"},
        {"{\"image\": 1}", "a text is wanted"},
        {"{\"machine\": {\"memori\": \"1G\"}}", "memori"},
        {"{\"template\": \"box\"}", "it begins with itself"},
        {"{\"template\": \"none\"}", "'none': there is none of that name"},
    };
    struct places p;
    (void)state;
    open_places(&p);
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        microvm_config *config = microvm_config_new();
        microvm_error err, again;
        put(p.own, "box.json", wrong[i].text);
        assert_error(microvm_config_load_template(config, "box", p.folders, &err), &err,
                     MICROVM_E_INVALID, wrong[i].words);
        assert_error(microvm_config_check(config, &again), &again, MICROVM_E_INVALID,
                     wrong[i].words);
        microvm_config_free(config);
    }
    take(p.own, "box.json");
    close_places(&p);
}

static void absent_ones_are_named(void **state)
{
    microvm_config *config = microvm_config_new();
    microvm_error err;
    (void)state;
    assert_null(microvm_template_read("sandbx", NULL, &err));
    assert_error(err.code, &err, MICROVM_E_INVALID, "'sandbx': there is none");
    assert_null(microvm_template_read("./none.json", NULL, &err));
    assert_error(err.code, &err, MICROVM_E_IO, "./none.json");
    assert_null(microvm_template_read(NULL, NULL, &err));
    assert_error(microvm_config_load_template(config, NULL, NULL, &err), &err,
                 MICROVM_E_INVALID, "no configuration or template");
    assert_error(microvm_config_load_template(NULL, "x", NULL, &err), &err,
                 MICROVM_E_INVALID, "no configuration or template");
    microvm_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_found_by_its_name),
        cmocka_unit_test(what_is_said_later_wins),
        cmocka_unit_test(what_it_begins_with),
        cmocka_unit_test(mine_may_begin_with_ours_by_another),
        cmocka_unit_test(wrong_ones_are_refused),
        cmocka_unit_test(absent_ones_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
