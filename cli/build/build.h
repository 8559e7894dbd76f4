/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The commands of `microvm-build`: one file each, as those of `microvm`.
 */
#ifndef CLI_BUILD_BUILD_H
#define CLI_BUILD_BUILD_H

#include "cli.h"

extern const struct command cmd_image, cmd_cache, cmd_kernel;

#endif
