/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm ps: the named machines of this user, as their processes describe themselves.
 */
#include "cli.h"
#include "named.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Each machine's answer; one that has ended meanwhile is left out. NULL after a
 * message. */
static json_t *ps_ask_all(void)
{
    char **names = named_list();
    json_t *all = names ? json_array() : NULL;
    for (unsigned i = 0; all && names[i]; i++) {
        json_t *info = named_look(names[i], "info");
        if (info)
            (void)json_array_append_new(all, info);
    }
    named_list_free(names);
    return all;
}

/* "3 minutes", as docker has it. */
static void ps_age(char *to, size_t size, json_int_t since)
{
    static const struct {
        long seconds;
        const char *name;
    } units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
    long age = (long)(time(NULL) - (time_t)since);
    unsigned u = 0;
    while (u < 3 && age < units[u].seconds)
        u++;
    long n = age > 0 ? age / units[u].seconds : 0;
    (void)snprintf(to, size, "%ld %s%s", n, units[u].name, n == 1 ? "" : "s");
}

static const char *ps_text(const json_t *info, const char *key)
{
    const char *text = json_string_value(json_object_get(info, key));
    return text ? text : "";
}

static void ps_row(const json_t *info)
{
    char age[32], ports[256] = "";
    size_t i;
    const json_t *port;
    json_array_foreach(json_object_get(info, "ports"), i, port)
    {
        size_t used = strlen(ports);
        const char *text = json_string_value(port);
        (void)snprintf(ports + used, sizeof ports - used, "%s%s", i ? ", " : "",
                       text ? text : "");
    }
    ps_age(age, sizeof age, json_integer_value(json_object_get(info, "since")));
    (void)printf("%-18s %-9s %-18s %4lld %7s %8lld  %-12s %s\n", ps_text(info, "name"),
                 ps_text(info, "state"), ps_text(info, "image"),
                 (long long)json_integer_value(json_object_get(info, "cpus")),
                 ps_text(info, "memory"),
                 (long long)json_integer_value(json_object_get(info, "pid")), age,
                 ports);
}

static int ps_run(const struct args *args)
{
    json_t *all = ps_ask_all();
    size_t i;
    const json_t *info;
    if (!all)
        return STATUS_OURS;
    if (args_get(args, "json")) {
        (void)json_dumpf(all, stdout, JSON_INDENT(4));
        (void)putchar('\n');
    } else if (args_get(args, "quiet")) {
        json_array_foreach(all, i, info)(void) puts(ps_text(info, "name"));
    } else {
        (void)printf("%-18s %-9s %-18s %4s %7s %8s  %-12s %s\n", "NAME", "STATE",
                     "IMAGE", "CPUS", "MEMORY", "PID", "SINCE", "PORTS");
        json_array_foreach(all, i, info) ps_row(info);
    }
    json_decref(all);
    return finish(0);
}

static const struct flag ps_flags[] = {
    {"all", 'a', NULL,
     "Accepted: nothing stays of a machine that has ended, so all are shown"},
    {"json", 0, NULL, "As JSON, for programs"},
    {"quiet", 'q', NULL, "Names only"},
    {NULL, 0, NULL, NULL},
};

const struct command cmd_ps = {
    .name = "ps",
    .alias = "ls",
    .usage = "[-a] [-q] [--json]",
    .summary = "List the machines of this user",
    .details = "Examples:\n"
               "  microvm ps\n"
               "  microvm stop $(microvm ps -q)\n",
    .flags = ps_flags,
    .run = ps_run,
};
