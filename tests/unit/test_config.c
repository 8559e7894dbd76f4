/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Settings: what each key takes, the message of each mistake, stickiness and copies.
 */
#include "check.h"

#include "core/config.h"
#include "util/bytes.h"

static void has_defaults(void **state)
{
    struct mv_config config;
    (void)state;
    mv_config_init(&config);
    assert_int_equal(config.first_error.code, 0);
    assert_int_equal(config.memory_bytes, MV_MIB(512));
    assert_int_equal(config.cpus, 1);
    assert_int_equal(config.console, MV_CONSOLE_SERIAL);
    assert_int_equal(config.acpi, MV_ACPI_AUTO);
    assert_int_equal(config.transport, MV_TRANSPORT_AUTO);
    assert_int_equal(config.boot, MV_BOOT_AUTO);
    assert_int_equal(config.interrupts, MV_INTERRUPTS_AUTO);
    assert_int_equal(config.timeout_ms, 0);
    assert_int_equal(config.disks, 0);
    assert_null(config.kernel);
    mv_config_done(&config);
}

static void sets_every_type(void **state)
{
    struct mv_config config;
    (void)state;
    mv_config_init(&config);
    mv_config_set(&config, "kernel", "old");
    mv_config_set(&config, "kernel", "vmlinuz");
    mv_config_set(&config, "cmdline", "");
    mv_config_set(&config, "cmdline_only", "yes");
    mv_config_set(&config, "memory-shared", "on");
    mv_config_set(&config, "memory", "2G");
    mv_config_set(&config, "vcpus", "4");
    mv_config_set(&config, "console", "virtio");
    mv_config_set(&config, "timeout", "5m");
    assert_int_equal(config.first_error.code, 0);
    assert_string_equal(config.kernel, "vmlinuz");
    assert_string_equal(config.cmdline, "");
    assert_true(config.cmdline_only);
    assert_true(config.memory_shared);
    assert_int_equal(config.memory_bytes, MV_GIB(2));
    assert_int_equal(config.cpus, 4);
    assert_int_equal(config.console, MV_CONSOLE_VIRTIO);
    assert_int_equal(config.timeout_ms, 300000);
    mv_config_set(&config, "kernel", NULL); /* back to the default */
    mv_config_set(&config, "memory", NULL);
    assert_null(config.kernel);
    assert_int_equal(config.memory_bytes, MV_MIB(512));
    mv_config_done(&config);
}

static void each_wrong_value_has_its_message(void **state)
{
    static const struct {
        const char *key, *text, *message;
        int code;
    } cases[] = {
        {"memroy", "1", "unknown key 'memroy': did you mean 'memory'?",
         MICROVM_E_INVALID},
        {"banana", "1", "unknown key 'banana'", MICROVM_E_INVALID},
        {"", "1", "unknown key ''", MICROVM_E_INVALID},
        {"memory", "lots", "memory: 'lots' is not a size; write it as 256M or 2G",
         MICROVM_E_MEMORY},
        {"memory", "3M", "memory: 3M is less than the smallest machine, 16M",
         MICROVM_E_MEMORY},
        {"memory", "0", "memory: 0K is less than the smallest machine, 16M",
         MICROVM_E_MEMORY},
        {"memory", "512G", "memory: 512G is more than the largest machine, 511G",
         MICROVM_E_MEMORY},
        {"memory", "17000000T", "memory: '17000000T' is too large", MICROVM_E_MEMORY},
        {"memory", "20000K", "memory: 20000K is no whole number of MiB",
         MICROVM_E_MEMORY},
        {"cpus", "0", "cpus: 0 is less than the least, 1", MICROVM_E_INVALID},
        {"cpus", "65", "cpus: 65 is more than the most, 64", MICROVM_E_INVALID},
        {"cpus", "two", "cpus: 'two' is not a whole number", MICROVM_E_INVALID},
        {"timeout", "5x",
         "timeout: '5x' is not a duration; write it as 300s, 5m or 1h30m",
         MICROVM_E_INVALID},
        {"timeout", "366d", "timeout: 31622400s is more than the most, 31536000s",
         MICROVM_E_INVALID},
        {"rng", "maybe", "rng: 'maybe' is neither on nor off", MICROVM_E_INVALID},
        {"console", "seriall", "console: 'seriall' is none of serial|virtio|none",
         MICROVM_E_INVALID},
        {"acpi", "", "acpi: '' is none of auto|on|off", MICROVM_E_INVALID},
        {"kernel", "", "kernel: the text is empty", MICROVM_E_INVALID},
        {"kernel", "a\nb", "kernel: the text has control characters or is not UTF-8",
         MICROVM_E_INVALID},
        {"cmdline", "a\xff", "cmdline: the text has control characters or is not UTF-8",
         MICROVM_E_INVALID},
        {"name", "12345678901234567890123456789012345678901234567890123456789012345",
         "name: the text has 65 bytes, 64 are possible", MICROVM_E_INVALID},
        {"disk", "", "disk: the text is empty", MICROVM_E_INVALID},
        {"disk", "a.img,rox",
         "disk: unknown option 'rox': did you mean ro; there are ro, direct and id=NAME "
         "(a comma in the path is written twice)",
         MICROVM_E_INVALID},
        {"disk", "a.img,cache=none",
         "disk: unknown option 'cache=none'; there are ro, direct and id=NAME (a comma "
         "in the path is written twice)",
         MICROVM_E_INVALID},
        {"disk", "a.img,id=", "disk: the id '' is not 1 to 20 printable bytes",
         MICROVM_E_INVALID},
        {"disk", "a.img,id=123456789012345678901",
         "disk: the id '123456789012345678901' is not 1 to 20 printable bytes",
         MICROVM_E_INVALID},
        {"rootfs", "r.img,",
         "rootfs: unknown option ''; there are ro, direct and id=NAME (a comma in the "
         "path is written twice)",
         MICROVM_E_INVALID},
    };
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(cases); i++) {
        struct mv_config config;
        microvm_error err;
        mv_config_init(&config);
        mv_config_set(&config, cases[i].key, cases[i].text);
        assert_int_equal(mv_config_check(&config, &err), cases[i].code);
        assert_string_equal(err.message, cases[i].message);
        mv_config_done(&config);
    }
}

