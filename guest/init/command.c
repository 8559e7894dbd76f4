/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The strings of a request that are a command: what to run, with which variables, where
 * and as whom.
 */
#define _GNU_SOURCE
#include "command.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { STRINGS_MAX = 4096, HOME_BYTES = 4096 };

/* All strings with that key, as a list that ends with NULL; false: too many. */
static bool strings_all(const struct agent_frame *request, const char *key,
                        const char *list[STRINGS_MAX + 1])
{
    const char *at = (const char *)request->data, *end = at + request->length;
    size_t key_length = strlen(key), count = 0;
    for (; at < end; at += strlen(at) + 1) {
        if (strncmp(at, key, key_length) || at[key_length] != '=')
            continue;
        if (count == STRINGS_MAX)
            return false;
        list[count++] = at + key_length + 1;
    }
    list[count] = NULL;
    return true;
}

/* A variable that the client has not set. */
static void env_default(const char *env[], const char *string)
{
    size_t name = strcspn(string, "=") + 1, i = 0;
    while (env[i] && strncmp(env[i], string, name) != 0)
        i++;
    if (env[i])
        return;
    env[i] = string;
    env[i + 1] = NULL;
}

bool command_read(struct session *session, const struct agent_frame *request,
                  struct launch *launch)
{
    static const char *argv[STRINGS_MAX + 1], *env[STRINGS_MAX + 4];
    static char home[HOME_BYTES];
    const char *user = agent_strings_get(request->data, request->length, "user", 0);
    if (!strings_all(request, "arg", argv) || !strings_all(request, "env", env)) {
        session_refuse(session, COMMAND_NOT_RUNNABLE,
                       "more than %d arguments or variables", STRINGS_MAX);
        return false;
    }
    if (!argv[0] || !*argv[0]) {
        session_refuse(session, COMMAND_NOT_RUNNABLE, "there is no command");
        return false;
    }
    (void)strcpy(home, "HOME=/");
    if (user && *user && !launch_user(launch, user, home + 5, HOME_BYTES - 5)) {
        session_refuse(session, COMMAND_NOT_RUNNABLE, "there is no user or group '%s'",
                       user);
        return false;
    }
    env_default(env, "PATH=" LAUNCH_PATH);
    env_default(env, home);
    if (agent_strings_number(request->data, request->length, "tty", 0, 0, 1) == 1)
        env_default(env, "TERM=linux");
    launch->argv = (char *const *)(uintptr_t)argv;
    launch->env = (char *const *)(uintptr_t)env;
    launch->cwd = agent_strings_get(request->data, request->length, "cwd", 0);
    return true;
}

int command_code(const struct launch *launch, const struct launch_failure *failure)
{
    return failure->what == launch->argv[0] && failure->error == ENOENT
               ? COMMAND_NOT_FOUND
               : COMMAND_NOT_RUNNABLE;
}

void command_refuse(struct session *session, const struct launch *launch,
                    const struct launch_failure *failure)
{
    bool folder = !strcmp(failure->what, "chdir");
    session_refuse(session, command_code(launch, failure), "%s%s: %s",
                   folder ? "the working directory " : "",
                   folder ? launch->cwd : failure->what, strerror(failure->error));
}
