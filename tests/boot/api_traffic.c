/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Pause in the middle of traffic: while a guest writes and reads its disk the machine
 * is paused and resumed, again and again. Nothing moves in a pause, and afterwards no
 * request and no interrupt is missing: the guest finds what it wrote, and ends.
 *
 * Usage: api_traffic MIB KEY=VALUE...      (one of them disk=FILE)
 */
#include "drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUN_MS = 4, PAUSE_MS = 4, ROUNDS_MAX = 100, ANSWER_MS = 60000 };

static uint64_t requests(const struct drive *d)
{
    microvm_stats stats = {.size = sizeof stats};
    microvm_error err;
    drive_check("stats", microvm_get_stats(d->vm, &stats, &err), &err);
    return stats.disk_requests;
}

/* False: the guest has ended before. */
static int pause_once(const struct drive *d)
{
    microvm_error err;
    int rc = microvm_pause(d->vm, &err);
    if (rc == MICROVM_E_STATE || rc == MICROVM_E_NOT_RUNNING)
        return 0;
    drive_check("pause", rc, &err);
    uint64_t before = requests(d);
    drive_sleep_ms(PAUSE_MS);
    if (requests(d) != before)
        drive_fail("requests were carried out while the machine was paused");
    drive_check("resume", microvm_resume(d->vm, &err), &err);
    return 1;
}

static void wait_for_traffic(const struct drive *d, uint64_t more_than)
{
    uint64_t end = drive_now_ms() + 5 * ANSWER_MS;
    while (requests(d) <= more_than) {
        if (drive_now_ms() > end)
            drive_fail("the guest did not begin with its disk");
        drive_sleep_ms(1);
    }
}

int main(int argc, char **argv)
{
    static struct drive d;
    char cmdline[64];
    unsigned rounds = 0, busy = 0;
    if (argc < 3)
        drive_fail("usage: api_traffic MIB KEY=VALUE...");
    snprintf(cmdline, sizeof cmdline, "quiet -- disk=/dev/vda,9,%.8s", argv[1]);
    drive_start(&d, "guest", drive_config(argc - 2, argv + 2, cmdline));
    wait_for_traffic(&d, 0);
    for (uint64_t before = 0; rounds < ROUNDS_MAX; rounds++) {
        drive_sleep_ms(RUN_MS);
        uint64_t now = requests(&d);
        busy += now > before;
        before = now;
        if (!pause_once(&d))
            break;
    }
    const char *answer = drive_expect(&d, "MV disk ", 5 * ANSWER_MS);
    printf("%u pauses, %u of them in traffic: %s\n", rounds, busy, answer);
    if (!strstr(answer, "wrong 0"))
        drive_fail("the guest did not find what it wrote: %s", answer);
    if (busy < 3)
        drive_fail("the guest was too quick to be paused; give it more to do");
    drive_end_orderly(&d, ANSWER_MS);
    drive_free(&d);
    return 0;
}