static void the_first_mistake_stays(void **state)
{
    struct mv_config config;
    microvm_error err;
    (void)state;
    mv_config_init(&config);
    mv_config_set(&config, "cpus", "99");
    mv_config_set(&config, "memory", "1M");
    mv_config_set(&config, "kernel", "vmlinuz");
    mv_config_set_number(&config, "memory", MV_GIB(1));
    assert_int_equal(mv_config_load_json(&config, NULL, "{}", 2, &err),
                     MICROVM_E_INVALID);
    assert_error(mv_config_check(&config, &err), &err, MICROVM_E_INVALID, "cpus: 99");
    assert_null(config.kernel);
    assert_int_equal(config.memory_bytes, MV_MIB(512));
    mv_config_done(&config);
}

static void keeps_disks_in_order(void **state)
{
    struct mv_config config;
    (void)state;
    mv_config_init(&config);
    mv_config_set(&config, "disk", "a.img,ro,id=data");
    mv_config_set(&config, "rootfs", "root,,1.img,direct");
    mv_config_set(&config, "disk", "b.img");
    assert_int_equal(config.disks, 3);
    assert_int_equal(config.root, MV_ROOT_DISK);
    assert_string_equal(config.disk[0].path, "root,1.img");
    assert_true(config.disk[0].direct);
    assert_string_equal(config.disk[1].path, "a.img");
    assert_string_equal(config.disk[1].id, "data");
    assert_true(config.disk[1].read_only);
    assert_string_equal(config.disk[2].path, "b.img");
    mv_config_set(&config, "rootfs", "other.img,id=root"); /* instead, not beside */
    assert_int_equal(config.disks, 3);
    assert_string_equal(config.disk[0].path, "other.img");
    assert_false(config.disk[0].direct);
    mv_config_set(&config, "disk", NULL);
    assert_int_equal(config.disks, 1);
    mv_config_set(&config, "image", "image.squashfs"); /* a root as well */
    assert_int_equal(config.disks, 1);
    assert_int_equal(config.root, MV_ROOT_IMAGE);
    assert_true(config.disk[0].read_only);
    mv_config_set(&config, "rootfs", NULL); /* there is none */
    assert_int_equal(config.disks, 1);
    mv_config_set(&config, "image", NULL);
    assert_int_equal(config.disks, 0);
    assert_int_equal(config.root, MV_ROOT_NONE);
    mv_config_done(&config);
}

