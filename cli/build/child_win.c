/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Children on Windows: none, as what they would run are shell scripts.
 */
#include "child.h"

#include "cli.h"

int child_run(const char *const argv[], child_line_fn *line, void *opaque)
{
    (void)argv, (void)line, (void)opaque;
    say("kernels are not built on Windows: build it on Linux, or in WSL, and take the "
        "file with you");
    return STATUS_OURS;
}

int child_ask(const char *const argv[], const char *line, char *answer, size_t size,
              int *ended_us)
{
    (void)argv, (void)line, (void)answer, (void)size;
    *ended_us = 0;
    return -1;
}
