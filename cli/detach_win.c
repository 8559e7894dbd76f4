/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Detaching is not in the build for Windows yet.
 */
#include "detach.h"

#include "cli.h"

bool detach(int *status)
{
    say("--detach is not in this build for Windows");
    *status = STATUS_OURS;
    return false;
}

void detach_running(const char *name)
{
    (void)name;
}