static void checks_disks_together(void **state)
{
    struct mv_config config;
    microvm_error err;
    (void)state;
    mv_config_init(&config);
    for (int i = 0; i < MV_DISKS_MAX; i++)
        mv_config_set(&config, "disk", "a.img");
    assert_int_equal(config.first_error.code, 0);
    mv_config_set(&config, "rootfs", "r.img");
    assert_error(mv_config_check(&config, &err), &err, MICROVM_E_INVALID,
                 "rootfs: a machine has at most 8 disks");
    assert_int_equal(config.disks, MV_DISKS_MAX);
    mv_config_done(&config);

    mv_config_init(&config);
    mv_config_set(&config, "disk", "a.img,id=same");
    mv_config_set(&config, "disk", "b.img,id=same");
    assert_error(mv_config_check(&config, &err), &err, MICROVM_E_INVALID,
                 "the id 'same' is another disk's");
    mv_config_done(&config);
}

/* The id of one is not what the guest calls another: also one that comes to be so. */
static void names_of_disks_are_taken(void **state)
{
    struct mv_config config;
    microvm_error err;
    (void)state;
    mv_config_init(&config);
    mv_config_set(&config, "kernel", "k");
    mv_config_set(&config, "disk", "a.img,id=vda");
    mv_config_set(&config, "disk", "b.img,id=vdc");
    assert_ok(mv_config_check(&config, &err), &err);
    mv_config_set(&config, "rootfs", "r.img");
    assert_error(mv_config_check(&config, &err), &err, MICROVM_E_INVALID,
                 "the id 'vda' of 'a.img' is what the guest calls another disk, "
                 "'r.img'");
    mv_config_done(&config);
    mv_config_init(&config);
    mv_config_set(&config, "kernel", "k");
    mv_config_set(&config, "disk", "a.img,id=vdb");
    assert_ok(mv_config_check(&config, &err), &err);
    mv_config_set(&config, "disk", "b.img");
    assert_error(mv_config_check(&config, &err), &err, MICROVM_E_INVALID,
                 "the id 'vdb' of 'a.img'");
    mv_config_done(&config);
}

static void checks_disk_structs(void **state)
{
    struct mv_config config;
    microvm_error err;
    struct microvm_disk disk = MICROVM_DISK_INIT;
    (void)state;
    mv_config_init(&config);
    disk.path = "a,b.img"; /* a path, not the text form */
    assert_int_equal(mv_config_add_disk(&config, &disk), 0);
    assert_string_equal(config.disk[0].path, "a,b.img");
    disk.size = 4;
    assert_int_equal(mv_config_add_disk(&config, &disk), MICROVM_E_INVALID);
    assert_error(mv_config_check(&config, &err), &err, MICROVM_E_INVALID,
                 "MICROVM_DISK_INIT");
    mv_config_done(&config);
    mv_config_init(&config);
    disk = (struct microvm_disk)MICROVM_DISK_INIT;
    assert_int_equal(mv_config_add_disk(&config, &disk), MICROVM_E_INVALID);
    assert_error(mv_config_check(&config, &err), &err, MICROVM_E_INVALID,
                 "disk: the path is missing");
    mv_config_done(&config);
}

static void checks_keys_together(void **state)
{
    struct mv_config config;
    microvm_error err;
    (void)state;
    mv_config_init(&config);
    assert_error(mv_config_check(&config, &err), &err, MICROVM_E_INVALID,
                 "kernel: not given");
    mv_config_set(&config, "kernel", "vmlinuz");
    assert_ok(mv_config_check(&config, &err), &err);
    mv_config_set(&config, "cmdline-only", "on");
    assert_error(mv_config_check(&config, &err), &err, MICROVM_E_INVALID,
                 "cmdline-only: there is no cmdline");
    mv_config_set(&config, "cmdline", "quiet");
    assert_ok(mv_config_check(&config, &err), &err);
    static const char *const names[] = {"a b", "-a", "a.", "a=b", "a,b"};
    for (unsigned i = 0; i < MV_ARRAY_LEN(names); i++) {
        mv_config_set(&config, "hostname", names[i]);
        assert_error(mv_config_check(&config, &err), &err, MICROVM_E_INVALID,
                     "hostname: '");
    }
    mv_config_set(&config, "hostname", "box-1.example");
    assert_ok(mv_config_check(&config, &err), &err);
    mv_config_done(&config);
}

