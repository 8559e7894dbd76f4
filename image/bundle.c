/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A bundle: a folder that runs as it is, wherever it is put. The image, the kernel that
 * starts it, and config.json, which names them both and has the machine's settings
 * (microvm_config_load_bundle reads it). An image that is a disk has microvm-init with
 * it, in the initial RAM disk from which that enters it.
 *
 * The folder appears complete or not at all.
 */
#include "builder.h"
#include "files.h"
#include "util/bytes.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUNDLE_INIT "microvm-init.cpio"
enum { BUNDLE_PIECE = 64 * 1024 };

static const char *bundle_image_name(enum mv_format format)
{
    switch (format) {
    case MV_FORMAT_INITRAMFS:
        return "initramfs";
    case MV_FORMAT_SQUASHFS:
        return "rootfs.squashfs";
    case MV_FORMAT_EXT4:
        return "rootfs.ext4";
    case MV_FORMAT_EROFS:
        return "rootfs.erofs";
    case MV_FORMAT_TAR:
    case MV_FORMAT_DIR:
        break;
    }
    return NULL;
}

/* What a machine starts from is the bundle's own affair. */
static int bundle_own(const microvm_config *config, microvm_error *err)
{
    static const char *const own[] = {"kernel", "initrd", "image", "rootfs"};
    char *text = microvm_config_to_json(config, 0);
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;
    int rc = json ? 0 : mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    for (unsigned i = 0; !rc && i < MV_ARRAY_LEN(own); i++) {
        if (json_object_get(json, own[i]))
            rc = mv_fail(err, MICROVM_E_INVALID,
                         "machine: '%s' is the bundle's own: leave it away%s", own[i],
                         i == 0 ? ", and name the kernel with --kernel FILE" : "");
    }
    json_decref(json);
    microvm_string_free(text);
    return rc;
}

static int bundle_setting(microvm_config *config, const char *text, microvm_error *err)
{
    microvm_error wrong;
    int rc = microvm_config_load_json(config, text, strlen(text), &wrong);
    return rc ? mv_fail(err, rc, "machine: %s", wrong.message) : 0;
}

/* The recipe's settings of the machine, one over the other. */
static int bundle_settings(const microvm_recipe *recipe, microvm_config *config,
                           microvm_error *err)
{
    const char *first = recipe->template_machine;
    int rc = first ? bundle_setting(config, first, err) : 0;
    for (unsigned i = 0; !rc && i < recipe->machine.count; i++)
        rc = bundle_setting(config, recipe->machine.text[i], err);
    return rc ? rc : bundle_own(config, err);
}

static int bundle_check_file(const char *what, const char *path, microvm_error *err)
{
    uint64_t size;
    int fd, rc = mv_files_open(what, path, &fd, &size, err);
    if (!rc)
        mv_files_close(fd);
    return rc;
}

int mv_build_bundle_check(const microvm_recipe *recipe,
                          const microvm_image_options *options, microvm_error *err)
{
    if (!recipe->bundle && recipe->machine.count)
        return mv_fail(err, MICROVM_E_INVALID,
                       "machine: its settings are a bundle's; ask for one with bundle");
    if (!recipe->bundle)
        return 0;
    if (!bundle_image_name(recipe->format))
        return mv_fail(err, MICROVM_E_INVALID,
                       "bundle: no machine starts from a %s; take initramfs, squashfs, "
                       "ext4 or erofs as its format",
                       mv_format_name(recipe->format));
    if (!options->kernel)
        return mv_fail(
            err, MICROVM_E_INVALID,
            "bundle: there is no kernel for it: 'microvm-build kernel%s' makes "
            "one, once; or name one with --kernel FILE",
            strcmp(recipe->arch, "arm64") ? "" : " --arch arm64");
    if (recipe->format != MV_FORMAT_INITRAMFS && !options->initrd)
        return mv_fail(err, MICROVM_E_INVALID,
                       "bundle: there is no " BUNDLE_INIT ", which enters its image");
    microvm_config *config = microvm_config_new();
    int rc = config ? bundle_settings(recipe, config, err)
                    : mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    microvm_config_free(config);
    if (!rc)
        rc = bundle_check_file("kernel", options->kernel, err);
    if (!rc && recipe->format != MV_FORMAT_INITRAMFS)
        rc = bundle_check_file("initial RAM disk", options->initrd, err);
    return rc ? rc : mv_files_check_free(recipe->output, err);
}

/* ---- its files ------------------------------------------------------------------- */

struct bundle {
    const struct mv_build *build;
    char part[MV_FILES_PATH_MAX]; /* what it is called until it is complete */
    const char *kernel;           /* the kernel's name in it */
};

static int bundle_path(const struct bundle *b, const char *name,
                       char path[MV_FILES_PATH_MAX], microvm_error *err)
{
    int n = snprintf(path, MV_FILES_PATH_MAX, "%s/%s", b->part, name);
    return n < MV_FILES_PATH_MAX
               ? 0
               : mv_fail(err, MICROVM_E_INVALID, "output: the path is too long");
}

