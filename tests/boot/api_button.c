/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The power button, from microvm_shutdown to a program in the guest that waits for the
 * key as acpid does and powers off. A press that the guest does not answer is a
 * time-out and leaves the machine running.
 *
 * Usage: api_button KEY=VALUE...
 */
#include "drive.h"

#include <stdio.h>

enum { GUEST_MS = 300000 };

int main(int argc, char **argv)
{
    static struct drive d;
    microvm_error err;
    drive_start(&d, "guest",
                drive_config(argc - 1, argv + 1, "quiet -- button sleep=1 ask"));
    drive_expect(&d, "MV button ready", GUEST_MS);
    int rc = microvm_shutdown(d.vm, 500, &err);
    if (rc != MICROVM_E_TIMEOUT)
        drive_fail("shutdown of a guest that does not power off yet: %d", rc);
    drive_expect(&d, "MV button pressed", GUEST_MS);
    drive_expect(&d, "MV ask ready", GUEST_MS);
    if (microvm_get_state(d.vm) != MICROVM_RUNNING)
        drive_fail("the machine is %s after an unanswered button",
                   microvm_state_name(microvm_get_state(d.vm)));
    drive_send(&d, "quit\n");
    drive_check("shutdown", microvm_shutdown(d.vm, GUEST_MS, &err), &err);
    drive_end_orderly(&d, GUEST_MS);
    drive_free(&d);
    return 0;
}
