/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * `microvm run ... -- COMMAND`, `microvm run IMAGE`: a machine for one command.
 */
#ifndef CLI_RUN_COMMAND_H
#define CLI_RUN_COMMAND_H

#include "image.h"

/* Whether the flags fit together; false after a message. Before the process is split.
 * image: NULL for a machine without one. */
bool run_command_check(struct image *image, const struct args *args);
/* In the process whose machine runs under `name`: the command, then the machine's end.
 * The exit status. */
int run_command(struct image *image, const struct args *args, const char *name);
/* The same for a machine that goes on in the background: returns when the command runs,
 * as the guest's main one. When it cannot, the machine is killed. */
int run_main_command(struct image *image, const struct args *args, const char *name);

/* Shuts a machine down, by its agent or its power button, and waits until it has ended.
 */
void run_command_end(const char *name);

#endif
