/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * HTTP by libcurl, as much of it as registries need: GET, with what authenticates, into
 * a callback. https everywhere; plain http only to this computer itself, where
 * registries for tests and development are.
 */
#ifndef MV_IMAGE_HTTP_H
#define MV_IMAGE_HTTP_H

#include "progress.h"
#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MV_HTTP_URL = 4096, MV_HTTP_CHALLENGE = 1024, MV_HTTP_TOKEN = 16384 };

struct mv_http; /* connections are kept between requests */

int mv_http_new(struct mv_http **http, microvm_error *err);
void mv_http_free(struct mv_http *http);

struct mv_http_get {
    const char *url;
    const char *accept; /* media types, or NULL */
    const char *bearer; /* token, or NULL; never sent to another host of a redirect */
    const char *user;   /* "name:password" for basic authentication, or NULL */
    uint64_t from;      /* first byte wanted; 0: all */
    uint64_t bytes_max; /* of the answer; more is an error */
    const char *what;   /* for progress and messages */
    const struct mv_progress *progress;
    uint64_t total; /* for progress; 0: not known */
    /* Bytes of the body of a 200 or 206, in order; an error ends it. `begin` is called
     * before the first and says whether the answer is a part, beginning at `from`. */
    int (*begin)(void *opaque, bool partial, microvm_error *err); /* or NULL */
    int (*take)(void *opaque, const void *data, size_t length, microvm_error *err);
    void *opaque;
};

struct mv_http_answer {
    long status;
    char challenge[MV_HTTP_CHALLENGE]; /* WWW-Authenticate, or "" */
    bool broken; /* the connection, not the answer: trying again may help */
};

/* 0 when there was an answer with any status; answer->status says which. */
int mv_http_run(struct mv_http *http, const struct mv_http_get *get,
                struct mv_http_answer *answer, microvm_error *err);

/* The scheme for a host: "http" for this computer, else "https". */
const char *mv_http_scheme(const char *host);

#endif
