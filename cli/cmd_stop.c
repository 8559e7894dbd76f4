/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Commands that change a running machine and have nothing to show for it but its name:
 * stop, kill, pause, resume; and wait, which only wants to see the end.
 */
#include "cli.h"
#include "named.h"

#include <stdio.h>
#include <stdlib.h>

enum { ASK_MS = 2000 }; /* for an agent to answer */

static int no_names(const char *command)
{
    say("%s: name a machine; 'microvm ps' lists them", command);
    return STATUS_OURS;
}

/* Does the same with every machine that is named, also after one has failed. */
static int each_name(const struct args *args, const char *verb)
{
    int status = 0;
    if (!args->word_count || args->tail_count)
        return no_names(verb);
    for (int i = 0; i < args->word_count; i++) {
        json_t *answer = named_ask(args->words[i], verb, NULL, NULL);
        if (answer)
            (void)puts(args->words[i]);
        else
            status = STATUS_OURS;
        json_decref(answer);
    }
    return finish(status);
}

/* The agent, where there is one: its guest writes its disks and goes by itself, with or
 * without a power button. */
static bool guest_ask(const char *name, int64_t timeout_ms)
{
    int64_t answer_ms = timeout_ms < ASK_MS ? timeout_ms : ASK_MS;
    int fd;
    json_t *answer = named_try(
        name, "connect", json_pack("{s:I}", "port", (json_int_t)MICROVM_AGENT_PORT),
        &fd, NULL);
    json_decref(answer);
    return answer &&
           microvm_agent_ask(fd, "shutdown", NULL, answer_ms, NULL, NULL) == 0;
}

/* All guests are asked before one is waited for, so that they end side by side. */
static int stop_all(const struct args *args, int64_t timeout_ms)
{
    int status = 0;
    bool *asked = calloc((size_t)args->word_count + 1, sizeof *asked);
    for (int i = 0; asked && timeout_ms > 0 && i < args->word_count; i++)
        asked[i] = guest_ask(args->words[i], timeout_ms);
    for (int i = 0; i < args->word_count; i++) {
        json_t *more = json_pack("{s:I, s:b}", "timeout_ms", (json_int_t)timeout_ms,
                                 "asked", asked && asked[i]);
        json_t *answer = named_ask(args->words[i], "stop", more, NULL);
        if (answer)
            (void)puts(args->words[i]);
        else
            status = STATUS_OURS;
        json_decref(answer);
    }
    free(asked);
    return finish(status);
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
    if (!args->word_count || args->tail_count)
        return no_names("stop");
    return stop_all(args, (int64_t)(seconds * 1000));
}

static int kill_run(const struct args *args)
{
    return each_name(args, "kill");
}

static int wait_run(const struct args *args)
{
    int status = 0;
    if (!args->word_count || args->tail_count)
        return no_names("wait");
    for (int i = 0; i < args->word_count; i++) {
        json_t *answer = named_ask(args->words[i], "end", NULL, NULL);
        const json_t *code = json_object_get(answer, "code");
        if (code)
            (void)printf("%lld\n", (long long)json_integer_value(code));
        else
            status = STATUS_OURS;
        json_decref(answer);
    }
    return finish(status);
}

static int pause_run(const struct args *args)
{
    return each_name(args, "pause");
}

static int resume_run(const struct args *args)
{
    return each_name(args, "resume");
}

static const struct flag stop_flags[] = {
    {"time", 't', "SECONDS",
     "How long the guest may take before it is killed (default 10)"},
    {NULL, 0, NULL, NULL},
};

const struct command cmd_stop = {
    .name = "stop",
    .usage = "[-t SECONDS] NAME...",
    .summary = "Power machines off, kill those that do not follow",
    .details =
        "Asks the guest's agent, if it has one, and presses the power button; kills\n"
        "the machine after the time, at once with -t 0. Returns when it has ended,\n"
        "and prints its name.\n\n"
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

const struct command cmd_wait = {
    .name = "wait",
    .usage = "NAME...",
    .summary = "Wait until machines have ended, print their exit statuses",
    .details =
        "One line for each: what 'microvm run' would have ended with there, the\n"
        "main command's status where the guest has one.\n\n"
        "Examples:\n"
        "  microvm wait $(microvm run -d job.img)\n",
    .words = true,
    .run = wait_run,
};
