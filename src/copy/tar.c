/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tar streams with libarchive: pax, names as bytes (those of an archive that says that
 * they are UTF-8 come in the locale's encoding, as libarchive has it). An archive's
 * order is its own, and folders without an entry are made where paths need them. What
 * an archive says of a file's length binds: one that turns out otherwise is an error.
 * Holes are written out.
 */
#include "copy/tar.h"

#include "util/bytes.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 10240 };

struct mv_tar {
    struct archive *in, *out; /* one of them */
    struct archive_entry *entry;
    char name[256]; /* out: before all paths */
    uint64_t at, size;
    const char *block; /* in: data that waits */
    size_t block_length;
    uint64_t block_at;
    char path[MV_FILETREE_PATH_MAX];
    char target[MV_FILETREE_PATH_MAX];
};

static int tar_fail(struct archive *archive, microvm_error *err)
{
    const char *text = archive_error_string(archive);
    return mv_fail(err, MICROVM_E_IO, "the tar stream: %s", text ? text : "it fails");
}

void mv_tar_close(struct mv_tar *tar)
{
    if (!tar)
        return;
    archive_entry_free(tar->entry);
    if (tar->in)
        (void)archive_read_free(tar->in);
    if (tar->out) {
        (void)archive_write_fail(tar->out); /* no end that looks like one */
        (void)archive_write_free(tar->out);
    }
    free(tar);
}

/* ---- in -------------------------------------------------------------------------- */

/* A path of an archive as a tree has it: "./a//b/" is "a/b", and the root is "". False:
 * it leads upwards, or is too long. */
static bool path_clean(char out[MV_FILETREE_PATH_MAX], const char *path)
{
    size_t used = 0;
    while (*path) {
        size_t length = strcspn(path, "/");
        bool stays = length == 0 || (length == 1 && path[0] == '.');
        if (length == 2 && path[0] == '.' && path[1] == '.')
            return false;
        if (!stays && used + 1 + length + 1 > MV_FILETREE_PATH_MAX)
            return false;
        if (!stays) {
            if (used > 0)
                out[used++] = '/';
            memcpy(out + used, path, length);
            used += length;
        }
        path += length + (path[length] == '/');
    }
    out[used] = '\0';
    return true;
}

static int64_t clamp(int64_t value, int64_t most)
{
    return value < 0 ? 0 : value > most ? most : value;
}

static void tar_attributes(struct mv_tar *tar, struct mv_filetree_entry *entry)
{
    struct archive_entry *from = tar->entry;
    int64_t s = clamp((int64_t)archive_entry_mtime(from), INT64_MAX / 1000000000 - 1);
    *entry = (struct mv_filetree_entry){
        .type = MV_FILETREE_SKIPPED,
        .path = tar->path,
        .mode = archive_entry_perm(from) & 07777,
        .uid = (uint32_t)clamp(archive_entry_uid(from), UINT32_MAX - 1),
        .gid = (uint32_t)clamp(archive_entry_gid(from), UINT32_MAX - 1),
        .mtime_ns = s * 1000000000 + clamp(archive_entry_mtime_nsec(from), 999999999),
        .size = (uint64_t)clamp(archive_entry_size(from), INT64_MAX - 10),
    };
}

static int tar_path_wrong(const char *path, microvm_error *err)
{
    return mv_fail(err, MICROVM_E_INVALID,
                   "the tar stream: '%.150s' leads upwards, or is too long", path);
}

/* What the entry is; its path is there. */
static int tar_kind(struct mv_tar *tar, struct mv_filetree_entry *entry,
                    microvm_error *err)
{
    const char *same = archive_entry_hardlink(tar->entry);
    if (same) {
        if (!path_clean(tar->target, same))
            return tar_path_wrong(same, err);
        entry->type = MV_FILETREE_SAME;
        entry->target = tar->target;
        return 1;
    }
    switch (archive_entry_filetype(tar->entry)) {
    case AE_IFREG:
        entry->type = MV_FILETREE_FILE;
        return 1;
    case AE_IFDIR:
        entry->type = MV_FILETREE_DIRECTORY;
        return 1;
    case AE_IFLNK:
        entry->type = MV_FILETREE_LINK;
        entry->target = archive_entry_symlink(tar->entry);
        return entry->target ? 1 : tar_path_wrong(tar->path, err);
    default:
        entry->target = "neither file, folder nor link";
        return 1;
    }
}

static int tar_next(void *ctx, struct mv_filetree_entry *entry, microvm_error *err)
{
    struct mv_tar *tar = ctx;
    int rc = archive_read_next_header2(tar->in, tar->entry);
    if (rc == ARCHIVE_EOF)
        return 0;
    if (rc < ARCHIVE_WARN)
        return tar_fail(tar->in, err);
    const char *path = archive_entry_pathname(tar->entry);
    if (!path || !path_clean(tar->path, path))
        return tar_path_wrong(path ? path : "", err);
    tar->at = tar->block_length = 0;
    tar_attributes(tar, entry);
    tar->size = entry->size;
    return tar_kind(tar, entry, err);
}

static int64_t tar_read(void *ctx, void *data, size_t size, uint64_t *hole,
                        microvm_error *err)
{
    struct mv_tar *tar = ctx;
    *hole = 0;
    while (!tar->block_length) {
        const void *block;
        int64_t offset;
        int rc = archive_read_data_block(tar->in, &block, &tar->block_length, &offset);
        if (rc < ARCHIVE_WARN)
            return tar_fail(tar->in, err);
        if (rc == ARCHIVE_EOF) {
            *hole = tar->size > tar->at ? tar->size - tar->at : 0;
            tar->at += *hole;
            tar->block_length = 0;
            return 0;
        }
        tar->block = block;
        tar->block_at = offset < 0 ? tar->at : (uint64_t)offset;
    }
    if (tar->block_at > tar->at) {
        *hole = tar->block_at - tar->at;
        tar->at = tar->block_at;
        return 0;
    }
    size_t n = MV_MIN(size, tar->block_length);
    memcpy(data, tar->block, n);
    tar->block += n;
    tar->block_length -= n;
    tar->block_at += n;
    tar->at += n;
    return (int64_t)n;
}

static struct mv_tar *tar_new(microvm_error *err)
{
    struct mv_tar *tar = calloc(1, sizeof *tar);
    if (tar)
        tar->entry = archive_entry_new();
    if (tar && tar->entry)
        return tar;
    free(tar);
    (void)mv_fail(err, MICROVM_E_NO_MEMORY, "tar: no memory");
    return NULL;
}

int mv_tar_read_open(struct mv_tar **out, intptr_t fd, struct mv_copy_source *source,
                     microvm_error *err)
{
    struct mv_tar *tar = tar_new(err);
    if (!tar)
        return MICROVM_E_NO_MEMORY;
    tar->in = archive_read_new();
    if (!tar->in || archive_read_support_format_tar(tar->in) < ARCHIVE_WARN ||
        archive_read_open_fd(tar->in, (int)fd, BLOCK_BYTES) < ARCHIVE_WARN) {
        int rc = tar->in ? tar_fail(tar->in, err)
                         : mv_fail(err, MICROVM_E_NO_MEMORY, "tar: no memory");
        mv_tar_close(tar);
        return rc;
    }
    *source = (struct mv_copy_source){tar_next, tar_read, tar};
    *out = tar;
    return 0;
}

/* ---- out ------------------------------------------------------------------------- */

static bool path_join(char out[MV_FILETREE_PATH_MAX], const char *name,
                      const char *path)
{
    int n = snprintf(out, MV_FILETREE_PATH_MAX, "%s%s%s", name, *path ? "/" : "", path);
    return n > 0 && n < MV_FILETREE_PATH_MAX;
}

/* What is short would be filled up, with as many zeros as the guest has asked for. */
static int tar_end_file(struct mv_tar *tar, microvm_error *err)
{
    if (tar->at < tar->size)
        return mv_fail(err, MICROVM_E_IO,
                       "'%.150s' has shrunk while it was copied: a tar stream says the "
                       "length first",
                       tar->path);
    return archive_write_finish_entry(tar->out) < ARCHIVE_WARN ? tar_fail(tar->out, err)
                                                               : 0;
}

static int tar_entry(void *ctx, const struct mv_filetree_entry *from,
                     microvm_error *err)
{
    struct mv_tar *tar = ctx;
    struct archive_entry *to = archive_entry_clear(tar->entry);
    int rc = tar_end_file(tar, err);
    if (rc)
        return rc;
    bool same = from->type == MV_FILETREE_SAME;
    if (!path_join(tar->path, tar->name, from->path) ||
        (same && !path_join(tar->target, tar->name, from->target)))
        return tar_path_wrong(from->path, err);
    archive_entry_copy_pathname(to, tar->path);
    archive_entry_set_filetype(to, from->type == MV_FILETREE_DIRECTORY ? AE_IFDIR
                                   : from->type == MV_FILETREE_LINK    ? AE_IFLNK
                                                                       : AE_IFREG);
    archive_entry_set_perm(to, (__LA_MODE_T)from->mode);
    archive_entry_set_uid(to, from->uid);
    archive_entry_set_gid(to, from->gid);
    archive_entry_set_mtime(to, (time_t)(from->mtime_ns / 1000000000),
                            (long)(from->mtime_ns % 1000000000));
    tar->at = 0;
    tar->size = from->type == MV_FILETREE_FILE ? from->size : 0;
    archive_entry_set_size(to, (int64_t)tar->size);
    if (same)
        archive_entry_copy_hardlink(to, tar->target);
    if (from->type == MV_FILETREE_LINK)
        archive_entry_copy_symlink(to, from->target);
    return archive_write_header(tar->out, to) < ARCHIVE_WARN ? tar_fail(tar->out, err)
                                                             : 0;
}

static int tar_data(void *ctx, const void *data, size_t length, microvm_error *err)
{
    struct mv_tar *tar = ctx;
    if (length > tar->size - tar->at)
        return mv_fail(err, MICROVM_E_IO,
                       "'%.150s' has grown while it was copied: a tar stream says the "
                       "length first",
                       tar->path);
    tar->at += length;
    return archive_write_data(tar->out, data, length) == (la_ssize_t)length
               ? 0
               : tar_fail(tar->out, err);
}

static int tar_hole(void *ctx, uint64_t length, microvm_error *err)
{
    static const char zeros[65536];
    int rc = 0;
    while (!rc && length > 0) {
        size_t n = (size_t)MV_MIN(length, sizeof zeros);
        rc = tar_data(ctx, zeros, n, err);
        length -= n;
    }
    return rc;
}

int mv_tar_write_open(struct mv_tar **out, intptr_t fd, const char *name,
                      struct mv_copy_sink *sink, microvm_error *err)
{
    struct mv_tar *tar = tar_new(err);
    if (!tar)
        return MICROVM_E_NO_MEMORY;
    (void)snprintf(tar->name, sizeof tar->name, "%s", name ? name : ".");
    tar->out = archive_write_new();
    if (!tar->out || archive_write_set_format_pax(tar->out) < ARCHIVE_WARN ||
        archive_write_set_options(tar->out, "hdrcharset=BINARY") < ARCHIVE_WARN ||
        archive_write_open_fd(tar->out, (int)fd) < ARCHIVE_WARN) {
        int rc = tar->out ? tar_fail(tar->out, err)
                          : mv_fail(err, MICROVM_E_NO_MEMORY, "tar: no memory");
        mv_tar_close(tar);
        return rc;
    }
    *sink = (struct mv_copy_sink){tar_entry, tar_data, tar_hole, tar};
    *out = tar;
    return 0;
}

int mv_tar_end(struct mv_tar *tar, microvm_error *err)
{
    int rc = tar_end_file(tar, err);
    if (!rc && archive_write_close(tar->out) < ARCHIVE_WARN)
        rc = tar_fail(tar->out, err);
    return rc;
}
