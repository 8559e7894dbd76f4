/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm-build: makes what guests consist of. Building an image is what it is for, so
 * that needs no word: `microvm-build --template NAME --output FILE`.
 */
#include "build.h"

static const struct command cmd_completion = {
    .name = "completion",
    .usage = "bash|zsh|fish",
    .summary = "Print a completion script for a shell",
    .details = "Examples:\n"
               "  source <(microvm-build completion bash)\n"
               "  microvm-build completion zsh > ~/.zfunc/_microvm-build\n",
    .words = true,
    .run = completion_run,
};

static const struct command *const commands[] = {
    &cmd_image, &cmd_cache,      &cmd_kernel, &cmd_version,
    &cmd_help,  &cmd_completion, NULL};

const struct program program = {
    .name = "microvm-build",
    .usage = "[COMMAND] [OPTIONS]",
    .summary = "Makes images and kernels for microVMs. Without a command it makes an "
               "image.\n",
    .hint = "",
    .commands = commands,
    .chief = &cmd_image,
    .implied = true,
};

int main(int argc, char **argv)
{
    return program_main(argc, argv);
}
