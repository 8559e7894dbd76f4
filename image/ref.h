/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * References to images in registries: "alpine", "docker.io/library/alpine:3.19",
 * "localhost:5000/a/b@sha256:...". What is left out is what docker adds: docker.io,
 * library/, latest.
 */
#ifndef MV_IMAGE_REF_H
#define MV_IMAGE_REF_H

#include "digest.h"
#include "util/err.h"

enum {
    MV_REF_HOST = 256,
    MV_REF_NAME = 256,
    MV_REF_TAG = 129,
    MV_REF_TEXT = MV_REF_HOST + MV_REF_NAME + MV_REF_TAG + MV_DIGEST_TEXT
};

struct mv_ref {
    char host[MV_REF_HOST];      /* with its port: "docker.io", "localhost:5000" */
    char name[MV_REF_NAME];      /* "library/alpine" */
    char tag[MV_REF_TAG];        /* "" when there is a digest and no tag */
    char digest[MV_DIGEST_TEXT]; /* "sha256:..." or "" */
};

/* The grammar is that of distribution's package reference. */
int mv_ref_parse(const char *text, struct mv_ref *ref, microvm_error *err);
/* All of it: parsing this gives the same reference. */
void mv_ref_text(const struct mv_ref *ref, char text[MV_REF_TEXT]);

#endif
