/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A program of commands: finding the one that is meant, and running it. `--help` and
 * `--version` are what everybody tries first, so they are commands too.
 */
#include "cli.h"

#include <string.h>

enum { NAMES_MAX = 64 };

static const struct command *command_named(const char *name)
{
    for (const struct command *const *c = program.commands; *c; c++)
        if (!strcmp(name, (*c)->name) || ((*c)->alias && !strcmp(name, (*c)->alias)))
            return *c;
    return NULL;
}

const struct command *command_find(const char *name)
{
    const char *names[NAMES_MAX];
    unsigned count = 0;
    const struct command *found = command_named(name);
    if (found)
        return found;
    for (const struct command *const *c = program.commands; *c && count + 2 < NAMES_MAX;
         c++) {
        names[count++] = (*c)->name;
        if ((*c)->alias)
            names[count++] = (*c)->alias;
    }
    names[count] = NULL;
    const char *nearest = microvm_nearest(name, names);
    if (nearest)
        say("unknown command '%s': did you mean '%s'?", name, nearest);
    else
        say("unknown command '%s'; '%s help' lists them", name, program.name);
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

int program_main(int argc, char **argv)
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
    else if (name[0] == '-' && program.implied)
        return command_run(program.chief, argc, argv);
    else if (name[0] == '-') {
        say("'%s' stands before the command; write %s %s", name, program.name,
            program.usage);
        return STATUS_OURS;
    }
    const struct command *command = command_find(name);
    return command ? command_run(command, argc - 1, argv + 1) : STATUS_OURS;
}
