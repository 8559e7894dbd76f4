/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm version, microvm-build version
 */
#include "cli.h"

#include <stdio.h>

static int version_run(const struct args *args)
{
    (void)args;
    (void)printf("%s %s\n", program.name, microvm_version());
    return finish(0);
}

const struct command cmd_version = {
    .name = "version",
    .usage = "",
    .summary = "Show the version of the program and its library",
    .run = version_run,
};
