/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A file of text, read whole and at once: settings, templates. */
#ifndef MV_API_TEXT_H
#define MV_API_TEXT_H

#include "util/err.h"

#include <stddef.h>

/* *out is the caller's, to be freed, with a NUL after its *length bytes. `what` begins
 * the error's message: "configuration". What is larger than 1 MiB is INVALID. */
int mv_text_read(const char *what, const char *path, char **out, size_t *length,
                 microvm_error *err);

#endif
