/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Files that came with the programs, in recipes of templates: "{vpnd}:/usr/sbin/vpnd".
 */
#ifndef CLI_BUILD_OURS_H
#define CLI_BUILD_OURS_H

#include <jansson.h>
#include <stdbool.h>

/* Puts the paths into the recipe's "add-file". False after a message. */
bool ours_expand(const char *name, json_t *recipe);

#endif
