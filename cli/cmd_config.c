/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm config: what `microvm run` with the same flags would use, as JSON that
 * `microvm run --config` takes.
 */
#include "cli.h"
#include "template.h"

#include <stdio.h>
#include <string.h>

/* A kernel is not asked for: half a configuration is what people build on. */
static bool config_is_right(const microvm_config *config)
{
    microvm_error err;
    if (!microvm_config_check(config, &err) ||
        !strncmp(err.message, "kernel: not given", 17))
        return true;
    say_error(&err);
    return false;
}

static int config_run(const struct args *args)
{
    int status = STATUS_OURS;
    json_t *template;
    if (!template_from_args(args, &template))
        return STATUS_OURS;
    microvm_config *config = settings_from_args(args, template, NULL);
    json_decref(template);
    if (config && config_is_right(config)) {
        char *text = microvm_config_to_json(config, args_get(args, "defaults") != NULL);
        if (text)
            (void)printf("%s\n", text);
        else
            say("no memory");
        status = text ? finish(0) : STATUS_OURS;
        microvm_string_free(text);
    }
    microvm_config_free(config);
    return status;
}

static const struct flag config_flags[] = {
    {"template", 0, "NAME", "Begin with a template, as run does"},
    {"config", 0, "FILE", "Read settings from a JSON file, - is standard input"},
    {"allow", 0, "TARGET",
     "The user network leads to this NAME, *.NAME or CIDR, with :PORT and /udp or "
     "without; the first of all --allow and --deny that matches decides, and with any "
     "--allow the rest is denied"},
    {"deny", 0, "TARGET", "The user network does not lead there"},
    {"defaults", 0, NULL, "Show settings that have their default value too"},
    {NULL, 0, NULL, NULL},
};

const struct command cmd_config = {
    .name = "config",
    .usage = "[OPTIONS]",
    .summary = "Show the effective configuration of a run as JSON",
    .details = "Examples:\n"
               "  microvm config --defaults\n"
               "  microvm config --kernel vmlinuz -m 1G > vm.json\n"
               "  microvm run --config vm.json --cpus 2\n",
    .flags = config_flags,
    .machine_flags = true,
    .run = config_run,
};
