/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Machines of the hv kind on the fake hypervisor: the guest is a script in an ELF file,
 * so every turn of a machine's life can be had when it is wanted, on any system.
 */
#include "check.h"
#include "scratch.h"
#include "scripted.h"

#include "arch/x86/layout.h"
#include "core/power_regs.h"
#include "machine/machine.h"
#include "util/bytes.h"

#include <string.h>

enum { STEPS_MAX = 32 };

#define AT(n) (SCRIPTED_ENTRY + (n) * sizeof(struct mv_fake_step))
#define PORT_OUT(port, v)             \
    {                                 \
        MV_FAKE_PIO_WRITE, 1, port, v \
    }
#define JUMP(n)                   \
    {                             \
        MV_FAKE_JUMP, 0, AT(n), 0 \
    }
#define STORE16(a, v)          \
    {                          \
        MV_FAKE_STORE, 2, a, v \
    }
#define STEP(op)              \
    {                         \
        MV_FAKE_##op, 0, 0, 0 \
    }
#define SCRIPT(...) ((const struct mv_fake_step[STEPS_MAX]){__VA_ARGS__})

static const microvm_exit exit_init = MICROVM_EXIT_INIT;

static microvm *machine_new(const struct mv_fake_step *script, const char *key,
                            const char *value)
{
    const char *const settings[] = {"rng", "on", key, value, NULL};
    return scripted_machine(&mv_fake_ops, script, STEPS_MAX, settings);
}

static microvm *machine_started(const struct mv_fake_step *script, const char *key,
                                const char *value)
{
    microvm_error err;
    microvm *vm = machine_new(script, key, value);
    assert_ok(microvm_start(vm, &err), &err);
    return vm;
}

static void expect_exit(const struct mv_fake_step *script, int reason, int code,
                        const char *words)
{
    microvm *vm = machine_started(script, NULL, NULL);
    microvm_exit how = exit_init;
    microvm_error err;
    assert_ok(microvm_wait(vm, 10000, &how, &err), &err);
    assert_int_equal(how.reason, reason);
    assert_int_equal(how.code, code);
    assert_non_null(strstr(how.message, words));
    microvm_free(vm);
}

static void ways_to_end_are_told_apart(void **state)
{
    const uint64_t off = MV_X86_POWER + MV_POWER_SLEEP_CONTROL;
    const uint64_t off_value = MV_POWER_SLP_EN | MV_POWER_SLP_TYP_OFF
                                                     << MV_POWER_SLP_TYP_SHIFT;
    const uint64_t reset = MV_X86_POWER + MV_POWER_RESET;
    (void)state;
    expect_exit(SCRIPT({MV_FAKE_MMIO_WRITE, 1, off, off_value}, STEP(SPIN)),
                MICROVM_EXIT_POWER_OFF, 0, "powered itself off");
    expect_exit(SCRIPT(PORT_OUT(0x64, 0xfe), STEP(SPIN)), MICROVM_EXIT_RESET, 0,
                "reset");
    expect_exit(
        SCRIPT({MV_FAKE_MMIO_WRITE, 1, reset, MV_POWER_RESET_VALUE}, STEP(SPIN)),
        MICROVM_EXIT_RESET, 0, "reset");
    expect_exit(SCRIPT(STEP(RESET)), MICROVM_EXIT_RESET, 0, "reset");
    expect_exit(SCRIPT(STEP(SHUTDOWN)), MICROVM_EXIT_CRASH, 1, "triple fault");
    expect_exit(SCRIPT(STORE16(MV_X86_RESET_FLAG, 0), STEP(SHUTDOWN)),
                MICROVM_EXIT_RESET, 0, "triple fault");
    expect_exit(SCRIPT(STORE16(MV_X86_RESET_FLAG, 0x1234), STEP(SHUTDOWN)),
                MICROVM_EXIT_PANIC, 1, "triple fault");
    expect_exit(
        SCRIPT(STORE16(MV_X86_RESET_FLAG, 0x1234), PORT_OUT(0x64, 0xfe), STEP(SPIN)),
        MICROVM_EXIT_PANIC, 1, "panicked");
}

