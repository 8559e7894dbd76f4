/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Commands in a guest: what the flags of exec and run say of them, and the way to the
 * agent of a named machine.
 */
#include "exec.h"

#include "named.h"
#include "term.h"

#include <stdlib.h>
#include <string.h>

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

/* -t wants a terminal here, too; -i without it reads whatever standard input is. */
bool exec_streams(struct exec *exec, bool interactive, bool tty)
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

bool exec_from_args(struct exec *exec, const struct args *args)
{
    const char **env = flag_values(args, "env");
    exec->command.argv = (const char *const *)args->tail;
    exec->command.env = exec->env = env;
    exec->command.cwd = args_get(args, "workdir");
    exec->command.user = args_get(args, "user");
    return env && env_check(env) &&
           exec_streams(exec, args_get(args, "interactive") != NULL,
                        args_get(args, "tty") != NULL);
}

int exec_connect(const char *name, int64_t wait_ms, microvm_error *err)
{
    int fd;
    json_t *more = json_pack("{s:I, s:I}", "port", (json_int_t)MICROVM_AGENT_PORT,
                             "timeout_ms", (json_int_t)wait_ms);
    json_t *answer = err ? named_try(name, "connect", more, &fd, err)
                         : named_ask(name, "connect", more, &fd);
    json_decref(answer);
    return answer ? fd : -1;
}

int exec_in(const struct exec *exec, const char *name)
{
    int fd = exec_connect(name, exec->wait_ms, NULL);
    return fd < 0 ? STATUS_OURS : exec_run(exec, fd);
}

int exec_refused(const microvm_error *err)
{
    if (err->code == MICROVM_E_INVALID && err->os_code) {
        say("exec: %s", err->message);
        return err->os_code;
    }
    say_error(err);
    return STATUS_OURS;
}
