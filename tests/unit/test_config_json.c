/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Settings as JSON: what is read, the message of each mistake, and that writing and
 * reading is a round trip.
 */
#include "check.h"

#include "core/config.h"
#include "scratch.h"
#include "util/bytes.h"

#include <stdio.h>
#include <stdlib.h>

static void load(struct mv_config *config, const char *text)
{
    microvm_error err;
    mv_config_init(config);
    assert_ok(mv_config_load_json(config, NULL, text, strlen(text), &err), &err);
}

static void reads_json(void **state)
{
    struct mv_config config;
    (void)state;
    load(&config,
         "{\"kernel\": \"vmlinuz\", \"memory\": 256, \"vcpus\": 2,"
         " \"timeout\": 90, \"rng\": true, \"cmdline_only\": true,"
         " \"memory-shared\": true, \"acpi\": \"off\", \"cmdline\": \"a \\\"b\\\"\","
         " \"rootfs\": {\"path\": \"r,1\"},"
         " \"disks\": [\"a.img,ro\", {\"path\": \"b.img\", \"readonly\": false,"
         " \"direct\": true, \"id\": \"x\"}]}");
    assert_string_equal(config.kernel, "vmlinuz");
    assert_int_equal(config.memory_bytes, MV_MIB(256));
    assert_int_equal(config.cpus, 2);
    assert_int_equal(config.timeout_ms, 90000);
    assert_true(config.rng);
    assert_true(config.cmdline_only);
    assert_true(config.memory_shared);
    assert_int_equal(config.acpi, MV_ACPI_OFF);
    assert_string_equal(config.cmdline, "a \"b\"");
    assert_int_equal(config.disks, 3);
    assert_string_equal(config.disk[0].path, "r,1");
    assert_true(config.disk[1].read_only);
    assert_true(config.disk[2].direct && !config.disk[2].read_only);
    mv_config_done(&config);
    load(&config, "{\"memory\": \"2G\", \"timeout\": \"250ms\"}");
    assert_int_equal(config.memory_bytes, MV_GIB(2));
    assert_int_equal(config.timeout_ms, 250);
    mv_config_done(&config);
}

static void each_wrong_json_has_its_message(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"memroy\": 1}", "vm.json: unknown key 'memroy': did you mean 'memory'?"},
        {"{\"a\\u001b[1m\": 1}", "vm.json: unknown key 'a?[1m'"},
        {"{\"cpus\": \"2\"}", "vm.json: cpus: wanted a number, found a string"},
        {"{\"disks\": [\"a\", {\"path\": \"\"}]}",
         "vm.json: disks[1]: the text is empty"},
        {"{\"limits\": [\"disk\"]}",
         "vm.json: limits[0]: 'disk' has no rate; write it as in disk:10M/s,500"},
        {"{\"cpus\": 1.5}",
         "vm.json: cpus: wanted a number, found a number with a fraction"},
        {"{\"cpus\": -1}", "vm.json: cpus: -1 is negative"},
        {"{\"cpus\": 2, \"vcpus\": 2}", "vm.json: cpus: given twice"},
        {"{\"memory\": []}",
         "vm.json: memory: wanted a size like \"256M\" or a number of "
         "MiB, found a list"},
        {"{\"memory\": \"3M\"}",
         "vm.json: memory: 3M is less than the smallest machine, 16M"},
        {"{\"memory\": 9223372036854775807}",
         "vm.json: memory: 9223372036854775807 is too large"},
        {"{\"timeout\": true}",
         "vm.json: timeout: wanted a duration like \"300s\" or a "
         "number of seconds, found true or false"},
        {"{\"rng\": \"on\"}", "vm.json: rng: wanted true or false, found a string"},
        {"{\"kernel\": null}", "vm.json: kernel: wanted a string, found null"},
        {"{\"console\": 1}", "vm.json: console: wanted a string, found a number"},
        {"{\"disks\": \"a.img\"}",
         "vm.json: disks: wanted a list of disks, found a string"},
        {"{\"disks\": [1]}",
         "vm.json: disks[0]: wanted a path or an object, found a number"},
        {"{\"disks\": [{\"path\": 1}]}",
         "vm.json: disks[0].path: wanted a string, found a number"},
        {"{\"disks\": [{\"path\": \"a\"}, {\"path\": \"a\", \"readonyl\": true}]}",
         "vm.json: disks[1]: unknown key 'readonyl': did you mean 'readonly'?"},
        {"{\"disks\": [{\"path\": \"a\", \"direct\": 1}]}",
         "vm.json: disks[0].direct: wanted true or false, found a number"},
        {"{\"disks\": [{}]}", "vm.json: disks[0]: the key 'path' is missing"},
        {"{\"rootfs\": []}",
         "vm.json: rootfs: wanted a path or an object, found a list"},
        {"[]", "vm.json: configuration: wanted an object, found a list"},
    };
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(cases); i++) {
        struct mv_config config;
        microvm_error err;
        mv_config_init(&config);
        assert_true(mv_config_load_json(&config, "vm.json", cases[i].text,
                                        strlen(cases[i].text), &err) < 0);
        assert_string_equal(err.message, cases[i].message);
        assert_string_equal(config.first_error.message, cases[i].message); /* sticks */
        mv_config_done(&config);
    }
}

