/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reading manifests with jansson. Unknown members are let pass, as the specification
 * demands; what is read is checked.
 */
#include "manifest.h"

#include "util/bytes.h"
#include "util/str.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static int manifest_bad(const char *what, const char *why, microvm_error *err)
{
    return mv_fail(err, MICROVM_E_INVALID, "%s: %s", what, why);
}

static int manifest_load(const char *what, const char *text, size_t length,
                         json_t **root, microvm_error *err)
{
    json_error_t wrong;
    char shown[MV_STR_SHOWN];
    json_t *loaded = json_loadb(text, length, JSON_REJECT_DUPLICATES, &wrong);
    if (!loaded)
        return mv_fail(err, MICROVM_E_INVALID, "%s: no JSON: %s", what,
                       mv_str_show(shown, wrong.text));
    if (!json_is_object(loaded)) {
        json_decref(loaded);
        return manifest_bad(what, "no JSON object", err);
    }
    *root = loaded;
    return 0;
}

static const char *member_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool media_is_one(const char *media, const char *oci, const char *docker)
{
    return !strcmp(media, oci) || !strcmp(media, docker);
}

static bool media_is_index(const char *media)
{
    return media_is_one(media, "application/vnd.oci.image.index.v1+json",
                        "application/vnd.docker.distribution.manifest.list.v2+json");
}

static bool media_is_manifest(const char *media)
{
    return media_is_one(media, "application/vnd.oci.image.manifest.v1+json",
                        "application/vnd.docker.distribution.manifest.v2+json");
}

