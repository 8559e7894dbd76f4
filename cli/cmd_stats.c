/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm stats: counters of the machines, as rates, again every second on a terminal.
 */
#include "cli.h"
#include "named.h"
#include "term.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

enum { PERIOD_MS = 1000 };

/* The columns: a counter each, and what it is called. */
static const struct {
    const char *title, *key;
} columns[] = {
    {"EXITS/s", "entries"},          {"IRQS/s", "irqs"},
    {"READ B/s", "disk_read_bytes"}, {"WRITTEN B/s", "disk_write_bytes"},
    {"REQUESTS/s", "disk_requests"}, {"CONSOLE B/s", "console_out_bytes"},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

/* {name: counters} of the named machines, or of all. NULL after a message. */
static json_t *stats_ask(const struct args *args)
{
    char **all = args->word_count ? NULL : named_list();
    char **names = args->word_count ? args->words : all;
    json_t *answers = json_object();
    for (int i = 0;
         names && (args->word_count ? i < args->word_count : names[i] != NULL); i++) {
        json_t *answer = all ? named_look(names[i], "stats")
                             : named_ask(names[i], "stats", NULL, NULL);
        if (answer)
            (void)json_object_set_new(answers, names[i], answer);
    }
    named_list_free(all);
    if (names && (!args->word_count || json_object_size(answers)))
        return answers;
    json_decref(answers);
    return NULL;
}

static void stats_show(json_t *before, json_t *now, double seconds)
{
    const char *name;
    json_t *counters;
    (void)printf("%-18s", "NAME");
    for (unsigned c = 0; c < COLUMNS; c++)
        (void)printf(" %12s", columns[c].title);
    (void)putchar('\n');
    json_object_foreach(now, name, counters)
    {
        const json_t *old = json_object_get(before, name);
        (void)printf("%-18s", name);
        for (unsigned c = 0; c < COLUMNS; c++) {
            json_int_t from = json_integer_value(json_object_get(old, columns[c].key));
            json_int_t to =
                json_integer_value(json_object_get(counters, columns[c].key));
            (void)printf(" %12.0f", old ? (double)(to - from) / seconds : 0.0);
        }
        (void)putchar('\n');
    }
}

static int stats_live(const struct args *args, json_t *before, bool again)
{
    uint64_t then = uv_hrtime();
    do {
        uv_sleep(PERIOD_MS);
        json_t *now = stats_ask(args);
        uint64_t at = uv_hrtime();
        if (!now)
            break;
        if (again)
            (void)fputs("\033[H\033[2J", stdout); /* home, and nothing below it */
        stats_show(before, now, (double)(at - then) / 1e9);
        (void)fflush(stdout);
        json_decref(before);
        before = now;
        then = at;
    } while (again && !ferror(stdout));
    json_decref(before);
    return finish(0);
}

static int stats_run(const struct args *args)
{
    json_t *first = stats_ask(args);
    if (!first)
        return STATUS_OURS;
    if (!args_get(args, "json")) {
        bool again = term_is_terminal(1) && !args_get(args, "no-stream");
        return stats_live(args, first, again);
    }
    (void)json_dumpf(first, stdout, JSON_INDENT(4));
    (void)putchar('\n');
    json_decref(first);
    return finish(0);
}

static const struct flag stats_flags[] = {
    {"no-stream", 0, NULL, "Once, also on a terminal"},
    {"json", 0, NULL, "The counters themselves, once, as JSON"},
    {NULL, 0, NULL, NULL},
};

const struct command cmd_stats = {
    .name = "stats",
    .usage = "[--no-stream] [--json] [NAME...]",
    .summary = "Show what machines do, as rates over a second",
    .details = "Examples:\n"
               "  microvm stats\n"
               "  microvm stats --json web\n",
    .flags = stats_flags,
    .words = true,
    .run = stats_run,
};
