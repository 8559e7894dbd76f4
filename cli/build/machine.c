/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The machine of a build: the kernel and the RAM disk that `microvm run` takes too. A
 * build that runs nothing wants neither, so that one is missing is the library's to
 * say.
 */
#include "machine.h"

#include "places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_S_MAX = 86400 };

static bool machine_timeout(const char *text, uint32_t *timeout_ms)
{
    char *end = NULL;
    double seconds = text ? strtod(text, &end) : 0;
    if (text && (end == text || *end || !(seconds > 0) || seconds > TIMEOUT_S_MAX)) {
        say("--timeout %s: give seconds, up to %d", text, TIMEOUT_S_MAX);
        return false;
    }
    *timeout_ms = (uint32_t)(seconds * 1000);
    return true;
}

bool machine_options(struct machine *machine, const struct args *args,
                     struct watch *watch)
{
    microvm_image_options *options = &watch->options;
    const char *net = args_get(args, "net"), *arch = args_get(args, "arch");
    options->kernel = args_get(args, "kernel");
    if (!options->kernel &&
        place_of_kernel(arch ? arch : MICROVM_ARCH, KERNEL_SMALL, machine->kernel))
        options->kernel = machine->kernel;
    if (place_of_data("microvm-init.cpio", machine->initrd))
        options->initrd = machine->initrd;
    options->netd = args_get(args, "netd");
    options->no_net = net && !strcmp(net, "none");
    if (net && !options->no_net && strcmp(net, "user") != 0) {
        say("--net: '%s' is none of user, none", net);
        return false;
    }
    return machine_timeout(args_get(args, "timeout"), &options->timeout_ms);
}
