/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm-build [image]: makes a guest's root file system. Flags are the keys of a
 * recipe, whose table the library has; what they mean is its business.
 */
#include "build.h"
#include "machine.h"
#include "places.h"
#include "template.h"
#include "watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECIPE_BYTES_MAX = 1 << 20 };

static const struct flag image_flags[] = {
    {"template", 0, "NAME", "VpnGateway, DevEnvironment, Sandbox, AiAgent, or a file"},
    {"base", 0, "BASE",
     "scratch, dir:PATH, tar:PATH, oci:REFERENCE, alpine:VERSION, debian:RELEASE"},
    {"install", 0, "PACKAGE,...", "Install packages by the base's apt-get or apk"},
    {"add-file", 0, "SOURCE:TARGET[:MODE[:UID]]", "Add a file or folder of the host"},
    {"run", 0, "COMMAND", "Run a command in the image, in a machine; repeatable"},
    {"env", 'e', "NAME=VALUE", "A variable of the guest's command"},
    {"entrypoint", 0, "WORD", "The guest's command, a word at a time"},
    {"cmd", 0, "WORD", "What follows it unless a run says else"},
    {"workdir", 'w', "DIR", "The folder it starts in"},
    {"user", 'u', "USER[:GROUP]", "Who it runs as"},
    {"format", 0, "FORMAT", "initramfs, squashfs (default), ext4, erofs, tar, dir"},
    {"compress", 0, "HOW", "auto (default), none, gzip, zstd, lz4, xz"},
    {"size", 0, "SIZE", "Size of an ext4 file system"},
    {"arch", 0, "ARCH", "x86_64 (default) or arm64"},
    {"devices", 0, "POLICY", "Device nodes: refuse (default), skip, keep"},
    {"epoch", 0, "SECONDS", "The latest time of files and image"},
    {"bundle", 0, NULL,
     "Write a folder with the image, its kernel and a config.json, which runs as it is"},
    {"machine", 0, "JSON",
     "Settings for its config.json, over those of the template; repeatable"},
    {"output", 'o', "FILE", "The image to write"},
    {"recipe", 0, "FILE", "All of these as JSON; flags win or add"},
    {"registry", 0, "HOST", "Where alpine: and debian: are (default: docker.io)"},
    MACHINE_FLAGS,
    {"quiet", 'q', NULL, "No progress, no output of commands, no summary"},
    {NULL, 0, NULL, NULL},
};

static bool is_key(const char *name)
{
    const microvm_key *key;
    for (unsigned i = 0; (key = microvm_recipe_key(i)); i++)
        if (!strcmp(key->name, name))
            return true;
    return false;
}

/* What the library says of a key, people have written as a flag. */
static void flag_before_key(microvm_error *err)
{
    microvm_error plain = *err;
    size_t length = strcspn(plain.message, ":");
    char name[sizeof plain.message];
    memcpy(name, plain.message, length);
    name[length] = '\0';
    if (is_key(name))
        (void)snprintf(err->message, sizeof err->message, "--%.*s",
                       (int)sizeof err->message - 3, plain.message);
}

static bool load_recipe(microvm_recipe *recipe, const char *path)
{
    microvm_error err;
    char *text = malloc(RECIPE_BYTES_MAX + 1);
    FILE *file = fopen(path, "rb");
    size_t length = text && file ? fread(text, 1, RECIPE_BYTES_MAX + 1, file) : 0;
    bool good = text && file && !ferror(file);
    if (!good)
        say("--recipe: '%s' cannot be read", path);
    else if (length > RECIPE_BYTES_MAX)
        say("--recipe: '%s' is larger than 1 MiB: no recipe", path);
    good = good && length <= RECIPE_BYTES_MAX;
    if (good && microvm_recipe_load_json(recipe, path, text, length, &err)) {
        say("%s", err.message);
        good = false;
    }
    if (file)
        (void)fclose(file);
    free(text);
    return good;
}

