/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Pause and resume: a guest that is paused for two seconds says nothing in that time,
 * and its clocks, monotonic and wall clock, are right afterwards: they have gone on.
 *
 * Usage: api_pause KEY=VALUE...
 */
#include "drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAUSE_MS = 2000, ANSWER_MS = 60000, SLACK_MS = 400 };

static void ask_time(struct drive *d, int64_t *monotonic_ms, int64_t *real_ms)
{
    char *end;
    drive_send(d, "time\n");
    const char *answer = drive_expect(d, "MV time ", ANSWER_MS);
    *monotonic_ms = strtoll(answer, &end, 10) / 1000000;
    *real_ms = strtoll(end, NULL, 10) / 1000000;
}

static void pause_machine(struct drive *d)
{
    microvm_error err;
    char byte;
    drive_check("pause", microvm_pause(d->vm, &err), &err);
    if (microvm_get_state(d->vm) != MICROVM_PAUSED)
        drive_fail("state after pause is %s",
                   microvm_state_name(microvm_get_state(d->vm)));
    /* What it said before the pause has been read: an answer was waited for. */
    if (microvm_console_read(d->console, &byte, 1, PAUSE_MS, &err) > 0)
        drive_fail("a paused guest said something");
    if (microvm_pause(d->vm, &err) != MICROVM_E_STATE)
        drive_fail("pausing twice is not refused");
    drive_check("resume", microvm_resume(d->vm, &err), &err);
    if (microvm_get_state(d->vm) != MICROVM_RUNNING)
        drive_fail("state after resume is %s",
                   microvm_state_name(microvm_get_state(d->vm)));
}

int main(int argc, char **argv)
{
    static struct drive d;
    int64_t mono0, mono1, real0, real1;
    drive_start(&d, "guest", drive_config(argc - 1, argv + 1, "quiet -- ask"));
    drive_expect(&d, "MV ask ready", 5 * ANSWER_MS);
    /* Once for nothing: the first answer pages the program in. */
    ask_time(&d, &mono0, &real0);
    drive_sleep_ms(100);
    uint64_t host0 = drive_now_ms();
    ask_time(&d, &mono0, &real0);
    uint64_t host_asked = drive_now_ms();
    pause_machine(&d);
    ask_time(&d, &mono1, &real1);
    uint64_t host1 = drive_now_ms();
    drive_send(&d, "quit\n");
    drive_end_orderly(&d, ANSWER_MS);
    drive_free(&d);

    int64_t host = (int64_t)(host1 - host0), asking = (int64_t)(host_asked - host0);
    printf("host: %lld ms; guest: monotonic %lld, wall clock %lld\n", (long long)host,
           (long long)(mono1 - mono0), (long long)(real1 - real0));
    /* The guest looked at its clock somewhere while it was asked, both times. */
    int64_t least = host - asking - SLACK_MS, most = host + SLACK_MS;
    if (mono1 - mono0 < least || mono1 - mono0 > most)
        drive_fail("the guest's monotonic clock is wrong after the pause");
    if (real1 - real0 < least || real1 - real0 > most)
        drive_fail("the guest's wall clock is wrong after the pause");
    return 0;
}
