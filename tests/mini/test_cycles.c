/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Five hundred machines in one process, one after the other: made, started, ended in
 * different ways, freed. Under AddressSanitizer whatever they leave behind fails this
 * test; descriptors and threads are counted in every build.
 *
 * The guest is a kernel of three bytes that sleeps for ever, on the real hypervisor.
 */
#include "check.h"
#include "image.h"
#include "scratch.h"

#include "microvm/microvm.h"

#include <dirent.h>
#include <string.h>

enum { CYCLES = 500, WARM_UP = 5, SKIP = 77 };

static unsigned count_entries(const char *path)
{
    unsigned count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    (void)closedir(dir);
    return count;
}

/* An ELF kernel that does HLT again and again. */
static void write_kernel(char path[SCRATCH_PATH])
{
    static struct image image;
    static const uint8_t sleep_for_ever[] = {0xf4, 0xeb, 0xfd};
    image_elf(&image);
    memcpy(image.data + 0x1000 + (IMAGE_ELF_ENTRY - IMAGE_ELF_TEXT), sleep_for_ever,
           sizeof sleep_for_ever);
    scratch_file(path, image.data, IMAGE_ELF_BYTES);
}

/* Each end that a machine can come to from outside, and none. */
static void live_once(const microvm_config *config, int cycle)
{
    microvm_error err;
    intptr_t console;
    microvm *vm = microvm_new(config, &err);
    if (!vm)
        fail_msg("cycle %d: %s", cycle, err.message);
    if (cycle % 5 == 0) {
        assert_ok(microvm_console_open(vm, &console, &err), &err);
        microvm_console_close(console);
    }
    if (cycle % 7 != 0)
        assert_ok(microvm_start(vm, &err), &err);
    if (cycle % 3 == 0 && cycle % 7 != 0) {
        assert_ok(microvm_pause(vm, &err), &err);
        if (cycle % 2)
            assert_ok(microvm_resume(vm, &err), &err);
    }
    if (cycle % 4)
        assert_ok(microvm_kill(vm, &err), &err);
    microvm_free(vm);
}

static void five_hundred_machines_leave_nothing(void **state)
{
    char path[SCRATCH_PATH];
    unsigned descriptors = 0, threads = 0;
    microvm_config *config = microvm_config_new();
    (void)state;
    write_kernel(path);
    microvm_config_set_kernel(config, path);
    microvm_config_set_memory_mb(config, 64);
    microvm_config_set(config, "rng", "on");
    microvm_config_set(config, "balloon", "on");
    for (int i = 0; i < CYCLES + WARM_UP; i++) {
        if (i == WARM_UP) {
            descriptors = count_entries("/proc/self/fd");
            threads = count_entries("/proc/self/task");
        }
        microvm_config_set_vcpus(config, i % 11 == 0 ? 2 : 1);
        live_once(config, i);
    }
    assert_int_equal(count_entries("/proc/self/fd"), descriptors);
    assert_int_equal(count_entries("/proc/self/task"), threads);
    microvm_config_free(config);
    scratch_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_hundred_machines_leave_nothing),
    };
    microvm_backend backend = {.size = sizeof backend};
    if (microvm_probe(&backend, 1) == 0 || !backend.usable) {
        print_message("SKIP: no hypervisor: %s\n", backend.reason);
        return SKIP;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
