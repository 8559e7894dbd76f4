/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm net: the network devices of a machine, listed; the helper behind a user
 * network, started again after it has ended.
 */
#include "cli.h"
#include "named.h"

#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *nic, const char *key)
{
    const char *text = json_string_value(json_object_get(nic, key));
    return text ? text : "";
}

static int net_list(const char *name)
{
    size_t i;
    const json_t *nic;
    json_t *answer = named_ask(name, "net", NULL, NULL);
    if (!answer)
        return STATUS_OURS;
    (void)printf("%-20s  %-10s  %-17s  LINK\n", "ID", "BACKING", "ADDRESS");
    json_array_foreach(json_object_get(answer, "nets"), i, nic)(void)
        printf("%-20s  %-10s  %-17s  %s\n", text_of(nic, "id"), text_of(nic, "backing"),
               text_of(nic, "mac"), text_of(nic, "link"));
    json_decref(answer);
    return finish(0);
}

static int net_run(const struct args *args)
{
    int words = args->word_count;
    if (words == 1 && !args->tail_count)
        return net_list(args->words[0]);
    if (words < 2 || words > 3 || args->tail_count ||
        strcmp(args->words[1], "restart") != 0) {
        say("net: write NAME, or NAME restart and the device's id");
        return STATUS_OURS;
    }
    json_t *more = words == 3 ? json_pack("{s:s}", "restart", args->words[2])
                              : json_pack("{s:n}", "restart");
    json_t *answer = named_ask(args->words[0], "net", more, NULL);
    json_decref(answer);
    return answer ? 0 : STATUS_OURS;
}

const struct command cmd_net = {
    .name = "net",
    .usage = "NAME [restart [ID]]",
    .summary = "List the network devices of a machine, restart a user network",
    .details = "A link is down when what is behind the device has gone, microvm-netd\n"
               "for instance. 'restart' starts that anew, with the same policy and\n"
               "forwards; without an ID the first user network's.\n\n"
               "Examples:\n"
               "  microvm net web\n"
               "  microvm net web restart\n",
    .words = true,
    .run = net_run,
};
