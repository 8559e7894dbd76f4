/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * There is no image builder for Windows yet, so nobody to hand over to.
 */
#include "handover.h"

#include "cli.h"

int handover(const char *name, char *const *arguments)
{
    (void)arguments;
    say("images need %s, which does not exist for this system yet", name);
    return STATUS_OURS;
}

int handover_ask(const char *name, char *const *arguments, char *line, size_t size)
{
    (void)size;
    line[0] = '\0';
    return handover(name, arguments);
}
