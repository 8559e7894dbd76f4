/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An image's file, and its own word on how it is started (docs/images.md). Of what is
 * no file system (an archive, a folder, a reference) microvm-build makes a disk.
 */
#include "image.h"

#include "handover.h"
#include "places.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* As docker and shells tell them apart: what begins with a dot or a slash is a file. */
static bool image_is_reference(const char *word)
{
    struct stat info;
    return stat(word, &info) < 0 && errno == ENOENT && *word != '.' && *word != '/';
}

static bool image_is_file(const char *word)
{
    struct stat info;
    if (stat(word, &info) < 0) {
        say("'%s': %s", word, strerror(errno));
        return false;
    }
    return true;
}

static bool image_is_folder(const char *word)
{
    struct stat info;
    return stat(word, &info) == 0 && (info.st_mode & S_IFMT) == S_IFDIR;
}

/* What has none of these is no root file system, but perhaps the wrong folder. */
static bool image_is_root(const char *word)
{
    static const char *const signs[] = {"bin", "sbin", "usr", "etc", "init"};
    char path[PLACE_BYTES];
    struct stat info;
    for (unsigned i = 0; i < sizeof signs / sizeof signs[0]; i++)
        if (snprintf(path, sizeof path, "%s/%s", word, signs[i]) < (int)sizeof path &&
            stat(path, &info) == 0)
            return true;
    say("'%s' is neither a bundle (it has no config.json) nor a root file system (it has "
        "no bin, usr, etc or init)",
        word);
    return false;
}

static bool image_is_bundle(const char *word)
{
    char path[PLACE_BYTES];
    struct stat info;
    return snprintf(path, sizeof path, "%s/config.json", word) < (int)sizeof path &&
           stat(path, &info) == 0;
}

/* Read here for the image that it names, and again with the flags over it. */
static bool image_from_bundle(struct image *image, const char *word)
{
    microvm_error err;
    microvm_config *config = microvm_config_new();
    if (!config || microvm_config_load_bundle(config, word, &err)) {
        say("%s", config ? err.message : "no memory");
        microvm_config_free(config);
        return false;
    }
    json_t *json = settings_json(config);
    const char *file =
        json_string_value(json_object_get(json_object_get(json, "image"), "path"));
    image->bundle = word;
    image->file = image->disk = file ? strdup(file) : NULL;
    json_decref(json);
    microvm_config_free(config);
    return true;
}

/* The disk of a reference, of "dir:FOLDER" or "tar:FILE", from the cache or made now;
 * microvm-build has said what is wrong, where it is not. */
static bool image_from_cache(struct image *image, const char *word)
{
    const char *argv[] = {"microvm-build", "cache", "disk", word, NULL};
    image->disk = malloc(PLACE_BYTES);
    if (!image->disk) {
        say("no memory");
        return false;
    }
    image->file = image->disk;
    return handover_ask("microvm-build", (char *const *)(void *)argv, image->disk,
                        PLACE_BYTES) == 0 &&
           *image->disk;
}

/* Sets the file, unless a bundle has none. */
static bool image_find(struct image *image, const char *word)
{
    if (image_is_bundle(word))
        return image_from_bundle(image, word);
    if (image_is_reference(word))
        return image_from_cache(image, word);
    if (image_is_folder(word)) {
        char base[PLACE_BYTES];
        int length = snprintf(base, sizeof base, "dir:%s", word);
        return length < (int)sizeof base && image_is_root(word) &&
               image_from_cache(image, base);
    }
    image->file = word;
    return image_is_file(word);
}

/* What stands beside the file; there need not be anything. */
static bool image_read_about(struct image *image)
{
    char path[PLACE_BYTES];
    json_error_t error;
    FILE *file = NULL;
    if (snprintf(path, sizeof path, "%s.json", image->file) < (int)sizeof path)
        file = fopen(path, "rb");
    if (!file)
        return true;
    image->about = json_loadf(file, 0, &error);
    (void)fclose(file);
    if (!image->about)
        say("%s:%d: %s", path, error.line, error.text);
    return image->about != NULL;
}

/* Tar archives (POSIX 1003.1, ustar), and what all compressed ones begin with. None of
 * it is where a file system that kernels mount has other bytes than zeros. */
static bool image_is_archive(const uint8_t *begin)
{
    static const struct {
        size_t at;
        const char *bytes;
    } magic[] = {{257, "ustar"},
                 {0, "\x1f\x8b\x08"},
                 {0, "\x28\xb5\x2f\xfd"},
                 {0, "\xfd"
                     "7zXZ"},
                 {0, "BZh"},
                 {0, "\x04\x22\x4d\x18"}};
    for (unsigned i = 0; i < sizeof magic / sizeof magic[0]; i++)
        if (!memcmp(begin + magic[i].at, magic[i].bytes, strlen(magic[i].bytes)))
            return true;
    return false;
}

/* After image_read_about, which knows the one compressed archive from the other. */
static bool image_unpack(struct image *image)
{
    uint8_t begin[512] = {0};
    char base[PLACE_BYTES];
    const char *format = json_string_value(json_object_get(image->about, "format"));
    FILE *file = fopen(image->file, "rb");
    bool got = file && fread(begin, 1, sizeof begin, file) > 0;
    if (file)
        (void)fclose(file);
    if (got &&
        (!memcmp(begin, "070701", 6) || (format && !strcmp(format, "initramfs")))) {
        say("'%s' is an initial RAM disk: start it with --initrd %s", image->file,
            image->file);
        return false;
    }
    if (!got || !image_is_archive(begin))
        return true;
    int length = snprintf(base, sizeof base, "tar:%s", image->file);
    return length < (int)sizeof base && image_from_cache(image, base);
}

