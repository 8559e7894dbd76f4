/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The machine in which a build runs commands: what it is started from, and what it
 * says.
 */
#ifndef CLI_BUILD_MACHINE_H
#define CLI_BUILD_MACHINE_H

#include "cli.h"
#include "watch.h"

/* Of a command, as one line of help says it. */
#define MACHINE_FLAGS                                                              \
    {"kernel", 'k', "FILE", "install, run, bundle: that kernel, not the default"}, \
        {"net", 0, "user|none", "install, run: its network (default: user)"},      \
        {"netd", 0, "FILE", "install, run: microvm-netd, where not installed"},    \
    {                                                                              \
        "timeout", 0, "SECONDS", "install, run: for all of them (default 1800)"    \
    }

struct machine {
    char kernel[PLACE_BYTES], initrd[PLACE_BYTES];
};

/* Into the options of `watch`, which points into *machine from then on. False after a
 * message. */
bool machine_options(struct machine *machine, const struct args *args,
                     struct watch *watch);

#endif
