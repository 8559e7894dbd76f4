/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Waiting for the end: with a time-out, with none, from two threads, for a machine that
 * is killed meanwhile, and after the end. Usage: api_wait KEY=VALUE...
 */
#include "drive.h"

#include <pthread.h>
#include <stdio.h>

enum { GUEST_MS = 60000 };

static void *wait_for_end(void *vm)
{
    microvm_exit end = MICROVM_EXIT_INIT;
    microvm_error err;
    drive_check("wait in a thread", microvm_wait(vm, MICROVM_FOREVER, &end, &err),
                &err);
    return (void *)(intptr_t)end.reason;
}

static void expect_timeout(microvm *vm, int64_t timeout_ms)
{
    microvm_exit end = MICROVM_EXIT_INIT;
    microvm_error err;
    uint64_t began = drive_now_ms();
    int rc = microvm_wait(vm, timeout_ms, &end, &err);
    uint64_t took = drive_now_ms() - began;
    if (rc != MICROVM_E_TIMEOUT)
        drive_fail("wait(%lld) of a running machine: %d, not TIMEOUT",
                   (long long)timeout_ms, rc);
    if (end.reason != 0)
        drive_fail("a wait that timed out has touched its output");
    if (took + 20 < (uint64_t)timeout_ms || took > (uint64_t)timeout_ms + 2000)
        drive_fail("wait(%lld) took %llu ms", (long long)timeout_ms,
                   (unsigned long long)took);
}

static void expect_killed(microvm *vm, int64_t timeout_ms)
{
    microvm_exit end = MICROVM_EXIT_INIT;
    microvm_error err;
    drive_check("wait", microvm_wait(vm, timeout_ms, &end, &err), &err);
    if (end.reason != MICROVM_EXIT_KILLED || end.code != 137)
        drive_fail("a killed machine: reason %d, code %d", end.reason, end.code);
}

int main(int argc, char **argv)
{
    static struct drive d;
    pthread_t threads[2];
    microvm_error err;
    void *reason;
    drive_start(&d, "guest", drive_config(argc - 1, argv + 1, "quiet -- sleep"));
    expect_timeout(d.vm, 0);
    drive_expect(&d, "MV sleep", 5 * GUEST_MS);
    expect_timeout(d.vm, 0);
    expect_timeout(d.vm, 300);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, wait_for_end, d.vm);
    drive_sleep_ms(50);
    drive_check("kill", microvm_kill(d.vm, &err), &err);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], &reason);
        if ((intptr_t)reason != MICROVM_EXIT_KILLED)
            drive_fail("a waiting thread was told reason %d", (int)(intptr_t)reason);
    }
    expect_killed(d.vm, MICROVM_FOREVER);
    expect_killed(d.vm, 0);
    drive_check("kill again", microvm_kill(d.vm, &err), &err);
    if (microvm_get_state(d.vm) != MICROVM_STOPPED)
        drive_fail("state is %s", microvm_state_name(microvm_get_state(d.vm)));
    if (microvm_pause(d.vm, &err) != MICROVM_E_NOT_RUNNING)
        drive_fail("pausing a stopped machine is not refused as not running");
    drive_free(&d);
    return 0;
}
