/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Passwords come from files, never from the command line, which everybody can read.
 */
#ifndef CLI_SECRET_H
#define CLI_SECRET_H

#include <stdbool.h>
#include <stddef.h>

enum { SECRET_BYTES = 256, SECRET_ROOM = SECRET_BYTES + 2 };

/* The first line of a file, "-" is standard input, up to 255 bytes; false after a
 * message that names the flag. */
bool secret_read(const char *flag, const char *path, char out[SECRET_ROOM]);
/* Zeros, which the compiler must not leave away. */
void secret_wipe(void *secret, size_t size);

#endif
