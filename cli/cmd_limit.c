/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm limit: other rate limits for a running machine's devices.
 */
#include "cli.h"
#include "named.h"

#include <stdio.h>

static int limit_run(const struct args *args)
{
    if (args->word_count < 2 || args->tail_count) {
        say("limit: name a machine and a limit, as in 'microvm limit web "
            "disk:10M/s,500'");
        return STATUS_OURS;
    }
    json_t *limits = json_array();
    for (int i = 1; i < args->word_count; i++)
        (void)json_array_append_new(limits, json_string(args->words[i]));
    json_t *answer =
        named_ask(args->words[0], "limit", json_pack("{s:o}", "limits", limits), NULL);
    if (!answer)
        return STATUS_OURS;
    json_decref(answer);
    return finish(0);
}

const struct command cmd_limit = {
    .name = "limit",
    .usage = "NAME DEVICE:BYTES[/s][,OPS][,burst=TIME]...",
    .summary = "Change what a machine's disks and network may do a second",
    .details =
        "DEVICE is disk or net (all of them), disk=NAME or net=NAME. 0 is no "
        "limit.\n"
        "A new limit replaces the old one wholly, OPS and burst too. Of several\n"
        "all are set or, when one is wrong, none; 'microvm inspect' shows them.\n\n"
        "Examples:\n"
        "  microvm limit web disk:10M/s,500\n"
        "  microvm limit web net:1M/s disk=vdb:0\n",
    .words = true,
    .run = limit_run,
};
