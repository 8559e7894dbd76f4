/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Named machines are not in the build for Windows yet: a machine runs without a name,
 * and the commands that ask for one say so.
 */
#include "named.h"

#include "cli.h"

#include <stddef.h>

static void say_not_here(void)
{
    say("named machines are not in this build for Windows");
}

bool claim_name(struct claim *claim, const char *wanted)
{
    *claim = (struct claim)CLAIM_NONE;
    if (wanted)
        say_not_here();
    return !wanted;
}

void claim_release(struct claim *claim)
{
    *claim = (struct claim)CLAIM_NONE;
}

char **named_list(void)
{
    say_not_here();
    return NULL;
}

void named_list_free(char **names)
{
    (void)names;
}

json_t *named_ask(const char *name, const char *verb, json_t *more, int *stream)
{
    (void)name, (void)verb, (void)stream;
    json_decref(more);
    say_not_here();
    return NULL;
}

json_t *named_try(const char *name, const char *verb, json_t *more, int *stream,
                  microvm_error *err)
{
    (void)name, (void)verb, (void)stream;
    json_decref(more);
    if (err)
        *err = (microvm_error){.code = MICROVM_E_UNSUPPORTED,
                               .message = "named machines are not in this build"};
    return NULL;
}

json_t *named_look(const char *name, const char *verb)
{
    (void)name, (void)verb;
    return NULL;
}
