/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What every command on images gives the library: progress as a bar, what
 * commands in images say, signals as the wish to stop, and where the user's files are.
 */
#ifndef CLI_BUILD_WATCH_H
#define CLI_BUILD_WATCH_H

#include "bar.h"
#include "places.h"

#include <microvm/image.h>

#include <stddef.h>

enum { WATCH_LINE = 512 };

struct watch {
    microvm_image_options options; /* to be handed on; points into this struct */
    struct bar bar;
    int signal; /* that has come; 0: none */
    char cache[PLACE_BYTES], docker_config[PLACE_BYTES];
    char line[WATCH_LINE]; /* of a command in the image, begun */
    size_t line_length;
};

/* False after a message. */
bool watch_begin(struct watch *watch, bool quiet);
/* Says what went wrong, if anything did (rc not 0). Returns the exit status. */
int watch_end(struct watch *watch, int rc, const microvm_error *err);

#endif
