/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The image that `microvm run IMAGE` starts: a file that microvm-build wrote, or any
 * that holds a root file system, a bundle, or an image of a registry; and how it is
 * started.
 */
#ifndef CLI_IMAGE_H
#define CLI_IMAGE_H

#include "exec.h"

struct image {
    const char *word;   /* what the user calls it */
    const char *bundle; /* a folder with a config.json; NULL: it is none */
    const char *file;   /* NULL: a bundle without an image */
    char *disk;         /* of a reference or bundle: the file, else NULL */
    json_t *about;      /* FILE.json, as microvm-build writes it; NULL: there is none */
    const char **argv;  /* of image_command: lists that end with NULL */
    const char **env;
};

/* False after a message. To be closed either way. */
bool image_open(struct image *image, const char *word);
void image_close(struct image *image);
/* What image_command has made. */
void image_lists_free(struct image *image);

/* Of a file: what a machine of it needs, wherever nobody has said anything else: the
 * initial RAM disk with microvm-init, the user network, a socket device. False after a
 * message. */
bool image_settings(const struct image *image, microvm_config *config,
                    const struct args *args);

/* There is something to run, in the image's own word or in the flags'. NULL: no image,
 * and nothing. */
bool image_has_command(const struct image *image, const struct args *args);
/* The command as docker composes it: the image's entrypoint, or --entrypoint, and the
 * words behind "--", or the image's own; its variables under those of --env. False
 * after a message. */
bool image_command(struct image *image, struct exec *exec, const struct args *args);

#endif
