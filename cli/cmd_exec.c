/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm exec and shell: commands in a machine, by its agent.
 */
#include "cli.h"
#include "exec.h"
#include "named.h"
#include "term.h"

#include <stdlib.h>
#include <string.h>

enum { AGENT_MS = 10000 };

/* The values of a flag that may stand more than once, as a list that ends with NULL. */
static const char **flag_values(const struct args *args, const char *name)
{
    const char **list = calloc((size_t)args->use_count + 1, sizeof *list);
    int count = 0;
    for (int i = 0; list && i < args->use_count; i++) {
        const struct flag_use *use = &args->uses[i];
        if (use->own && !strcmp(use->own->name, name))
            list[count++] = use->value;
    }
    return list;
}

static bool env_check(const char **env)
{
    for (; *env; env++) {
        if (strchr(*env, '=') && **env != '=')
            continue;
        say("--env %s: write NAME=VALUE", *env);
        return false;
    }
    return true;
}

static int exec_at(struct exec *exec)
{
    int fd;
    json_t *answer =
        named_ask(exec->name, "connect",
                  json_pack("{s:I, s:I}", "port", (json_int_t)MICROVM_AGENT_PORT,
                            "timeout_ms", (json_int_t)exec->wait_ms),
                  &fd);
    if (!answer)
        return STATUS_OURS;
    json_decref(answer);
    return exec_run(exec, fd);
}

/* -t wants a terminal here, too; -i without it reads whatever standard input is. */
static bool exec_streams(struct exec *exec, bool interactive, bool tty)
{
    if (tty && interactive && !term_is_terminal(0)) {
        say("--tty: standard input is no terminal; leave -t away, -i alone reads it");
        return false;
    }
    exec->input = interactive;
    exec->raw = tty && interactive;
    if (interactive)
        exec->command.flags |= MICROVM_COMMAND_INPUT;
    if (!tty)
        return true;
    exec->command.flags |= MICROVM_COMMAND_TTY;
    if (!term_size(&exec->command.columns, &exec->command.rows))
        exec->command.columns = exec->command.rows = 0;
    return true;
}

static int exec_command(const struct args *args)
{
    struct exec exec = {.command = MICROVM_COMMAND_INIT, .wait_ms = AGENT_MS};
    if (args->word_count != 1 || !args->tail_count) {
        say("exec: name a machine and a command, as in 'microvm exec web ls -l'");
        return STATUS_OURS;
    }
    const char **env = flag_values(args, "env");
    int status = STATUS_OURS;
    exec.name = args->words[0];
    exec.command.argv = (const char *const *)args->tail;
    exec.command.env = env;
    exec.command.cwd = args_get(args, "workdir");
    exec.command.user = args_get(args, "user");
    if (env && env_check(env) &&
        exec_streams(&exec, args_get(args, "interactive") != NULL,
                     args_get(args, "tty") != NULL))
        status = exec_at(&exec);
    free(env);
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
    exec.name = args->words[0];
    exec.command.argv = argv;
    exec.command.env = terminal;
    exec.command.user = args_get(args, "user");
    return exec_streams(&exec, true, tty) ? exec_at(&exec) : STATUS_OURS;
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