static void a_failing_hypervisor_fails_the_machine(void **state)
{
    microvm *vm = machine_started(SCRIPT(STEP(FAIL)), NULL, NULL);
    microvm_exit how = exit_init;
    microvm_error err;
    (void)state;
    assert_ok(microvm_wait(vm, 10000, &how, &err), &err);
    assert_int_equal(how.reason, MICROVM_EXIT_FAILED);
    assert_int_equal(how.code, 125);
    assert_int_equal(microvm_get_state(vm), MICROVM_FAILED);
    assert_non_null(strstr(how.message, "vCPU 0"));
    assert_error(microvm_pause(vm, &err), &err, MICROVM_E_NOT_RUNNING, "failed");
    microvm_free(vm);
}

static void the_console_carries_what_is_printed(void **state)
{
    microvm *vm = machine_new(SCRIPT(PORT_OUT(0x3f8, 'H'), PORT_OUT(0x3f8, 'i'),
                                     PORT_OUT(0x3f8, '\n'), STEP(SHUTDOWN)),
                              NULL, NULL);
    char text[16] = "";
    size_t used = 0;
    intptr_t console;
    microvm_error err;
    int64_t n;
    (void)state;
    assert_ok(microvm_console_open(vm, &console, &err), &err);
    assert_ok(microvm_start(vm, &err), &err);
    while ((n = microvm_console_read(console, text + used, sizeof text - used, 10000,
                                     &err)) > 0)
        used += (size_t)n;
    assert_int_equal(n, 0); /* end of file: the machine has ended */
    assert_string_equal(text, "Hi\n");
    microvm_console_close(console);
    microvm_free(vm);
}

static void read_console(intptr_t console, const char *wanted)
{
    char text[32] = "";
    size_t used = 0, length = strlen(wanted);
    microvm_error err;
    while (used < length) {
        int64_t n =
            microvm_console_read(console, text + used, length - used, 10000, &err);
        if (n <= 0)
            fail_msg("'%s' instead of '%s': %s", text, wanted, err.message);
        used += (size_t)n;
    }
    assert_string_equal(text, wanted);
}

/* A guest that prints a burst, waits, prints something and then has no exit any more.
 * True when what it printed last was gathered: it was then printed without an exit. */
static bool print_gathered(void)
{
    const uint64_t p = 0x3f8;
    microvm *vm = machine_new(
        SCRIPT(PORT_OUT(p, 'a'), PORT_OUT(p, 'b'), PORT_OUT(p, 'c'), PORT_OUT(p, 'd'),
               PORT_OUT(p, 'e'), PORT_OUT(p, 'f'), PORT_OUT(p, 'g'), PORT_OUT(p, 'h'),
               PORT_OUT(p, 'i'), PORT_OUT(p, 'j'), PORT_OUT(p, 'k'), PORT_OUT(p, 'l'),
               PORT_OUT(p, 'm'), PORT_OUT(p, 'n'), PORT_OUT(p, 'o'), PORT_OUT(p, 'p'),
               {MV_FAKE_WAIT_LINE, 0, MV_X86_GSI_POWER, 0}, PORT_OUT(p, 'l'),
               PORT_OUT(p, 'a'), PORT_OUT(p, 's'), PORT_OUT(p, 't'), STEP(SPIN)),
        "acpi", "on");
    microvm_stats stats = {.size = sizeof stats};
    intptr_t console;
    microvm_error err;
    assert_ok(microvm_console_open(vm, &console, &err), &err);
    assert_ok(microvm_start(vm, &err), &err);
    read_console(console, "abcdefghijklmnop");
    (void)uv_sleep(5);
    assert_ok(microvm_begin(vm, MICROVM_OP_SHUTDOWN, &err), &err);
    read_console(console, "last");
    assert_ok(microvm_get_stats(vm, &stats, &err), &err);
    microvm_console_close(console);
    microvm_free(vm);
    assert_in_range(stats.pio_exits, 16, 20);
    return stats.pio_exits == 16;
}

static void what_is_printed_last_is_not_kept_back(void **state)
{
    unsigned gathered = 0;
    (void)state;
    for (int i = 0; i < 20; i++) /* a busy host may take longer than the burst lasts */
        gathered += print_gathered();
    print_message("gathered %u times of 20\n", gathered);
    assert_true(gathered > 0);
}

