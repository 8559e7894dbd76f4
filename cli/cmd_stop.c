/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Commands that change a running machine and have nothing to show for it but its name:
 * stop, kill, pause, resume.
 */
#include "cli.h"
#include "named.h"

#include <stdio.h>
#include <stdlib.h>

/* Does the same with every machine that is named, also after one has failed. */
static int each_name(const struct args *args, const char *command, const char *verb,
                     json_t *more)
{
    int status = 0;
    if (!args->word_count || args->tail_count) {
        say("%s: name a machine; 'microvm ps' lists them", command);
        return STATUS_OURS;
    }
    for (int i = 0; i < args->word_count; i++) {
        json_t *answer = named_ask(args->words[i], verb, json_copy(more), NULL);
        if (answer)
            (void)puts(args->words[i]);
        else
            status = STATUS_OURS;
        json_decref(answer);
    }
    return finish(status);
}

static int plain(const struct args *args, const char *verb)
{
    json_t *more = json_object();
    int status = each_name(args, verb, verb, more);
    json_decref(more);
    return status;
}

static int stop_run(const struct args *args)
{
    const char *text = args_get(args, "time");
    char *end = NULL;
    double seconds = text ? strtod(text, &end) : 10;
    if (text && (end == text || *end || !(seconds >= 0) || seconds > 86400)) {
        say("--time %s: give seconds, 0 to 86400", text);
        return STATUS_OURS;
    }
    json_t *more = json_pack("{s:I}", "timeout_ms", (json_int_t)(seconds * 1000));
    int status = each_name(args, "stop", "stop", more);
    json_decref(more);
    return status;
}

static int kill_run(const struct args *args)
{
    return plain(args, "kill");
}

static int pause_run(const struct args *args)
{
    return plain(args, "pause");
}

static int resume_run(const struct args *args)
{
    return plain(args, "resume");
}

static const struct flag stop_flags[] = {
    {"time", 't', "SECONDS",
     "How long the guest may take before it is killed (default 10)"},
    {NULL, 0, NULL, NULL},
};

const struct command cmd_stop = {
    .name = "stop",
    .usage = "[-t SECONDS] NAME...",
    .summary = "Press the power button of machines, kill those that do not follow",
    .details = "Returns when the machine has ended, and prints its name.\n\n"
               "Examples:\n"
               "  microvm stop web\n"
               "  microvm stop -t 60 web database\n",
    .flags = stop_flags,
    .words = true,
    .run = stop_run,
};

const struct command cmd_kill = {
    .name = "kill",
    .usage = "NAME...",
    .summary = "End machines at once",
    .details = "Examples:\n  microvm kill web\n",
    .words = true,
    .run = kill_run,
};

const struct command cmd_pause = {
    .name = "pause",
    .usage = "NAME...",
    .summary = "Let machines stand still",
    .details = "No vCPU runs and no device works until 'microvm resume'.\n\n"
               "Examples:\n  microvm pause web\n",
    .words = true,
    .run = pause_run,
};

const struct command cmd_resume = {
    .name = "resume",
    .alias = "unpause",
    .usage = "NAME...",
    .summary = "Let paused machines go on",
    .details = "Examples:\n  microvm resume web\n",
    .words = true,
    .run = resume_run,
};
