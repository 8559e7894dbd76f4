/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Building: the recipe is checked as a whole before anything is touched, then base,
 * files, what is run in it, writer, and at the end both outputs get their names.
 */
#include "builder.h"
#include "files.h"
#include "util/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX MV_GIB(16) /* where nobody says otherwise */

/* ---- checks ---------------------------------------------------------------------- */

static int build_check(const microvm_recipe *recipe,
                       const microvm_image_options *options, microvm_error *err)
{
    if (recipe->first_error.code)
        return mv_fail_again(err, &recipe->first_error);
    if (!recipe->output)
        return mv_fail(err, MICROVM_E_INVALID, "output: is missing: where to write");
    if (recipe->template_name)
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "template: the programs know them, by --template; a recipe says "
                       "what is in one");
    if (!recipe->base && !recipe->add_file.count)
        return mv_fail(err, MICROVM_E_INVALID,
                       "base: is missing: what to begin with; 'scratch' is nothing");
    if (recipe->size_bytes && recipe->format != MV_FORMAT_EXT4)
        return mv_fail(err, MICROVM_E_INVALID,
                       "size: only ext4 has one that can be chosen, not %s",
                       mv_format_name(recipe->format));
    int rc = mv_build_run_check(recipe, options, err);
    if (!rc)
        rc = mv_build_bundle_check(recipe, options, err);
    return !rc && recipe->base
               ? mv_build_base_check(recipe->base, options->registry, err)
               : rc;
}

/* ---- writing --------------------------------------------------------------------- */

static int build_write(const struct mv_write *w, const char *folder, int fd,
                       microvm_error *err)
{
    switch (w->format) {
    case MV_FORMAT_INITRAMFS:
    case MV_FORMAT_TAR:
        return mv_write_archive(w, fd, err);
    case MV_FORMAT_SQUASHFS:
        return mv_write_squashfs(w, fd, err);
    case MV_FORMAT_EXT4:
        return mv_write_ext4(w, fd, err);
    case MV_FORMAT_EROFS:
        return mv_write_erofs(w, folder, fd, err);
    case MV_FORMAT_DIR:
        break;
    }
    return mv_fail(err, MICROVM_E_UNSUPPORTED, "format: no writer");
}

static int build_digest(int fd, const struct mv_progress *progress,
                        microvm_image_result *result, microvm_error *err)
{
    struct mv_digest digest;
    int rc = mv_files_size(fd, &result->image_bytes, err);
    if (!rc)
        rc = mv_digest_file(fd, result->image_bytes, progress, &digest, err);
    if (!rc)
        mv_digest_text(&digest, result->digest);
    return rc;
}

/* OUTPUT.json, open and complete but for its name. */
static int build_about(const struct mv_build *build, const char *output,
                       const char *digest, struct mv_output *about, microvm_error *err)
{
    char path[MV_FILES_PATH_MAX], *text = NULL;
    int n = snprintf(path, sizeof path, "%s.json", output);
    if (n < 0 || n >= (int)sizeof path)
        return mv_fail(err, MICROVM_E_INVALID, "output: the path is too long");
    int rc = mv_build_about(build->recipe, &build->image, digest, &text, err);
    if (!rc)
        rc = mv_output_open(about, path, err);
    if (!rc)
        rc = mv_files_write(about->fd, 0, text, strlen(text), path, err);
    if (!rc)
        rc = mv_files_write(about->fd, strlen(text), "\n", 1, path, err);
    free(text);
    return rc;
}

int mv_build_file(const struct mv_build *build, const struct mv_write *w,
                  const char *output, microvm_image_result *result, microvm_error *err)
{
    struct mv_output out = MV_OUTPUT_NONE, about = MV_OUTPUT_NONE;
    int rc = mv_output_open(&out, output, err);
    if (!rc)
        rc = build_write(w, build->folder, out.fd, err);
    if (!rc)
        rc = build_digest(out.fd, w->progress, result, err);
    if (!rc)
        rc = build_about(build, output, result->digest, &about, err);
    if (!rc)
        rc = mv_output_commit(&out, err);
    if (!rc)
        rc = mv_output_commit(&about, err);
    mv_output_drop(&out);
    mv_output_drop(&about);
    return rc;
}

