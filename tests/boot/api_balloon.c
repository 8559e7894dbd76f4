/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A Linux guest is asked for a part of its memory, gives it up, and has it back: all of
 * it when the host asks for less, and what it needs when its programs do.
 *
 * Usage: api_balloon KEY=VALUE...      (256 MiB, balloon=on)
 */
#include "drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Linux keeps up to an eighth of its memory in lists of each processor, and counts it
 * neither as free nor as used: the slack. */
enum {
    MIB = 1 << 20,
    ANSWER_MS = 60000,
    PART_MIB = 128,
    MOST_MIB = 180,
    SLACK_MIB = 36
};

static uint64_t balloon_mib(const struct drive *d)
{
    microvm_stats stats = {.size = sizeof stats};
    microvm_error err;
    drive_check("stats", microvm_get_stats(d->vm, &stats, &err), &err);
    return stats.balloon_bytes / MIB;
}

static void set_and_wait(const struct drive *d, uint32_t mib)
{
    microvm_error err;
    uint64_t end = drive_now_ms() + ANSWER_MS;
    drive_check("balloon", microvm_set_balloon_mb(d->vm, mib, &err), &err);
    while (balloon_mib(d) != mib) {
        if (drive_now_ms() > end)
            drive_fail("asked for %u MiB, the guest has given %llu", mib,
                       (unsigned long long)balloon_mib(d));
        drive_sleep_ms(1);
    }
}

/* What the guest has free, MiB. A guest that may take from the balloon when it is short
 * (DEFLATE_ON_OOM) still counts as its own what it gave away. */
static long free_mib(struct drive *d)
{
    char *end;
    drive_send(d, "memory\n");
    (void)strtol(drive_expect(d, "MV memory ", ANSWER_MS), &end, 10);
    return strtol(end, NULL, 10) / 1024;
}

/* The guest tells us of pages before it uses them again, so it may take a moment. */
static void expect_lost(struct drive *d, long had_mib, long lost_mib)
{
    uint64_t end = drive_now_ms() + ANSWER_MS;
    long now_mib;
    while (labs(had_mib - (now_mib = free_mib(d)) - lost_mib) > SLACK_MIB) {
        if (drive_now_ms() > end)
            drive_fail("the guest had %ld MiB free, should have lost %ld and has %ld",
                       had_mib, lost_mib, now_mib);
        drive_sleep_ms(10);
    }
}

static void touch(struct drive *d, const char *mib)
{
    char line[64];
    (void)snprintf(line, sizeof line, "touch %s\n", mib);
    drive_send(d, line);
    const char *answer = drive_expect(d, "MV touch ", ANSWER_MS);
    if (!strstr(answer, ", 0 wrong"))
        drive_fail("the guest's memory is not what it wrote: %s", answer);
}

int main(int argc, char **argv)
{
    static struct drive d;
    drive_start(&d, "guest", drive_config(argc - 1, argv + 1, "quiet -- ask"));
    drive_expect(&d, "MV ask ready", 5 * ANSWER_MS);
    long had_mib = free_mib(&d);
    for (unsigned i = 0; i < 3; i++) {
        set_and_wait(&d, PART_MIB);
        expect_lost(&d, had_mib, PART_MIB);
        set_and_wait(&d, 0);
        expect_lost(&d, had_mib, 0);
    }
    touch(&d, "150"); /* what came back is memory */
    set_and_wait(&d, MOST_MIB);
    touch(&d, "100"); /* more than is left: the guest takes from the balloon */
    uint64_t left_mib = balloon_mib(&d);
    printf("%ld MiB free; of %d in the balloon %llu stayed\n", had_mib, MOST_MIB,
           (unsigned long long)left_mib);
    set_and_wait(&d, 0);
    drive_send(&d, "quit\n");
    drive_end_orderly(&d, ANSWER_MS);
    drive_free(&d);
    return 0;
}