static void syntax_errors_name_the_place(void **state)
{
    static const struct {
        const char *text, *place;
    } cases[] = {
        {"", "vm.json:1:0: "},
        {"{\n  \"memory\": 1,\n}", "vm.json:3:1: "},
        {"{\"rng\": true,\n \"rng\": true}", "vm.json:2:6: duplicate object key"},
        {"{} x", "vm.json:1:4: end of file expected"},
        {"{\"kernel\": \"a\\u0000\"}", "vm.json:1:"},
        {"{\"kernel\": \"\xff\"}", "vm.json:1:"},
    };
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(cases); i++) {
        struct mv_config config;
        microvm_error err;
        mv_config_init(&config);
        assert_error(mv_config_load_json(&config, "vm.json", cases[i].text,
                                         strlen(cases[i].text), &err),
                     &err, MICROVM_E_INVALID, cases[i].place);
        mv_config_done(&config);
    }
}

static void json_goes_round(void **state)
{
    static const struct {
        const char *key, *text;
    } settings[] = {
        {"name", "n\xc3\xa9"},
        {"kernel", "/boot/vmlinuz"},
        {"initrd", "i.cpio"},
        {"rootfs", "r.img,ro"},
        {"cmdline", "a=\"b\" c"},
        {"cmdline-only", "on"},
        {"hostname", "box-1.example"},
        {"memory", "1536M"},
        {"memory-shared", "on"},
        {"cpus", "3"},
        {"disk", "a,,b,id=x"},
        {"disk", "c.img,direct"},
        {"console", "none"},
        {"acpi", "on"},
        {"transport", "mmio"},
        {"boot", "pvh"},
        {"interrupts", "split"},
        {"rng", "on"},
        {"balloon", "on"},
        {"timeout", "1500ms"},
    };
    struct mv_config config, back;
    microvm_error err;
    (void)state;
    mv_config_init(&config);
    for (unsigned i = 0; i < MV_ARRAY_LEN(settings); i++)
        mv_config_set(&config, settings[i].key, settings[i].text);
    assert_int_equal(config.first_error.code, 0);
    for (int defaults = 0; defaults < 2; defaults++) {
        char *text = mv_config_to_json(&config, defaults != 0);
        assert_non_null(text);
        mv_config_init(&back);
        assert_ok(mv_config_load_json(&back, NULL, text, strlen(text), &err), &err);
        char *again = mv_config_to_json(&back, defaults != 0);
        assert_string_equal(text, again);
        assert_string_equal(back.disk[1].path, "a,b");
        assert_int_equal(back.timeout_ms, 1500);
        free(text);
        free(again);
        mv_config_done(&back);
    }
    mv_config_done(&config);
}

static void json_leaves_defaults_out(void **state)
{
    struct mv_config config;
    (void)state;
    mv_config_init(&config);
    char *text = mv_config_to_json(&config, false);
    assert_string_equal(text, "{}");
    free(text);
    text = mv_config_to_json(&config, true);
    assert_non_null(strstr(text, "\"memory\": \"512M\""));
    assert_null(strstr(text, "kernel"));
    free(text);
    mv_config_done(&config);
}