bool image_open(struct image *image, const char *word)
{
    *image = (struct image){.word = word};
    return image_find(image, word) &&
           (!image->file ||
            (image_read_about(image) && (image->disk || image_unpack(image))));
}

void image_close(struct image *image)
{
    json_decref(image->about);
    image_lists_free(image);
    free(image->disk);
}

void image_lists_free(struct image *image)
{
    free(image->argv);
    free(image->env);
    image->argv = image->env = NULL;
}

/* ---- the machine ----------------------------------------------------------------- */

static bool image_ramdisk(microvm_config *config)
{
    static const char name[] = "microvm-init.cpio";
    char path[PLACE_BYTES];
    if (place_of_data(name, path)) {
        microvm_config_set(config, "initrd", path);
        return true;
    }
    say("%s is not installed: it enters images. Name one that holds microvm-init as "
        "/init with --initrd FILE",
        name);
    return false;
}

/* A comma in a path is written twice. */
static bool image_set_file(microvm_config *config, const char *path)
{
    char *text = malloc(2 * strlen(path) + 1), *to = text;
    if (!text) {
        say("no memory");
        return false;
    }
    for (; *path; path++) {
        if (*path == ',')
            *to++ = ',';
        *to++ = *path;
    }
    *to = '\0';
    microvm_config_set(config, "image", text);
    free(text);
    return true;
}

bool image_settings(const struct image *image, microvm_config *config,
                    const struct args *args)
{
    if (!image->file)
        return true;
    json_t *json = settings_json(config);
    bool initrd = json_object_get(json, "initrd") != NULL;
    bool net = json_object_get(json, "nets") != NULL || args_has(args, "net");
    json_decref(json);
    if (!image->bundle && !image_set_file(config, image->file))
        return false;
    if (!net)
        microvm_config_set(config, "net", "user");
    settings_want_vsock(config);
    return initrd || image_ramdisk(config);
}

/* ---- the command ----------------------------------------------------------------- */

struct words {
    const char **at;
    size_t count;
};

static void words_add_json(struct words *words, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        if (word)
            words->at[words->count++] = word;
    }
}

static const char **words_new(struct words *words, size_t most)
{
    *words = (struct words){calloc(most + 1, sizeof *words->at), 0};
    if (!words->at)
        say("no memory");
    return words->at;
}

bool image_has_command(const struct image *image, const struct args *args)
{
    const char *flag = args_get(args, "entrypoint");
    return image && image->file &&
           (args->tail_count || (flag && *flag) ||
            (!flag && json_array_size(json_object_get(image->about, "entrypoint")) +
                          json_array_size(json_object_get(image->about, "cmd"))));
}

static bool command_words(struct image *image, const struct args *args)
{
    const json_t *entry = json_object_get(image->about, "entrypoint");
    const json_t *own = json_object_get(image->about, "cmd");
    const char *flag = args_get(args, "entrypoint");
    struct words words;
    size_t most =
        json_array_size(entry) + json_array_size(own) + (size_t)args->tail_count + 1;
    if (!(image->argv = words_new(&words, most)))
        return false;
    if (flag && *flag)
        words.at[words.count++] = flag;
    else if (!flag)
        words_add_json(&words, entry);
    for (int i = 0; i < args->tail_count; i++)
        words.at[words.count++] = args->tail[i];
    if (!args->tail_count && !flag)
        words_add_json(&words, own);
    if (words.count)
        return true;
    say("'%s' does not say what it runs: write a command behind '--', as in 'microvm run "
        "%s -- sh'",
        image->word, image->word);
    return false;
}

static bool env_names(const char **env, const char *variable)
{
    size_t length = strcspn(variable, "=");
    for (; env && *env; env++)
        if (!strncmp(*env, variable, length) && (*env)[length] == '=')
            return true;
    return false;
}

static bool command_env(struct image *image, const struct exec *exec)
{
    const json_t *own = json_object_get(image->about, "env");
    struct words words;
    size_t given = 0;
    while (exec->env && exec->env[given])
        given++;
    if (!(image->env = words_new(&words, json_array_size(own) + given)))
        return false;
    for (size_t i = 0; i < given; i++)
        words.at[words.count++] = exec->env[i];
    for (size_t i = 0; i < json_array_size(own); i++) {
        const char *word = json_string_value(json_array_get(own, i));
        if (word && !env_names(exec->env, word))
            words.at[words.count++] = word;
    }
    return true;
}

bool image_command(struct image *image, struct exec *exec, const struct args *args)
{
    if (!command_words(image, args) || !command_env(image, exec))
        return false;
    const char *cwd = json_string_value(json_object_get(image->about, "workdir"));
    const char *user = json_string_value(json_object_get(image->about, "user"));
    exec->command.argv = (const char *const *)image->argv;
    exec->command.env = (const char *const *)image->env;
    if (!exec->command.cwd)
        exec->command.cwd = cwd;
    if (!exec->command.user)
        exec->command.user = user;
    return true;
}
