/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm inspect: everything about machines, as JSON.
 */
#include "cli.h"
#include "named.h"

#include <stdio.h>

static int inspect_run(const struct args *args)
{
    int status = 0;
    json_t *all = json_array();
    if (!args->word_count || args->tail_count) {
        say("inspect: name a machine; 'microvm ps' lists them");
        status = STATUS_OURS;
    }
    for (int i = 0; i < args->word_count; i++) {
        json_t *answer = named_ask(args->words[i], "inspect", NULL, NULL);
        if (answer)
            (void)json_array_append_new(all, answer);
        else
            status = STATUS_OURS;
    }
    if (json_array_size(all)) {
        (void)json_dumpf(all, stdout, JSON_INDENT(4));
        (void)putchar('\n');
    }
    json_decref(all);
    return finish(status);
}

const struct command cmd_inspect = {
    .name = "inspect",
    .usage = "NAME...",
    .summary = "Show everything about machines, as JSON",
    .details = "An array with an object for each: what 'ps' shows, the whole\n"
               "configuration, and the counters.\n\n"
               "Examples:\n"
               "  microvm inspect web\n",
    .words = true,
    .run = inspect_run,
};
