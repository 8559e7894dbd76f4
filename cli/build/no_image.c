/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm-build [image]: makes a guest's root file system. There is no builder in this
 * build: the flags are known, and refused.
 */
#include "build.h"

static int image_run(const struct args *args)
{
    (void)args;
    say("images are not supported in this build; 'microvm-build kernel' makes a "
        "kernel");
    return STATUS_OURS;
}

static const struct flag image_flags[] = {
    {"template", 0, "NAME", "Begin with a template"},
    {"base", 0, "BASE", "Begin with a root file system"},
    {"install", 0, "PACKAGE,...", "Install packages of the base"},
    {"add-file", 0, "SOURCE:TARGET", "Add a file of the host"},
    {"output", 'o', "FILE", "The image to write"},
    {NULL, 0, NULL, NULL},
};

const struct command cmd_image = {
    .name = "image",
    .usage = "[OPTIONS] --output FILE",
    .summary = "Make a guest's root file system",
    .details = "Examples:\n"
               "  microvm-build --template velocitty-vpn --output guest.img\n"
               "  microvm-build --base alpine:3.19 --install openvpn -o custom.img\n",
    .flags = image_flags,
    .run = image_run,
};

static int cache_run(const struct args *args)
{
    (void)args;
    say("images are not supported in this build, so there are none to keep");
    return STATUS_OURS;
}

const struct command cmd_cache = {
    .name = "cache",
    .usage = "list | pull IMAGE... | rm IMAGE... | prune",
    .summary = "Images of registries on this computer",
    .details = "Examples:\n"
               "  microvm-build cache list\n",
    .flags = image_flags + sizeof image_flags / sizeof image_flags[0] - 1, /* none */
    .words = true,
    .run = cache_run,
};