static void write_file(const char *path, const char *text, size_t length)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static void reads_files(void **state)
{
    static const char path[] = "test_config_json.tmp";
    static char big[(1 << 20) + 1];
    microvm_error err;
    (void)state;
    microvm_config *config = microvm_config_new();
    write_file(path, "{\"kernel\": \"vmlinuz\"}", 21);
    assert_ok(microvm_config_load_file(config, path, &err), &err);
    assert_ok(microvm_config_check(config, &err), &err);
    write_file(path, "{\"cpus\": 0}", 11);
    assert_error(microvm_config_load_file(config, path, &err), &err, MICROVM_E_INVALID,
                 "test_config_json.tmp: cpus: 0 is less");
    assert_error(microvm_config_check(config, &err), &err, MICROVM_E_INVALID,
                 "test_config_json.tmp: cpus: 0 is less"); /* sticks */
    microvm_config_free(config);
    config = microvm_config_new();
    memset(big, ' ', sizeof big);
    write_file(path, big, sizeof big);
    assert_error(microvm_config_load_file(config, path, &err), &err, MICROVM_E_INVALID,
                 "a file of 1024 KiB is no configuration");
    microvm_config_free(config);
    assert_int_equal(remove(path), 0);
    config = microvm_config_new();
    assert_error(microvm_config_load_file(config, path, &err), &err, MICROVM_E_IO,
                 "configuration 'test_config_json.tmp'");
    microvm_config_free(config);
}

/* What its files' names lead to, and what does not lead there. */
static void a_bundle_is_where_its_folder_is(void **state)
{
    static const char text[] =
        "{\"kernel\": \"vmlinuz\", \"initrd\": \"/boot/i.cpio\", \"image\": \"a,,b.img\","
        " \"disks\": [\"d.img,ro\", {\"path\": \"/data\"}], \"memory\": \"64M\","
        " \"vsock\": \"uds=v.sock\"}";
    char folder[SCRATCH_PATH], path[SCRATCH_PATH + 16], wanted[SCRATCH_PATH + 16];
    microvm_config *config = microvm_config_new();
    microvm_error err;
    (void)state;
    (void)scratch_special(folder, SCRATCH_DIRECTORY);
    assert_error(microvm_config_load_bundle(config, folder, &err), &err, MICROVM_E_IO,
                 "config.json");
    microvm_config_free(config);
    (void)snprintf(path, sizeof path, "%s/config.json", folder);
    write_file(path, text, sizeof text - 1);
    config = microvm_config_new();
    microvm_config_set(config, "cpus", "3"); /* stays */
    assert_ok(microvm_config_load_bundle(config, folder, &err), &err);
    const struct mv_config *values = &config->values;
    (void)snprintf(wanted, sizeof wanted, "%s/vmlinuz", folder);
    assert_string_equal(values->kernel, wanted);
    assert_string_equal(values->initrd, "/boot/i.cpio");
    (void)snprintf(wanted, sizeof wanted, "%s/a,b.img", folder);
    assert_string_equal(values->disk[0].path, wanted);
    assert_int_equal(values->root, MV_ROOT_IMAGE);
    (void)snprintf(wanted, sizeof wanted, "%s/d.img", folder);
    assert_string_equal(values->disk[1].path, wanted);
    assert_true(values->disk[1].read_only);
    assert_string_equal(values->disk[2].path, "/data");
    assert_string_equal(values->vsock.uds, "v.sock");
    assert_int_equal(values->memory_bytes, 64 << 20);
    assert_int_equal(values->cpus, 3);
    microvm_config_free(config);
    assert_int_equal(remove(path), 0);
    scratch_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_json),
        cmocka_unit_test(each_wrong_json_has_its_message),
        cmocka_unit_test(syntax_errors_name_the_place),
        cmocka_unit_test(json_goes_round),
        cmocka_unit_test(json_leaves_defaults_out),
        cmocka_unit_test(reads_files),
        cmocka_unit_test(a_bundle_is_where_its_folder_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
