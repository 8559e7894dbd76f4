/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm exec and shell: commands in a machine, by its agent.
 */
#include "cli.h"
#include "exec.h"
#include "term.h"

#include <stdlib.h>
#include <string.h>

enum { AGENT_MS = 10000 };

static int exec_command(const struct args *args)
{
    struct exec exec = {.command = MICROVM_COMMAND_INIT, .wait_ms = AGENT_MS};
    if (args->word_count != 1 || !args->tail_count) {
        say("exec: name a machine and a command, as in 'microvm exec web ls -l'");
        return STATUS_OURS;
    }
    int status =
        exec_from_args(&exec, args) ? exec_in(&exec, args->words[0]) : STATUS_OURS;
    free(exec.env);
    return status;
}

static int shell_command(const struct args *args)
{
    static const char *const argv[] = {
        "/bin/sh", "-c", "test -x /bin/bash && exec /bin/bash -l; exec /bin/sh -l",
        NULL};
    static const char *terminal[2];
    char text[128] = "TERM=";
    struct exec exec = {.command = MICROVM_COMMAND_INIT, .wait_ms = AGENT_MS};
    if (args->word_count != 1 || args->tail_count) {
        say("shell: name a machine; 'microvm ps' lists them");
        return STATUS_OURS;
    }
    bool tty = term_is_terminal(0) && term_is_terminal(1);
    const char *term = getenv("TERM");
    if (tty && term && strlen(term) < sizeof text - 5) {
        (void)strcat(text, term);
        terminal[0] = text;
    }
    exec.command.argv = argv;
    exec.command.env = terminal;
    exec.command.user = args_get(args, "user");
    return exec_streams(&exec, true, tty) ? exec_in(&exec, args->words[0])
                                          : STATUS_OURS;
}

static const struct flag exec_flags[] = {
    {"interactive", 'i', NULL, "Pass standard input to the command"},
    {"tty", 't', NULL, "Give the command a terminal: with -i, this one"},
    {"env", 'e', "NAME=VALUE", "Set a variable; repeatable"},
    {"workdir", 'w', "DIR", "Run it there; / without"},
    {"user", 'u', "USER[:GROUP]",
     "Run it as that user, by name or number; root without"},
    {NULL, 0, NULL, NULL},
};

static const struct flag shell_flags[] = {
    {"user", 'u', "USER[:GROUP]", "As that user, by name or number; root without"},
    {NULL, 0, NULL, NULL},
};

const struct command cmd_exec = {
    .name = "exec",
    .usage = "[-it] [-e NAME=VALUE] [-w DIR] NAME COMMAND [ARG...]",
    .summary = "Run a command in a machine",
    .details =
        "By the agent, microvm-init, which has to run in the guest; the machine needs\n"
        "--vsock. Without -t signals that end this program go to the command.\n\n"
        "Examples:\n"
        "  microvm exec web ps\n"
        "  microvm exec -it web sh\n"
        "  tar c files | microvm exec -i -w /srv web tar x\n\n"
        "Exit status: the command's own; 128 + N when signal N has ended it; 127 when\n"
        "there is no such command, 126 when it cannot be run, 125 when there is no\n"
        "machine or no agent.\n",
    .flags = exec_flags,
    .words = true,
    .command_words = true,
    .run = exec_command,
};

const struct command cmd_shell = {
    .name = "shell",
    .usage = "[-u USER] NAME",
    .summary = "Open a shell in a machine",
    .details = "Examples:\n"
               "  microvm shell web\n"
               "  microvm shell -u nobody web\n",
    .flags = shell_flags,
    .words = true,
    .run = shell_command,
};
