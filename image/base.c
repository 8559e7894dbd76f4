/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Bases: what an image begins with. Those of distributions (alpine:, debian:) are the
 * images that docker.io has of them, or a mirror.
 */
#include "builder.h"
#include "files.h"
#include "pull.h"
#include "scan.h"
#include "util/bytes.h"
#include "util/str.h"

#include <stdio.h>
#include <string.h>

enum base_kind { BASE_SCRATCH, BASE_DIR, BASE_TAR, BASE_OCI, BASE_ALPINE, BASE_DEBIAN };

/* The kind of a base; *rest is what follows its colon. */
static int base_parse(const char *base, enum base_kind *kind, const char **rest,
                      microvm_error *err)
{
    static const struct {
        const char *prefix;
        enum base_kind kind;
    } kinds[] = {{"dir:", BASE_DIR},       {"tar:", BASE_TAR},
                 {"oci:", BASE_OCI},       {"alpine:", BASE_ALPINE},
                 {"debian:", BASE_DEBIAN}, {"scratch", BASE_SCRATCH}};
    char shown[MV_STR_SHOWN];
    for (unsigned i = 0; i < MV_ARRAY_LEN(kinds); i++) {
        size_t length = strlen(kinds[i].prefix);
        bool alone = kinds[i].kind == BASE_SCRATCH;
        if (strncmp(base, kinds[i].prefix, length) || (base[length] == '\0') != alone)
            continue;
        *kind = kinds[i].kind;
        *rest = base + length;
        return 0;
    }
    return mv_fail(err, MICROVM_E_INVALID,
                   "base: '%s' is none of scratch, dir:PATH, tar:PATH, oci:REFERENCE, "
                   "alpine:VERSION, debian:RELEASE",
                   mv_str_show(shown, base));
}

/* What "debian:bookworm" is short for: `base` itself is name and tag. */
static int base_official(const char *base, const char *registry, char *reference,
                         size_t size, microvm_error *err)
{
    int n = snprintf(reference, size, "%s/library/%s",
                     registry ? registry : "docker.io", base);
    return n > 0 && n < (int)size
               ? 0
               : mv_fail(err, MICROVM_E_INVALID, "registry: the name is too long");
}

int mv_build_base_check(const char *base, const char *registry, microvm_error *err)
{
    enum base_kind kind = BASE_SCRATCH;
    const char *rest = "";
    char official[MV_REF_TEXT];
    struct mv_ref ref;
    int rc = base_parse(base, &kind, &rest, err);
    if (rc)
        return rc;
    switch (kind) {
    case BASE_SCRATCH:
    case BASE_DIR:
    case BASE_TAR:
        return 0;
    case BASE_OCI:
        return mv_ref_parse(rest, &ref, err);
    case BASE_ALPINE:
    case BASE_DEBIAN:
        rc = base_official(base, registry, official, sizeof official, err);
        return rc ? rc : mv_ref_parse(official, &ref, err);
    }
    return 0;
}

static int base_tar(struct mv_build *build, const char *path, microvm_error *err)
{
    struct mv_blob blob = {.fd = -1};
    struct mv_layer_options options = {
        .what = path, .devices = build->recipe->devices, .progress = &build->progress};
    int rc = mv_files_open("base", path, &blob.fd, &options.blob_bytes, err);
    if (rc)
        return rc;
    rc = mv_layer_apply(&build->tree, &build->store, &blob, &options, NULL, err);
    mv_files_close(blob.fd);
    return rc;
}

static int base_dir(struct mv_build *build, const char *path, microvm_error *err)
{
    struct mv_scan_options options = {.devices = build->recipe->devices,
                                      .mode = -1,
                                      .mtime_s = mv_build_epoch(build),
                                      .progress = &build->progress};
    return mv_scan(&build->tree, &build->store, path, "", &options, err);
}

/* One layer; that it is what the image's config says is checked when it is applied, so
 * a cache that rots is noticed. */
static int base_layer(struct mv_build *build, const struct mv_pulled *image,
                      unsigned index, const struct mv_layer_options *options,
                      microvm_error *err)
{
    const struct mv_descriptor *layer = &image->manifest.layer[index];
    struct mv_layer_options with_size = *options;
    struct mv_blob blob = {.fd = -1};
    struct mv_digest diff_id;
    char path[MV_FILES_PATH_MAX];
    mv_cache_blob_path(&image->cache, &layer->digest, path);
    with_size.blob_bytes = layer->size_bytes;
    int rc = mv_files_open("layer", path, &blob.fd, NULL, err);
    if (rc)
        return rc;
    rc = mv_layer_apply(&build->tree, &build->store, &blob, &with_size, &diff_id, err);
    mv_files_close(blob.fd);
    if (!rc && !mv_digest_same(&diff_id, &image->config.diff_id[index]))
        rc = mv_fail(err, MICROVM_E_INVALID,
                     "%s: layer %u is not what the image's config says", options->what,
                     index + 1);
    return rc;
}

static int base_oci(struct mv_build *build, const char *reference, microvm_error *err)
{
    struct mv_pulled image = MV_PULLED_NONE;
    struct mv_pull_options pull = {.arch = build->recipe->arch,
                                   .cache = build->cache,
                                   .docker_config = build->docker_config,
                                   .helper = build->options->helper,
                                   .helper_opaque = build->options->opaque,
                                   .progress = &build->progress};
    struct mv_layer_options options = {.what = reference,
                                       .whiteouts = true,
                                       .devices = build->recipe->devices,
                                       .progress = &build->progress};
    int rc = mv_pull(reference, &pull, &image, err);
    for (unsigned i = 0; !rc && i < image.manifest.layers; i++)
        rc = base_layer(build, &image, i, &options, err);
    if (!rc) { /* the build keeps it */
        build->image = image.config;
        memset(&image.config, 0, sizeof image.config);
    }
    mv_pulled_free(&image);
    return rc;
}

static int base_distribution(struct mv_build *build, const char *base,
                             microvm_error *err)
{
    char official[MV_REF_TEXT];
    microvm_error why;
    int rc =
        base_official(base, build->options->registry, official, sizeof official, err);
    if (rc)
        return rc;
    rc = base_oci(build, official, &why);
    if (rc != MICROVM_E_IO && rc != MICROVM_E_TIMEOUT)
        return rc ? mv_fail_again(err, &why) : 0;
    return mv_fail(err, rc,
                   "base: %.150s; a mirror is named with --registry HOST, and a root "
                   "file system of it serves as tar:PATH",
                   why.message);
}

int mv_build_base(struct mv_build *build, microvm_error *err)
{
    enum base_kind kind = BASE_SCRATCH;
    const char *rest = "", *base = build->recipe->base;
    int rc = base ? base_parse(base, &kind, &rest, err) : 0;
    if (rc)
        return rc;
    build->tree.root->mtime_s = mv_build_epoch(build);
    switch (kind) {
    case BASE_SCRATCH:
        return 0;
    case BASE_DIR:
        return base_dir(build, rest, err);
    case BASE_TAR:
        return base_tar(build, rest, err);
    case BASE_OCI:
        return base_oci(build, rest, err);
    case BASE_ALPINE:
    case BASE_DEBIAN:
        return base_distribution(build, base, err);
    }
    return 0;
}