static int bundle_copy_bytes(int from, int to, uint64_t size, const char *what,
                             const struct mv_progress *progress, microvm_error *err)
{
    void *piece = malloc(BUNDLE_PIECE);
    int rc = piece ? 0 : mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    for (uint64_t at = 0; !rc && at < size; at += BUNDLE_PIECE) {
        size_t length = (size_t)MV_MIN(size - at, (uint64_t)BUNDLE_PIECE);
        rc = mv_files_read(from, at, piece, length, what, err);
        if (!rc)
            rc = mv_files_write(to, at, piece, length, "output", err);
        if (!rc)
            rc = mv_progress(progress, what, at, size, err);
    }
    free(piece);
    return rc;
}

static int bundle_copy(const struct bundle *b, const char *what, const char *source,
                       const char *name, microvm_error *err)
{
    struct mv_output out = MV_OUTPUT_NONE;
    char path[MV_FILES_PATH_MAX];
    uint64_t size;
    int fd, rc = bundle_path(b, name, path, err);
    if (!rc)
        rc = mv_files_open(what, source, &fd, &size, err);
    if (rc)
        return rc;
    rc = mv_output_open(&out, path, err);
    if (!rc)
        rc = bundle_copy_bytes(fd, out.fd, size, what, &b->build->progress, err);
    if (!rc)
        rc = mv_output_commit(&out, err);
    mv_output_drop(&out);
    mv_files_close(fd);
    return rc;
}

/* As the kernel's build calls them: the ELF file, and the packed one. */
static int bundle_kernel(struct bundle *b, microvm_error *err)
{
    const char *source = b->build->options->kernel;
    char magic[4] = {0};
    uint64_t size;
    int fd, rc = mv_files_open("kernel", source, &fd, &size, err);
    if (rc)
        return rc;
    if (size >= sizeof magic)
        rc = mv_files_read(fd, 0, magic, sizeof magic, "kernel", err);
    mv_files_close(fd);
    b->kernel = memcmp(magic, "\177ELF", sizeof magic) ? "vmlinuz" : "vmlinux";
    return rc ? rc : bundle_copy(b, "kernel", source, b->kernel, err);
}

/* ---- config.json ----------------------------------------------------------------- */

static int bundle_config_text(const struct bundle *b, char **text, microvm_error *err)
{
    const microvm_recipe *recipe = b->build->recipe;
    const char *image = bundle_image_name(recipe->format);
    microvm_config *config = microvm_config_new();
    int rc = config ? bundle_settings(recipe, config, err)
                    : mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    if (!rc) {
        bool ramdisk = recipe->format == MV_FORMAT_INITRAMFS;
        microvm_config_set(config, "kernel", b->kernel);
        microvm_config_set(config, "initrd", ramdisk ? image : BUNDLE_INIT);
        if (!ramdisk)
            microvm_config_set(config, "image", image);
        rc = microvm_config_check(config, err);
    }
    if (!rc) {
        *text = microvm_config_to_json(config, 0);
        rc = *text ? 0 : mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    }
    microvm_config_free(config);
    return rc;
}

static int bundle_config(const struct bundle *b, microvm_error *err)
{
    struct mv_output out = MV_OUTPUT_NONE;
    char path[MV_FILES_PATH_MAX], *text = NULL;
    int rc = bundle_path(b, "config.json", path, err);
    if (!rc)
        rc = bundle_config_text(b, &text, err);
    if (!rc)
        rc = mv_output_open(&out, path, err);
    if (!rc)
        rc = mv_files_write(out.fd, 0, text, strlen(text), path, err);
    if (!rc)
        rc = mv_files_write(out.fd, strlen(text), "\n", 1, path, err);
    if (!rc)
        rc = mv_output_commit(&out, err);
    mv_output_drop(&out);
    microvm_string_free(text);
    return rc;
}

/* ---- all of it ------------------------------------------------------------------- */

static int bundle_fill(struct bundle *b, const struct mv_write *w,
                       microvm_image_result *result, microvm_error *err)
{
    char image[MV_FILES_PATH_MAX];
    int rc = bundle_path(b, bundle_image_name(w->format), image, err);
    if (!rc)
        rc = mv_build_file(b->build, w, image, result, err);
    if (!rc)
        rc = bundle_kernel(b, err);
    if (!rc && w->format != MV_FORMAT_INITRAMFS)
        rc = bundle_copy(b, "initial RAM disk", b->build->options->initrd, BUNDLE_INIT,
                         err);
    return rc ? rc : bundle_config(b, err);
}

int mv_build_bundle(const struct mv_build *build, const struct mv_write *w,
                    microvm_image_result *result, microvm_error *err)
{
    struct bundle b = {.build = build};
    char output[MV_FILES_PATH_MAX];
    size_t length = strlen(build->recipe->output);
    while (length > 1 && build->recipe->output[length - 1] == '/')
        length--;
    int n = snprintf(output, sizeof output, "%.*s", (int)length, build->recipe->output);
    if (n >= (int)sizeof output)
        return mv_fail(err, MICROVM_E_INVALID, "output: the path is too long");
    int fd, rc = mv_files_new_folder(output, b.part, &fd, err);
    if (rc)
        return rc;
    rc = bundle_fill(&b, w, result, err);
    if (!rc)
        rc = mv_files_rename_folder(b.part, output, err);
    if (rc)
        mv_files_remove_folder(b.part);
    mv_files_close(fd);
    return rc;
}