static void a_busy_guest_is_paused_and_goes_on(void **state)
{
    microvm *vm = machine_started(SCRIPT(PORT_OUT(0x80, 1), JUMP(0)), "cpus", "3");
    microvm_stats before = {.size = sizeof before}, after = before;
    microvm_error err;
    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_ok(microvm_pause(vm, &err), &err);
        assert_int_equal(microvm_get_state(vm), MICROVM_PAUSED);
        assert_ok(microvm_get_stats(vm, &before, &err), &err);
        assert_ok(microvm_get_stats(vm, &after, &err), &err);
        assert_int_equal(before.pio_exits, after.pio_exits); /* nothing runs */
        assert_ok(microvm_resume(vm, &err), &err);
    }
    assert_int_equal(after.vcpus, 3);
    microvm_free(vm); /* kills it */
}

/* A write to a device's status register makes the vCPU wait for the loop, and a pause
 * makes the loop want the vCPU: neither may wait for the other for ever. */
static void pause_and_device_resets_do_not_wait_for_each_other(void **state)
{
    const uint64_t status = MV_X86_VIRTIO + 0x70;
    microvm *vm = machine_started(
        SCRIPT({MV_FAKE_MMIO_WRITE, 4, status, 1}, {MV_FAKE_MMIO_WRITE, 4, status, 0},
               {MV_FAKE_MMIO_READ, 4, status, 0}, {MV_FAKE_CHECK, 0, 0, 0}, JUMP(0)),
        NULL, NULL);
    microvm_error err;
    (void)state;
    for (int i = 0; i < 200; i++) {
        assert_ok(microvm_pause(vm, &err), &err);
        assert_ok(microvm_resume(vm, &err), &err);
    }
    assert_int_equal(microvm_get_state(vm), MICROVM_RUNNING);
    microvm_free(vm);
}

static void every_state_can_be_killed(void **state)
{
    microvm_exit how = exit_init;
    microvm_error err;
    (void)state;
    microvm *vm = machine_new(SCRIPT(STEP(SPIN)), NULL, NULL);
    assert_ok(microvm_kill(vm, &err), &err);
    assert_error(microvm_start(vm, &err), &err, MICROVM_E_STATE, "stopped");
    microvm_free(vm);
    vm = machine_started(SCRIPT(STEP(SPIN)), "cpus", "2");
    assert_ok(microvm_pause(vm, &err), &err);
    assert_ok(microvm_kill(vm, &err), &err);
    assert_ok(microvm_wait(vm, 0, &how, &err), &err);
    assert_int_equal(how.reason, MICROVM_EXIT_KILLED);
    assert_int_equal(how.code, 137);
    microvm_free(vm);
    microvm_free(NULL);
}

static void the_time_limit_stops_a_busy_guest(void **state)
{
    microvm *vm = machine_started(SCRIPT(STEP(SPIN)), "timeout", "50ms");
    microvm_exit how = exit_init;
    microvm_error err;
    (void)state;
    assert_error(microvm_wait(vm, 1, &how, &err), &err, MICROVM_E_TIMEOUT, "running");
    assert_ok(microvm_wait(vm, 10000, &how, &err), &err);
    assert_int_equal(how.reason, MICROVM_EXIT_TIME_LIMIT);
    assert_int_equal(how.code, 124);
    microvm_free(vm);
}

/* The button's line rises; the script then powers off as a guest's handler would. */
static void the_power_button_is_an_interrupt(void **state)
{
    const uint64_t power = MV_X86_POWER;
    microvm *vm = machine_started(
        SCRIPT({MV_FAKE_WAIT_LINE, 0, MV_X86_GSI_POWER, 0},
               {MV_FAKE_MMIO_READ, 4, power + MV_POWER_EVENTS, 0},
               {MV_FAKE_CHECK, 0, 0, MV_POWER_EVENT_BUTTON},
               {MV_FAKE_MMIO_WRITE, 1, power + MV_POWER_SLEEP_CONTROL, 0x34},
               STEP(SPIN)),
        "acpi", "on");
    microvm_error err;
    (void)state;
    assert_ok(microvm_shutdown(vm, 10000, &err), &err);
    assert_int_equal(microvm_get_state(vm), MICROVM_STOPPED);
    microvm_free(vm);
    vm = machine_started(SCRIPT(STEP(SPIN)), "acpi", "off");
    assert_error(microvm_shutdown(vm, 0, &err), &err, MICROVM_E_UNSUPPORTED,
                 "acpi=off");
    microvm_free(vm);
}

