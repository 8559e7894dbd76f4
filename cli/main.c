/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm: the table of commands, and finding the one that is meant. `microvm --help`
 * and `microvm --version` are what everybody tries first, so they are commands too.
 */
#include "cli.h"

#include <string.h>

const struct command *const commands[] = {
    &cmd_run,     &cmd_ps,      &cmd_stop,       &cmd_kill,   &cmd_pause, &cmd_resume,
    &cmd_exec,    &cmd_shell,   &cmd_logs,       &cmd_attach, &cmd_port,  &cmd_net,
    &cmd_limit,   &cmd_connect, &cmd_inspect,    &cmd_stats,  &cmd_info,  &cmd_config,
    &cmd_version, &cmd_help,    &cmd_completion, NULL};

enum { NAMES_MAX = 64 };

const struct command *command_find(const char *name)
{
    const char *names[NAMES_MAX];
    unsigned count = 0;
    for (const struct command *const *c = commands; *c; c++) {
        if (!strcmp(name, (*c)->name) || ((*c)->alias && !strcmp(name, (*c)->alias)))
            return *c;
        if (count + 2 < NAMES_MAX) {
            names[count++] = (*c)->name;
            if ((*c)->alias)
                names[count++] = (*c)->alias;
        }
    }
    names[count] = NULL;
    const char *nearest = microvm_nearest(name, names);
    if (nearest)
        say("unknown command '%s': did you mean '%s'?", name, nearest);
    else
        say("unknown command '%s'; 'microvm help' lists them", name);
    return NULL;
}

static int command_run(const struct command *command, int argc, char **argv)
{
    struct args args;
    int status = STATUS_OURS;
    if (args_parse(&args, command, argc, argv)) {
        if (args_get(&args, "help")) {
            help_command(command);
            status = finish(0);
        } else {
            status = command->run(&args);
        }
    }
    args_free(&args);
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        help_all();
        return finish(STATUS_OURS);
    }
    const char *name = argv[1];
    if (!strcmp(name, "--help") || !strcmp(name, "-h"))
        name = "help";
    else if (!strcmp(name, "--version") || !strcmp(name, "-V"))
        name = "version";
    else if (name[0] == '-') {
        say("'%s' stands before the command; write microvm COMMAND [OPTIONS], for "
            "example microvm run --kernel FILE",
            name);
        return STATUS_OURS;
    }
    const struct command *command = command_find(name);
    return command ? command_run(command, argc - 1, argv + 1) : STATUS_OURS;
}