static bool load_template(microvm_recipe *recipe, const char *name)
{
    struct places data, folders;
    microvm_error err;
    places_of_data(&data);
    template_folders(&folders);
    if (!microvm_recipe_load_template(recipe, name, folders.path, data.path, &err))
        return true;
    say("%s", err.message);
    return false;
}

/* Template and recipe file first, then the flags over them; SOURCE_DATE_EPOCH where
 * neither says anything (reproducible-builds.org/specs/source-date-epoch). */
static microvm_recipe *recipe_from_args(const struct args *args)
{
    microvm_recipe *recipe = microvm_recipe_new();
    const char *path = args_get(args, "recipe"), *epoch = getenv("SOURCE_DATE_EPOCH");
    const char *template = args_get(args, "template");
    if (!recipe) {
        say("no memory");
        return NULL;
    }
    if (epoch && *epoch)
        microvm_recipe_set(recipe, "epoch", epoch);
    if ((template && !load_template(recipe, template)) ||
        (path && !load_recipe(recipe, path))) {
        microvm_recipe_free(recipe);
        return NULL;
    }
    for (int i = 0; i < args->use_count; i++) {
        const struct flag_use *use = &args->uses[i];
        if (is_key(use->own->name) && strcmp(use->own->name, "template"))
            microvm_recipe_set(recipe, use->own->name, use->value ? use->value : "on");
    }
    return recipe;
}

static void say_result(const char *output, const microvm_image_result *result)
{
    char content[BAR_SIZE_TEXT], image[BAR_SIZE_TEXT];
    bar_size(content, result->content_bytes);
    bar_size(image, result->image_bytes);
    if (result->digest[0])
        say("%s: %s of %u files with %s, %s", output, image, result->entries, content,
            result->digest);
    else
        say("%s: %u files with %s", output, result->entries, content);
    if (result->left_away[0])
        say("%s: without %s of the template, not installed here", output,
            result->left_away);
}

static int image_run(const struct args *args)
{
    static struct watch watch; /* large */
    static struct machine machine;
    microvm_error err;
    microvm_image_result result = MICROVM_IMAGE_RESULT_INIT;
    bool quiet = args_get(args, "quiet");
    const char *output = args_get(args, "output");
    if (!args->use_count) {
        say("nothing is said of what to build; '%s help image' lists the flags",
            program.name);
        return STATUS_OURS;
    }
    microvm_recipe *recipe = recipe_from_args(args);
    if (!recipe || !watch_begin(&watch, quiet) ||
        !machine_options(&machine, args, &watch)) {
        microvm_recipe_free(recipe);
        return STATUS_OURS;
    }
    watch.options.registry = args_get(args, "registry");
    watch.options.mkfs_erofs = getenv("MICROVM_MKFS_EROFS");
    int rc = microvm_image_build(recipe, &watch.options, &result, &err);
    microvm_recipe_free(recipe);
    if (rc)
        flag_before_key(&err);
    int status = watch_end(&watch, rc, &err);
    if (!status && !quiet)
        say_result(output ? output : "image", &result);
    return status;
}

const struct command cmd_image = {
    .name = "image",
    .usage = "[OPTIONS] --output FILE",
    .summary = "Make a guest's root file system",
    .details =
        "Examples:\n"
        "  microvm-build --base tar:rootfs.tar.gz --output guest.img\n"
        "  microvm-build --base dir:rootfs --add-file daemon:/usr/bin/daemon \\\n"
        "      --entrypoint /usr/bin/daemon --format ext4 --size 1G -o disk.img\n"
        "  microvm-build --base scratch --add-file init:/init:0755 \\\n"
        "      --format initramfs -o tiny.cpio.gz\n"
        "  microvm-build --base debian:bookworm --install jq --format ext4 -o jq.img\n"
        "  microvm-build --base tar:rootfs.tar --run 'adduser -D me' -o me.img\n"
        "  microvm-build --template VpnGateway -o vpn.cpio.gz\n"
        "  microvm-build --recipe guest.json\n",
    .flags = image_flags,
    .run = image_run,
};