static void machines_do_not_know_of_each_other(void **state)
{
    enum { MACHINES = 4 };
    microvm *vm[MACHINES];
    microvm_error err;
    (void)state;
    for (int i = 0; i < MACHINES; i++)
        vm[i] = machine_started(SCRIPT(PORT_OUT(0x80, 1), JUMP(0)), NULL, NULL);
    assert_ok(microvm_kill(vm[1], &err), &err);
    assert_ok(microvm_pause(vm[2], &err), &err);
    assert_int_equal(microvm_get_state(vm[0]), MICROVM_RUNNING);
    assert_int_equal(microvm_get_state(vm[1]), MICROVM_STOPPED);
    assert_int_equal(microvm_get_state(vm[2]), MICROVM_PAUSED);
    for (int i = 0; i < MACHINES; i++)
        microvm_free(vm[i]);
}

static void disks_are_attached_before_the_start_only(void **state)
{
    microvm_disk disk = MICROVM_DISK_INIT;
    microvm_error err;
    (void)state;
    disk.path = "/nowhere/disk.img";
    microvm *vm = machine_new(SCRIPT(STEP(SPIN)), NULL, NULL);
    for (int i = 0; i < 2; i++) { /* a failure leaves nothing behind */
        disk.id = "much longer than twenty bytes";
        assert_error(microvm_attach_disk(vm, &disk, &err), &err, MICROVM_E_INVALID,
                     "id");
        disk.id = "mine";
        assert_error(microvm_attach_disk(vm, &disk, &err), &err, MICROVM_E_IO,
                     "/nowhere/disk.img");
    }
    assert_ok(microvm_start(vm, &err), &err);
    assert_error(microvm_attach_disk(vm, &disk, &err), &err, MICROVM_E_STATE,
                 "before the machine starts");
    microvm_free(vm);
}

/* The driver reads num_pages, virtio 1.2, 5.5.4: 4 KiB pages. */
static void the_balloon_has_a_target(void **state)
{
    const uint64_t num_pages = MV_X86_VIRTIO + 0x1000 + 0x100; /* behind the rng */
    microvm *vm = machine_new(SCRIPT({MV_FAKE_MMIO_READ, 4, num_pages, 0},
                                     {MV_FAKE_CHECK, 0, 0, 5 * 256}, STEP(SHUTDOWN)),
                              "balloon", "on");
    microvm_exit how = exit_init;
    microvm_error err;
    (void)state;
    assert_error(microvm_set_balloon_mb(vm, 16, &err), &err, MICROVM_E_INVALID,
                 "16 MiB");
    assert_ok(microvm_set_balloon_mb(vm, 5, &err), &err);
    assert_ok(microvm_start(vm, &err), &err);
    assert_ok(microvm_wait(vm, 10000, &how, &err), &err);
    assert_int_equal(how.reason, MICROVM_EXIT_CRASH); /* not a failed check */
    microvm_free(vm);
    vm = machine_new(SCRIPT(STEP(SPIN)), NULL, NULL);
    assert_error(microvm_set_balloon_mb(vm, 1, &err), &err, MICROVM_E_UNSUPPORTED,
                 "balloon=on");
    microvm_free(vm);
}

