/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Templates: kinds of machines as data files, for `microvm run --template` and
 * `microvm-build --template`. docs/images.md says what stands in them.
 */
#ifndef CLI_TEMPLATE_H
#define CLI_TEMPLATE_H

#include "cli.h"
#include "places.h"

#include <jansson.h>

/* Where templates are looked for by their names: the user's folder, then ours. */
void template_folders(struct places *folders);
/* The template of that name, in the user's folder or ours, or of a file (a name with a
 * '/' or ".json"), with all of those that it begins with; freed by the caller. NULL
 * after a message. Its members, each an object that may be missing: "machine", the
 * settings; "recipe"; and "image", a text. */
json_t *template_load(const char *name);
/* That of --template; NULL without one. False after a message. */
bool template_from_args(const struct args *args, json_t **out);

#endif
