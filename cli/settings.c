/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * From flags to a configuration. A template, a bundle and files given with --config
 * come first, in this order, whatever the order on the command line: a flag always
 * wins. What the library calls "memory" was --memory here, and is called so in
 * messages.
 */
#include "cli.h"
#include "places.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void say_error(const microvm_error *err)
{
    for (unsigned i = 0; microvm_config_key(i); i++) {
        const char *name = microvm_config_key(i)->name;
        size_t length = strlen(name);
        if (!strncmp(err->message, name, length) && err->message[length] == ':' &&
            (err->code == MICROVM_E_INVALID || err->code == MICROVM_E_MEMORY)) {
            say("--%s", err->message);
            return;
        }
    }
    say("%s", err->message);
}

enum { INPUT_MAX = 1 << 20 };

/* --config - : from standard input. */
static int settings_from_input(microvm_config *config, microvm_error *err)
{
    char *text = malloc(INPUT_MAX);
    size_t length = text ? fread(text, 1, INPUT_MAX, stdin) : 0;
    int rc = microvm_config_load_json(config, text ? text : "", length, err);
    free(text);
    return rc;
}

static bool settings_load(microvm_config *config, const char *path)
{
    microvm_error err;
    int rc = strcmp(path, "-") ? microvm_config_load_file(config, path, &err)
                               : settings_from_input(config, &err);
    if (rc)
        say("%s%s", strcmp(path, "-") ? "" : "--config -: ", err.message);
    return !rc;
}

/* --allow and --deny are rules in one list, in the order in which they are given. */
static void settings_rule(microvm_config *config, const struct flag_use *use)
{
    char rule[400];
    (void)snprintf(rule, sizeof rule, "%s %s", use->own->name, use->value);
    microvm_config_set(config, "egress", rule);
}

static bool settings_load_bundle(microvm_config *config, const char *bundle)
{
    microvm_error err;
    int rc = bundle ? microvm_config_load_bundle(config, bundle, &err) : 0;
    if (rc)
        say("%s", err.message);
    return !rc;
}

/* What the template says of the machine goes below all else. */
static bool settings_load_template(microvm_config *config, const json_t *template,
                                   const char *name)
{
    microvm_error err;
    json_t *machine = json_object_get(template, "machine");
    char *text = machine ? json_dumps(machine, JSON_COMPACT) : NULL;
    int rc = text ? microvm_config_load_json(config, text, strlen(text), &err) : 0;
    if (rc)
        say("--template %s: %s", name, err.message);
    free(text);
    return !rc;
}

microvm_config *settings_from_args(const struct args *args, const json_t *template,
                                   const char *bundle)
{
    microvm_config *config = microvm_config_new();
    if (!config) {
        say("no memory");
        return NULL;
    }
    bool ok = settings_load_template(config, template, args_get(args, "template")) &&
              settings_load_bundle(config, bundle);
    for (int i = 0; i < args->use_count && ok; i++) {
        const struct flag_use *use = &args->uses[i];
        if (use->own && !strcmp(use->own->name, "config"))
            ok = settings_load(config, use->value);
    }
    for (int i = 0; i < args->use_count; i++) {
        const struct flag_use *use = &args->uses[i];
        if (use->key)
            microvm_config_set(config, use->key->name, use->value ? use->value : "on");
        else if (!strcmp(use->own->name, "allow") || !strcmp(use->own->name, "deny"))
            settings_rule(config, use);
    }
    if (ok)
        return config;
    microvm_config_free(config);
    return NULL;
}

json_t *settings_json(const microvm_config *config)
{
    char *text = microvm_config_to_json(config, 0);
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;
    microvm_string_free(text);
    return json;
}

void settings_name(const microvm_config *config, char *name, size_t size)
{
    json_t *json = settings_json(config);
    const char *found = json_string_value(json_object_get(json, "name"));
    (void)snprintf(name, size, "%s", found ? found : "");
    json_decref(json);
}

bool settings_want_kernel(microvm_config *config)
{
    static const char *const started[] = {"initrd", "rootfs", "image", "disks"};
    char path[PLACE_BYTES];
    json_t *json = settings_json(config);
    bool wanted = false;
    for (unsigned i = 0; i < 4; i++)
        wanted |= json_object_get(json, started[i]) != NULL;
    wanted &= !json_object_get(json, "kernel");
    json_decref(json);
    if (!wanted)
        return true;
    if (!place_of_kernel(MICROVM_ARCH, KERNEL_QUICK, path)) {
        say("there is no kernel: 'microvm-build kernel' makes one, once, in some minutes; "
            "or name one with --kernel FILE");
        return false;
    }
    microvm_config_set(config, "kernel", path);
    return true;
}

void settings_want_vsock(microvm_config *config)
{
    json_t *json = settings_json(config);
    if (!json_object_get(json, "vsock"))
        microvm_config_set(config, "vsock", "cid=3");
    json_decref(json);
}

json_t *settings_ports(const microvm_config *config)
{
    json_t *json = settings_json(config);
    json_t *ports = json_incref(json_object_get(json, "publish"));
    json_decref(json);
    return ports ? ports : json_array();
}
