/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm port: forwards of a machine's user network, listed and changed.
 */
#include "cli.h"
#include "named.h"

#include <stdio.h>
#include <string.h>

static int port_list(const char *name)
{
    size_t i;
    const json_t *port;
    json_t *info = named_ask(name, "info", NULL, NULL);
    if (!info)
        return STATUS_OURS;
    json_array_foreach(json_object_get(info, "ports"), i, port)(void)
        puts(json_string_value(port) ? json_string_value(port) : "");
    json_decref(info);
    return finish(0);
}

static int port_run(const struct args *args)
{
    int words = args->word_count;
    if (words == 1 && !args->tail_count)
        return port_list(args->words[0]);
    bool add = words == 3 && !strcmp(args->words[1], "add");
    bool remove = words == 3 && !strcmp(args->words[1], "rm");
    if ((!add && !remove) || args->tail_count) {
        say("port: write NAME, NAME add [ADDR:]HOST:GUEST[/udp], or NAME rm and the "
            "same");
        return STATUS_OURS;
    }
    json_t *answer =
        named_ask(args->words[0], "publish",
                  json_pack("{s:s}", add ? "add" : "remove", args->words[2]), NULL);
    json_decref(answer);
    return answer ? 0 : STATUS_OURS;
}

const struct command cmd_port = {
    .name = "port",
    .usage = "NAME [add|rm [ADDR:]HOST:GUEST[/udp]]",
    .summary = "List the forwards of a machine, open and close them",
    .details = "Examples:\n"
               "  microvm port web\n"
               "  microvm port web add 8080:80\n"
               "  microvm port web rm 8080:80\n",
    .words = true,
    .run = port_run,
};
