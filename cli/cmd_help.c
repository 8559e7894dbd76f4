/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm help [COMMAND], microvm-build help [COMMAND]
 */
#include "cli.h"

static int help_run(const struct args *args)
{
    if (args->word_count + args->tail_count > 1) {
        say("help: name one command");
        return STATUS_OURS;
    }
    if (!args->word_count) {
        help_all();
        return finish(0);
    }
    const struct command *about = command_find(args->words[0]);
    if (!about)
        return STATUS_OURS;
    help_command(about);
    return finish(0);
}

const struct command cmd_help = {
    .name = "help",
    .usage = "[COMMAND]",
    .summary = "Show the commands, or the flags of one of them",
    .words = true,
    .run = help_run,
};
