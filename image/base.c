/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Bases: what an image begins with. Those of distributions (alpine:, debian:) and of
 * registries (oci:) are named, and refused with what serves instead.
 */
#include "builder.h"
#include "files.h"
#include "scan.h"
#include "util/bytes.h"
#include "util/str.h"

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

int mv_build_base_check(const char *base, microvm_error *err)
{
    enum base_kind kind = BASE_SCRATCH;
    const char *rest;
    int rc = base_parse(base, &kind, &rest, err);
    if (rc)
        return rc;
    switch (kind) {
    case BASE_SCRATCH:
    case BASE_DIR:
    case BASE_TAR:
        return 0;
    case BASE_OCI:
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "base: images of registries are not supported in this build; "
                       "'skopeo copy' and 'umoci unpack --rootless' make a folder for "
                       "dir:PATH");
    case BASE_ALPINE:
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "base: alpine is not supported in this build; Alpine's own "
                       "minirootfs archive serves as tar:PATH");
    case BASE_DEBIAN:
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "base: debian is not supported in this build; what "
                       "'mmdebstrap RELEASE rootfs.tar' makes serves as tar:PATH");
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
    case BASE_ALPINE:
    case BASE_DEBIAN:
        break;
    }
    return mv_build_base_check(base, err);
}
