/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Detaching is not in the build for Windows yet.
 */
#include "detach.h"

#include "cli.h"

bool detach(char *name, size_t size, int *status)
{
    (void)size;
    *name = '\0';
    say("--detach is not in this build for Windows");
    *status = STATUS_OURS;
    return false;
}

bool detach_for(char *name, size_t size, int *status)
{
    (void)size;
    *name = '\0';
    say("commands in a guest are not in this build for Windows");
    *status = STATUS_OURS;
    return false;
}

int detach_ended(int wait_ms)
{
    (void)wait_ms;
    return -1;
}

int detach_life(void)
{
    return -1;
}

void detach_running(const char *name)
{
    (void)name;
}