static void limits_name_their_disk(void **state)
{
    microvm_limit limit = MICROVM_LIMIT_INIT;
    microvm_disk disk = MICROVM_DISK_INIT, taken = MICROVM_DISK_INIT;
    microvm_error err;
    char path[SCRATCH_PATH];
    (void)state;
    scratch_sparse(path, 1 << 20);
    disk.path = taken.path = path;
    disk.id = "mine";
    taken.id = "vda";
    microvm *vm = machine_new(SCRIPT(STEP(SPIN)), "limit", "disk:1M/s");
    assert_error(microvm_set_limit(vm, "disk", &limit, &err), &err, MICROVM_E_INVALID,
                 "no disk");
    assert_ok(microvm_attach_disk(vm, &disk, &err), &err);
    assert_error(microvm_attach_disk(vm, &taken, &err), &err, MICROVM_E_INVALID,
                 "the id 'vda' of");
    limit.ops_per_s = 100;
    assert_ok(microvm_set_limit(vm, "disk=mine", &limit, &err), &err);
    assert_ok(microvm_start(vm, &err), &err);
    limit.ops_per_s = 0;
    assert_ok(microvm_set_limit(vm, "disk", &limit, &err), &err);
    assert_ok(microvm_set_limit(vm, "disk=vda", &limit, &err), &err);
    assert_error(microvm_set_limit(vm, "disk=vdb", &limit, &err), &err,
                 MICROVM_E_INVALID, "no disk 'vdb'");
    assert_error(microvm_set_limit(vm, "disc", &limit, &err), &err, MICROVM_E_INVALID,
                 "'disc' is no device");
    assert_ok(microvm_set_limit_text(vm, "disk=mine:2M/s,10", &err), &err);
    static const char *const three[] = {"disk:1M", "disk=mine:0", NULL};
    assert_ok(microvm_set_limits_text(vm, three, 2, &err), &err);
    assert_error(microvm_set_limits_text(vm, three, 3, &err), &err, MICROVM_E_INVALID,
                 "NULL");
    assert_error(microvm_set_limits_text(vm, three, 25, &err), &err, MICROVM_E_INVALID,
                 "at most 24");
    assert_error(microvm_set_limit_text(vm, "net:2M/s", &err), &err, MICROVM_E_INVALID,
                 "no network device");
    assert_error(microvm_set_limit_text(vm, "disk", &err), &err, MICROVM_E_INVALID,
                 "has no rate");
    assert_error(microvm_set_limit_text(vm, NULL, &err), &err, MICROVM_E_INVALID,
                 "NULL");
    assert_error(microvm_set_limit_text(NULL, "disk:1", &err), &err, MICROVM_E_INVALID,
                 "machine is NULL");
    limit.burst_ms = 5;
    assert_error(microvm_set_limit(vm, "disk", &limit, &err), &err, MICROVM_E_INVALID,
                 "burst of 5 ms");
    limit.size = 0;
    assert_error(microvm_set_limit(vm, "disk", &limit, &err), &err, MICROVM_E_INVALID,
                 "MICROVM_LIMIT_INIT");
    microvm_free(vm);
    scratch_remove(path);
}

static void counters_are_json_too(void **state)
{
    microvm *vm =
        machine_started(SCRIPT(PORT_OUT(0xe9, 2), STEP(SHUTDOWN)), NULL, NULL);
    microvm_stats stats = {.size = sizeof stats};
    microvm_error err;
    (void)state;
    assert_ok(microvm_wait(vm, 10000, NULL, &err), &err);
    assert_ok(microvm_get_stats(vm, &stats, &err), &err);
    assert_int_equal(stats.pio_exits, 1);
    assert_true(stats.created_ns && stats.created_ns <= stats.started_ns);
    assert_true(stats.started_ns <= stats.entered_ns &&
                stats.entered_ns <= stats.ended_ns);
    assert_int_equal(stats.boot_mark_ns[0], 0);
    assert_true(stats.boot_mark_ns[2] >= stats.entered_ns);
    char *json = microvm_stats_json(vm);
    assert_non_null(strstr(json, "\"pio_exits\": 1,"));
    assert_int_equal(json[strlen(json) - 2], '}');
    microvm_string_free(json);
    microvm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ways_to_end_are_told_apart),
        cmocka_unit_test(a_failing_hypervisor_fails_the_machine),
        cmocka_unit_test(the_console_carries_what_is_printed),
        cmocka_unit_test(what_is_printed_last_is_not_kept_back),
        cmocka_unit_test(a_busy_guest_is_paused_and_goes_on),
        cmocka_unit_test(pause_and_device_resets_do_not_wait_for_each_other),
        cmocka_unit_test(every_state_can_be_killed),
        cmocka_unit_test(the_time_limit_stops_a_busy_guest),
        cmocka_unit_test(the_power_button_is_an_interrupt),
        cmocka_unit_test(machines_do_not_know_of_each_other),
        cmocka_unit_test(disks_are_attached_before_the_start_only),
        cmocka_unit_test(the_balloon_has_a_target),
        cmocka_unit_test(limits_name_their_disk),
        cmocka_unit_test(counters_are_json_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