/* The end of the name says how it is compressed; the bytes say that, too. */
static bool media_is_layer(const char *media)
{
    static const char *const begins[] = {
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar"};
    for (unsigned i = 0; i < MV_ARRAY_LEN(begins); i++)
        if (!strncmp(media, begins[i], strlen(begins[i])))
            return true;
    return false;
}

static int descriptor_parse(const char *what, const json_t *object,
                            struct mv_descriptor *out, microvm_error *err)
{
    json_t *size = json_object_get(object, "size");
    if (!mv_digest_parse(member_text(object, "digest"), &out->digest))
        return manifest_bad(what, "a digest that is not sha256: and 64 digits", err);
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return manifest_bad(what, "a size that is no number", err);
    out->size_bytes = (uint64_t)json_integer_value(size);
    return 0;
}

/* ---- index ----------------------------------------------------------------------- */

int mv_manifest_is_index(const char *what, const char *text, size_t length,
                         bool *is_index, microvm_error *err)
{
    json_t *root = NULL;
    int rc = manifest_load(what, text, length, &root, err);
    if (rc)
        return rc;
    const char *media = member_text(root, "mediaType");
    json_t *version = json_object_get(root, "schemaVersion");
    if (json_integer_value(version) != 2)
        rc = manifest_bad(what, "not schema 2 (what stood before it is not spoken)",
                          err);
    else if (*media) /* OCI need not say */
        *is_index = media_is_index(media);
    else
        *is_index = json_is_array(json_object_get(root, "manifests"));
    json_decref(root);
    return rc;
}

/* The names of Go's GOARCH, which images use, and ours. */
static const char *arch_of(const char *go)
{
    if (!strcmp(go, "amd64"))
        return "x86_64";
    return go; /* arm64 is arm64 */
}

static bool index_fits(const json_t *entry, const char *arch)
{
    const json_t *platform = json_object_get(entry, "platform");
    const char *variant = member_text(platform, "variant");
    return media_is_manifest(member_text(entry, "mediaType")) &&
           !strcmp(member_text(platform, "os"), "linux") &&
           !strcmp(arch_of(member_text(platform, "architecture")), arch) &&
           (!*variant || !strcmp(variant, "v8") || !strcmp(variant, "v1"));
}

int mv_index_choose(const char *what, const char *text, size_t length, const char *arch,
                    struct mv_descriptor *manifest, microvm_error *err)
{
    json_t *root = NULL, *entry;
    size_t index;
    int rc = manifest_load(what, text, length, &root, err);
    if (rc)
        return rc;
    rc = MICROVM_E_UNSUPPORTED;
    json_array_foreach(json_object_get(root, "manifests"), index, entry)
    {
        if (!index_fits(entry, arch))
            continue;
        rc = descriptor_parse(what, entry, manifest, err);
        break;
    }
    if (rc == MICROVM_E_UNSUPPORTED)
        (void)mv_fail(err, rc, "%s: there is none for Linux on %s", what, arch);
    json_decref(root);
    return rc;
}

/* ---- manifest -------------------------------------------------------------------- */

static int manifest_layers(const char *what, const json_t *list,
                           struct mv_manifest *manifest, microvm_error *err)
{
    size_t index;
    json_t *entry;
    if (!json_is_array(list) || json_array_size(list) > MV_LAYERS_MAX)
        return manifest_bad(what, "no list of at most 128 layers", err);
    json_array_foreach(list, index, entry)
    {
        char shown[MV_STR_SHOWN];
        const char *media = member_text(entry, "mediaType");
        if (!media_is_layer(media))
            return mv_fail(err, MICROVM_E_UNSUPPORTED,
                           "%s: a layer of the kind '%s': no image of a file system",
                           what, mv_str_show(shown, media));
        int rc = descriptor_parse(what, entry, &manifest->layer[index], err);
        if (rc)
            return rc;
    }
    manifest->layers = (unsigned)json_array_size(list);
    return 0;
}

int mv_manifest_parse(const char *what, const char *text, size_t length,
                      struct mv_manifest *out, microvm_error *err)
{
    json_t *root = NULL;
    struct mv_manifest manifest = {.layers = 0};
    int rc = manifest_load(what, text, length, &root, err);
    if (rc)
        return rc;
    rc = descriptor_parse(what, json_object_get(root, "config"), &manifest.config, err);
    if (!rc)
        rc = manifest_layers(what, json_object_get(root, "layers"), &manifest, err);
    json_decref(root);
    if (!rc)
        *out = manifest;
    return rc;
}

/* ---- config ---------------------------------------------------------------------- */

static int config_no_memory(microvm_error *err)
{
    return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
}

/* A list of strings; null and nothing are an empty one. */
static int config_texts(const char *what, const json_t *list, struct mv_texts *out,
                        microvm_error *err)
{
    size_t index, count = json_array_size(list);
    json_t *entry;
    if (list && !json_is_null(list) && (!json_is_array(list) || count > MV_TEXTS_MAX))
        return manifest_bad(what, "no list of strings where one should be", err);
    if (count == 0)
        return 0;
    out->text = calloc(count, sizeof(char *));
    if (!out->text)
        return config_no_memory(err);
    json_array_foreach(list, index, entry)
    {
        if (!json_is_string(entry))
            return manifest_bad(what, "no list of strings where one should be", err);
        out->text[index] = strdup(json_string_value(entry));
        if (!out->text[index])
            return config_no_memory(err);
        out->count++;
    }
    return 0;
}

static int config_text(const json_t *object, const char *key, char **out,
                       microvm_error *err)
{
    const char *text = member_text(object, key);
    if (!*text)
        return 0;
    *out = strdup(text);
    return *out ? 0 : config_no_memory(err);
}

static int config_diff_ids(const char *what, const json_t *list,
                           struct mv_config_of_image *config, microvm_error *err)
{
    size_t index;
    json_t *entry;
    if (!json_is_array(list) || json_array_size(list) > MV_LAYERS_MAX)
        return manifest_bad(what, "no list of at most 128 layers", err);
    json_array_foreach(list, index, entry)
    {
        const char *text = json_string_value(entry);
        if (!text || !mv_digest_parse(text, &config->diff_id[index]))
            return manifest_bad(what, "a layer that is not sha256: and 64 digits", err);
    }
    config->diff_ids = (unsigned)json_array_size(list);
    return 0;
}

static int config_fill(const char *what, const json_t *root,
                       struct mv_config_of_image *config, microvm_error *err)
{
    const json_t *run = json_object_get(root, "config");
    const char *os = member_text(root, "os");
    const char *arch = arch_of(member_text(root, "architecture"));
    if (strcmp(os, "linux"))
        return manifest_bad(what, "an image of another system than Linux", err);
    if (strlen(arch) >= sizeof config->arch)
        return manifest_bad(what, "an architecture with a long name", err);
    memcpy(config->arch, arch, strlen(arch) + 1);
    int rc = config_diff_ids(
        what, json_object_get(json_object_get(root, "rootfs"), "diff_ids"), config,
        err);
    if (!rc)
        rc = config_texts(what, json_object_get(run, "Env"), &config->env, err);
    if (!rc)
        rc = config_texts(what, json_object_get(run, "Entrypoint"), &config->entrypoint,
                          err);
    if (!rc)
        rc = config_texts(what, json_object_get(run, "Cmd"), &config->cmd, err);
    if (!rc)
        rc = config_text(run, "WorkingDir", &config->workdir, err);
    if (!rc)
        rc = config_text(run, "User", &config->user, err);
    return rc;
}

int mv_config_of_image_parse(const char *what, const char *text, size_t length,
                             struct mv_config_of_image *out, microvm_error *err)
{
    json_t *root = NULL;
    int rc = manifest_load(what, text, length, &root, err);
    if (rc)
        return rc;
    memset(out, 0, sizeof *out);
    rc = config_fill(what, root, out, err);
    json_decref(root);
    if (rc)
        mv_config_of_image_free(out);
    return rc;
}

void mv_config_of_image_free(struct mv_config_of_image *config)
{
    mv_texts_free(&config->env);
    mv_texts_free(&config->entrypoint);
    mv_texts_free(&config->cmd);
    free(config->workdir);
    free(config->user);
    memset(config, 0, sizeof *config);
}
