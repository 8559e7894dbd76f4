/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm stats: counters of the machines, as rates, again every second on a terminal,
 * and what the guest's agent says of memory and load, where there is one.
 */
#include "cli.h"
#include "named.h"
#include "term.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { PERIOD_MS = 1000, GUEST_MS = 1000, SILENT_ROUNDS = 10 };

/* The columns: a counter each, and what it is called. */
static const struct {
    const char *title, *key;
} columns[] = {
    {"EXITS/s", "entries"},          {"IRQS/s", "irqs"},
    {"READ B/s", "disk_read_bytes"}, {"WRITTEN B/s", "disk_write_bytes"},
    {"REQUESTS/s", "disk_requests"}, {"CONSOLE B/s", "console_out_bytes"},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

/* {"memory_bytes": 1, ...} of the guest's agent; NULL without one. */
static json_t *guest_ask(const char *name)
{
    int fd;
    char *reply = NULL;
    const char *key;
    json_t *said, *value;
    json_t *answer = named_try(
        name, "connect", json_pack("{s:I}", "port", (json_int_t)MICROVM_AGENT_PORT),
        &fd, NULL);
    json_decref(answer);
    if (!answer || microvm_agent_ask(fd, "metrics", NULL, GUEST_MS, &reply, NULL))
        return NULL;
    json_t *strings = json_loads(reply, 0, NULL), *numbers = json_object();
    json_object_foreach(strings, key, said)
    {
        value = json_integer(strtoll(json_string_value(said), NULL, 10));
        if (strcmp(key, "version") != 0)
            (void)json_object_set_new(numbers, key, value);
        else
            json_decref(value);
    }
    json_decref(strings);
    microvm_string_free(reply);
    return numbers;
}

/* Adds "guest" to a machine's counters. One that has not answered is left in peace for
 * some rounds: it may take seconds each time. */
static void guest_add(json_t *counters, const char *name, json_t *silent)
{
    json_int_t rounds = json_integer_value(json_object_get(silent, name));
    json_t *guest = rounds ? NULL : guest_ask(name);
    if (guest)
        (void)json_object_set_new(counters, "guest", guest);
    else
        (void)json_object_set_new(silent, name,
                                  json_integer(rounds ? rounds - 1 : SILENT_ROUNDS));
}

/* {name: counters} of the named machines, or of all. NULL after a message. */
static json_t *stats_ask(const struct args *args, json_t *silent)
{
    char **all = args->word_count ? NULL : named_list();
    char **names = args->word_count ? args->words : all;
    json_t *answers = json_object();
    for (int i = 0;
         names && (args->word_count ? i < args->word_count : names[i] != NULL); i++) {
        json_t *answer = all ? named_look(names[i], "stats")
                             : named_ask(names[i], "stats", NULL, NULL);
        if (!answer)
            continue;
        (void)json_object_set_new(answers, names[i], answer);
        guest_add(answer, names[i], silent);
    }
    named_list_free(all);
    if (names && (!args->word_count || json_object_size(answers)))
        return answers;
    json_decref(answers);
    return NULL;
}

/* "12.3 of 251.0 MiB", and of one processor's time */
static void guest_show(const json_t *guest)
{
    double all = (double)json_integer_value(json_object_get(guest, "memory_bytes"));
    double left =
        (double)json_integer_value(json_object_get(guest, "memory_free_bytes"));
    json_int_t load = json_integer_value(json_object_get(guest, "load_1m_milli"));
    char used[32] = "-", busy[32] = "-";
    if (guest) {
        (void)snprintf(used, sizeof used, "%.0f/%.0f MiB", (all - left) / 1048576,
                       all / 1048576);
        (void)snprintf(busy, sizeof busy, "%.2f", (double)load / 1000);
    }
    (void)printf(" %16s %6s\n", used, busy);
}

static void stats_show(json_t *before, json_t *now, double seconds)
{
    const char *name;
    json_t *counters;
    (void)printf("%-18s", "NAME");
    for (unsigned c = 0; c < COLUMNS; c++)
        (void)printf(" %12s", columns[c].title);
    (void)printf(" %16s %6s\n", "GUEST MEMORY", "LOAD");
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
        guest_show(json_object_get(counters, "guest"));
    }
}

static int stats_live(const struct args *args, json_t *before, json_t *silent,
                      bool again)
{
    uint64_t then = uv_hrtime();
    do {
        uv_sleep(PERIOD_MS);
        json_t *now = stats_ask(args, silent);
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
    json_t *silent = json_object(), *first = stats_ask(args, silent);
    int status = first ? 0 : STATUS_OURS;
    if (first && args_get(args, "json")) {
        (void)json_dumpf(first, stdout, JSON_INDENT(4));
        (void)putchar('\n');
        json_decref(first);
        status = finish(0);
    } else if (first) {
        bool again = term_is_terminal(1) && !args_get(args, "no-stream");
        status = stats_live(args, first, silent, again);
    }
    json_decref(silent);
    return status;
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
    .details =
        "What the guest itself uses of its memory, and its load, come from its agent\n"
        "(microvm-init): \"guest\" in the JSON, '-' without one.\n\n"
        "Examples:\n"
        "  microvm stats\n"
        "  microvm stats --json web\n",
    .flags = stats_flags,
    .words = true,
    .run = stats_run,
};
