/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Credentials for registries, from the file that docker login writes. Pure.
 */
#ifndef MV_IMAGE_CREDENTIALS_H
#define MV_IMAGE_CREDENTIALS_H

#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>

enum { MV_CREDENTIALS = 1024 };

/* "name:password" for a registry, "" when the file has none. *helper: the file says
 * that a program keeps them, which is not asked. */
int mv_credentials_find(const char *text, size_t length, const char *host,
                        char user[MV_CREDENTIALS], bool *helper, microvm_error *err);

/* One parameter of a challenge, `Bearer realm="...",service="..."`; false: not there,
 * or longer than `size`. */
bool mv_challenge_get(const char *challenge, const char *name, char *value,
                      size_t size);

#endif
