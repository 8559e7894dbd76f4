/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Several machines at once in one process: each hears only its own console, one can be
 * killed without the others noticing, and they end each in its own way.
 *
 * Usage: api_two KEY=VALUE...
 */
#include "drive.h"

#include <stdio.h>
#include <string.h>

enum { MACHINES = 2, GUEST_MS = 300000 };

int main(int argc, char **argv)
{
    static struct drive d[MACHINES], third;
    static const char *const names[MACHINES] = {"first", "second"};
    char text[64];
    microvm_error err;
    for (int i = 0; i < MACHINES; i++)
        drive_start(&d[i], names[i], drive_config(argc - 1, argv + 1, "quiet -- ask"));
    drive_start(&third, "third", drive_config(argc - 1, argv + 1, "quiet -- spin"));
    for (int i = 0; i < MACHINES; i++)
        drive_expect(&d[i], "MV ask ready", GUEST_MS);
    drive_check("kill", microvm_kill(third.vm, &err), &err);
    drive_free(&third);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < MACHINES; i++) {
            snprintf(text, sizeof text, "echo %s %d\n", names[i], round);
            drive_send(&d[i], text);
        }
        for (int i = 0; i < MACHINES; i++) {
            snprintf(text, sizeof text, "[%s %d]", names[i], round);
            if (strcmp(drive_expect(&d[i], "MV echo ", GUEST_MS), text) != 0)
                drive_fail("%s: round %d came back otherwise", names[i], round);
        }
    }
    for (int i = 0; i < MACHINES; i++)
        drive_send(&d[i], "quit\n");
    for (int i = 0; i < MACHINES; i++) {
        drive_end_orderly(&d[i], GUEST_MS);
        drive_free(&d[i]);
    }
    return 0;
}
