/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm info: what works on this computer, what does not, why, and how to mend it.
 * Exit status 0 when machines can be started here, else 1.
 */
#include "cli.h"

#include <stdio.h>

enum { BACKENDS_MAX = 8 };

static const struct {
    unsigned bit;
    const char *name;
} info_features[] = {
    {MICROVM_FEATURE_PAUSE, "pause"},
    {MICROVM_FEATURE_SHUTDOWN, "shutdown"},
    {MICROVM_FEATURE_SMP, "smp"},
    {MICROVM_FEATURE_IRQ_SPLIT, "interrupts-split"},
};
enum { FEATURES = sizeof info_features / sizeof info_features[0] };

static void info_line(const char *what, const char *text)
{
    if (*text)
        (void)printf("    %-10s%s\n", what, text);
}

static void info_text(const microvm_backend *backend)
{
    bool colour = colours();
    const char *on = backend->usable ? "\033[32m" : "\033[31m";
    (void)printf("  %s: %s%s%s\n", backend->name, colour ? on : "",
                 backend->usable ? "usable" : "not usable", colour ? "\033[0m" : "");
    info_line("found", backend->detail);
    info_line("reason", backend->reason);
    info_line("to do", backend->fix);
    if (!backend->usable)
        return;
    (void)printf("    %-10s%u in one machine\n    %-10s", "CPUs", backend->cpus_max,
                 "can do");
    const char *between = "";
    for (unsigned i = 0; i < FEATURES; i++) {
        if (backend->features & info_features[i].bit) {
            (void)printf("%s%s", between, info_features[i].name);
            between = ", ";
        }
    }
    (void)printf("%s\n", *between ? "" : "no optional feature");
}

static void info_json_member(const char *name, const char *text)
{
    (void)printf(",\n            \"%s\": ", name);
    put_json_string(text);
}

static void info_json(const microvm_backend *backend)
{
    (void)printf("        {\n            \"name\": ");
    put_json_string(backend->name);
    (void)printf(",\n            \"usable\": %s,\n            \"cpus_max\": %u",
                 backend->usable ? "true" : "false", backend->cpus_max);
    (void)printf(",\n            \"features\": [");
    const char *between = "";
    for (unsigned i = 0; i < FEATURES; i++) {
        if (backend->features & info_features[i].bit) {
            (void)printf("%s\"%s\"", between, info_features[i].name);
            between = ", ";
        }
    }
    (void)printf("]");
    info_json_member("detail", backend->detail);
    info_json_member("reason", backend->reason);
    info_json_member("fix", backend->fix);
    (void)printf("\n        }");
}

static void info_print_json(const microvm_backend *backends, unsigned count)
{
    (void)printf("{\n    \"version\": \"%s\",\n    \"hypervisors\": [",
                 microvm_version());
    for (unsigned i = 0; i < count; i++) {
        (void)printf("%s\n", i ? "," : "");
        info_json(&backends[i]);
    }
    (void)printf("%s]\n}\n", count ? "\n    " : "");
}

static void info_print_text(const microvm_backend *backends, unsigned count)
{
    (void)printf("microvm %s\nhypervisors:\n", microvm_version());
    for (unsigned i = 0; i < count; i++)
        info_text(&backends[i]);
    if (!count)
        (void)printf("  no hypervisor backend in this build\n");
}

static int info_run(const struct args *args)
{
    microvm_backend backends[BACKENDS_MAX] = {{0}};
    bool usable = false;
    for (unsigned i = 0; i < BACKENDS_MAX; i++)
        backends[i].size = sizeof backends[i];
    unsigned count = microvm_probe(backends, BACKENDS_MAX);
    if (count > BACKENDS_MAX)
        count = BACKENDS_MAX;
    for (unsigned i = 0; i < count; i++)
        usable = usable || backends[i].usable;
    if (args_get(args, "json"))
        info_print_json(backends, count);
    else
        info_print_text(backends, count);
    return finish(usable ? 0 : 1);
}

static const struct flag info_flags[] = {
    {"json", 0, NULL, "As JSON, for programs"},
    {NULL, 0, NULL, NULL},
};

const struct command cmd_info = {
    .name = "info",
    .alias = "doctor",
    .usage = "[--json]",
    .summary = "Show what works on this computer, what does not, and why",
    .details = "Exit status: 0 when machines can be started here, else 1.\n",
    .flags = info_flags,
    .run = info_run,
};