static void copies_are_deep(void **state)
{
    struct mv_config config, copy;
    microvm_error err;
    (void)state;
    mv_config_init(&config);
    mv_config_set(&config, "kernel", "vmlinuz");
    mv_config_set(&config, "disk", "a.img,id=x");
    assert_ok(mv_config_copy(&copy, &config, &err), &err);
    assert_true(copy.kernel != config.kernel && copy.disk[0].id != config.disk[0].id);
    mv_config_done(&config);
    assert_string_equal(copy.kernel, "vmlinuz");
    assert_string_equal(copy.disk[0].path, "a.img");
    assert_string_equal(copy.disk[0].id, "x");
    mv_config_done(&copy);
}

/* The table is what users read: defaults must be what they say, names not collide. */
static void the_table_is_sound(void **state)
{
    (void)state;
    for (unsigned i = 0; microvm_config_key(i); i++) {
        const microvm_key *key = microvm_config_key(i);
        assert_true(key->help[0] >= 'A' && key->help[0] <= 'Z');
        assert_true((key->type == MICROVM_KEY_CHOICE) == (key->choices != NULL));
        assert_true((key->type == MICROVM_KEY_BOOL) == (key->value[0] == '\0'));
        for (unsigned j = 0; j < i; j++) {
            const microvm_key *other = microvm_config_key(j);
            assert_string_not_equal(key->name, other->name);
            assert_true(!key->short_flag || key->short_flag != other->short_flag);
        }
    }
    assert_null(microvm_config_key(1000));
}

static void public_functions_accept_null(void **state)
{
    microvm_error err;
    (void)state;
    microvm_config_set(NULL, "kernel", "x");
    microvm_config_set_kernel(NULL, "x");
    microvm_config_set_rootfs(NULL, "x");
    microvm_config_set_memory_mb(NULL, 1);
    microvm_config_add_disk(NULL, NULL);
    microvm_config_free(NULL);
    assert_null(microvm_config_copy(NULL));
    assert_null(microvm_config_to_json(NULL, 0));
    assert_int_equal(microvm_config_check(NULL, &err), MICROVM_E_INVALID);
    assert_int_equal(microvm_config_load_json(NULL, "{}", 2, NULL), MICROVM_E_INVALID);
    assert_null(microvm_nearest(NULL, NULL));
    microvm_config *config = microvm_config_new();
    microvm_config_set(config, NULL, "x");
    assert_error(microvm_config_check(config, &err), &err, MICROVM_E_INVALID,
                 "unknown key ''");
    microvm_config_free(config);
}

static void typed_setters_check_too(void **state)
{
    microvm_error err;
    microvm_config *config = microvm_config_new();
    (void)state;
    microvm_config_set_kernel(config, "vmlinuz");
    microvm_config_set_initrd(config, "i");
    microvm_config_set_rootfs(config, "r,1.img");
    microvm_config_set_cmdline(config, "quiet");
    microvm_config_set_memory_mb(config, 64);
    microvm_config_set_vcpus(config, 2);
    microvm_config_set_timeout_ms(config, 1500);
    assert_ok(microvm_config_check(config, &err), &err);
    microvm_config *copy = microvm_config_copy(config);
    char *text = microvm_config_to_json(copy, 0);
    assert_non_null(strstr(text, "\"path\": \"r,1.img\""));
    assert_non_null(strstr(text, "\"memory\": \"64M\""));
    assert_non_null(strstr(text, "\"timeout\": \"1500ms\""));
    microvm_string_free(text);
    microvm_config_free(copy);
    microvm_config_set_memory_mb(config, 4);
    assert_error(microvm_config_check(config, &err), &err, MICROVM_E_MEMORY,
                 "memory: 4M is less than the smallest machine, 16M");
    microvm_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_defaults),
        cmocka_unit_test(sets_every_type),
        cmocka_unit_test(each_wrong_value_has_its_message),
        cmocka_unit_test(the_first_mistake_stays),
        cmocka_unit_test(keeps_disks_in_order),
        cmocka_unit_test(checks_disks_together),
        cmocka_unit_test(names_of_disks_are_taken),
        cmocka_unit_test(checks_disk_structs),
        cmocka_unit_test(checks_keys_together),
        cmocka_unit_test(copies_are_deep),
        cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(public_functions_accept_null),
        cmocka_unit_test(typed_setters_check_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
