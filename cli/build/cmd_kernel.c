/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm-build kernel: makes a guest kernel.
 */
#include "build.h"

static int kernel_run(const struct args *args)
{
    (void)args;
    say("kernel: not supported in this build");
    return STATUS_OURS;
}

static const struct flag kernel_flags[] = {
    {NULL, 0, NULL, NULL},
};

const struct command cmd_kernel = {
    .name = "kernel",
    .usage = "[OPTIONS]",
    .summary = "Make a guest kernel",
    .details = "Examples:\n"
               "  microvm-build kernel\n",
    .flags = kernel_flags,
    .run = kernel_run,
};