static int build_folder(const struct mv_write *w, const struct mv_build *build,
                        microvm_error *err)
{
    struct mv_output about = MV_OUTPUT_NONE;
    int rc = build_about(build, build->recipe->output, "", &about, err);
    if (!rc)
        rc = mv_write_folder(w, build->recipe->output, err);
    if (!rc)
        rc = mv_output_commit(&about, err);
    mv_output_drop(&about);
    return rc;
}

/* ---- all of it ------------------------------------------------------------------- */

static int build_run(struct mv_build *build, microvm_image_result *result,
                     microvm_error *err)
{
    const microvm_recipe *recipe = build->recipe;
    int rc = mv_build_base(build, err);
    if (!rc)
        rc = mv_build_add_files(build, err);
    if (!rc)
        rc = mv_build_run(build, err);
    if (rc)
        return rc;
    if (recipe->epoch_s >= 0)
        mv_tree_clamp(&build->tree, recipe->epoch_s);
    struct mv_write w = {.tree = &build->tree,
                         .store = &build->store,
                         .format = recipe->format,
                         .compress = recipe->compress,
                         .size_bytes = recipe->size_bytes,
                         .epoch_s = mv_build_epoch(build),
                         .mkfs_erofs = build->options->mkfs_erofs,
                         .progress = &build->progress};
    result->entries = mv_tree_number(&build->tree);
    result->content_bytes = mv_write_total(&build->tree);
    if (recipe->format == MV_FORMAT_DIR)
        return build_folder(&w, build, err);
    if (recipe->bundle)
        return mv_build_bundle(build, &w, result, err);
    return mv_build_file(build, &w, recipe->output, result, err);
}

/* The folder of a path: what stands before its last '/'. */
static void build_folder_of(const char *path, char folder[MV_FILES_PATH_MAX])
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') /* of an output that is a folder */
        length--;
    while (length > 0 && path[length - 1] != '/')
        length--;
    if (length == 0)
        (void)snprintf(folder, MV_FILES_PATH_MAX, ".");
    else
        (void)snprintf(folder, MV_FILES_PATH_MAX, "%.*s", (int)length, path);
}

static int build_prepare(struct mv_build *build, const microvm_image_options *options,
                         microvm_error *err)
{
    uint64_t most = options->bytes_max ? options->bytes_max : BYTES_MAX;
    int rc = mv_store_open(&build->store, build->folder, most, err);
    if (rc)
        return rc;
    rc = mv_tree_init(&build->tree, err);
    if (!rc && options->entries_max)
        build->tree.entries_max = options->entries_max;
    return rc;
}

int microvm_image_build(const microvm_recipe *recipe,
                        const microvm_image_options *options,
                        microvm_image_result *result, microvm_error *err)
{
    microvm_image_options all = MICROVM_IMAGE_OPTIONS_INIT;
    microvm_image_result made = MICROVM_IMAGE_RESULT_INIT;
    struct mv_build build = {.recipe = recipe, .store = MV_STORE_NONE};
    char folder[MV_FILES_PATH_MAX];
    if (options) /* of a caller that may have been compiled when there were fewer */
        memcpy(&all, options, MV_MIN((size_t)options->size, sizeof all));
    options = build.options = &all;
    build.progress.tell = options->progress;
    build.progress.opaque = options->opaque;
    build.cache = options->cache;
    build.docker_config = options->docker_config;
    int rc = build_check(recipe, options, err);
    if (!rc && !options->scratch)
        build_folder_of(recipe->output, folder);
    build.folder = options->scratch ? options->scratch : folder;
    if (!rc)
        rc = build_prepare(&build, options, err);
    if (!rc)
        rc = build_run(&build, &made, err);
    mv_config_of_image_free(&build.image);
    mv_tree_done(&build.tree);
    mv_store_close(&build.store);
    if (!rc && result) {
        made.size = result->size;
        memcpy(made.left_away, recipe->left_away, sizeof made.left_away);
        memcpy(result, &made, MV_MIN((size_t)result->size, sizeof made));
    }
    return rc;
}
