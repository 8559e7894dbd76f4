/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Credentials for registries, from the file that docker login writes. Pure.
 */
#ifndef MV_IMAGE_CREDENTIALS_H
#define MV_IMAGE_CREDENTIALS_H

#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    MV_CREDENTIALS = 8192,        /* some clouds' passwords are tokens of 3 KiB */
    MV_CREDENTIALS_HELPER = 64,   /* a program's name, without docker-credential- */
    MV_CREDENTIALS_ANSWER = 16384 /* of such a program */
};

/* "name:password" for a registry, "" when the file has none. helper: the program that
 * keeps them, as the file says, or "": it goes before what the file has itself. */
int mv_credentials_find(const char *text, size_t length, const char *host,
                        char user[MV_CREDENTIALS], char helper[MV_CREDENTIALS_HELPER],
                        microvm_error *err);

/* What to ask a helper for: "https://index.docker.io/v1/" for docker.io. */
const char *mv_credentials_server(const char *host);
/* A helper's answer and exit status; "" when it has none for this registry. */
int mv_credentials_answer(const char *helper, int status, const char *answer,
                          char user[MV_CREDENTIALS], microvm_error *err);

/* One parameter of a challenge, `Bearer realm="...",service="..."`; false: not there,
 * or longer than `size`. */
bool mv_challenge_get(const char *challenge, const char *name, char *value,
                      size_t size);

#endif
