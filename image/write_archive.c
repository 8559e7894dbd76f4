/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Archives by libarchive: tar (POSIX.1-2001, with extended headers only where they are
 * needed) and the cpio format that Linux unpacks into its initramfs ("newc").
 *
 * Linux reads an initramfs compressed with gzip, zstd or xz as these tools write it,
 * but lz4 only in the old format without frames, which libarchive does not write: that
 * is refused, not guessed.
 */
#include "files.h"
#include "util/bytes.h"
#include "util/str.h"
#include "write.h"

#include <archive.h>
#include <archive_entry.h>

enum { BLOCK_BYTES = 128 * 1024 };

struct pack {
    const struct mv_write *w;
    struct archive *archive;
    struct archive_entry *entry;
    int fd;
    uint64_t at; /* in the file */
    uint64_t done, total;
    microvm_error inner; /* of the file below libarchive */
};

static int pack_failed(const struct pack *p, const char *path, microvm_error *err)
{
    char shown[MV_STR_SHOWN], why[MV_STR_SHOWN];
    const char *text = archive_error_string(p->archive);
    if (p->inner.code)
        return mv_fail_again(err, &p->inner);
    return mv_fail(err, MICROVM_E_INVALID, "'%s' cannot be in such an archive: %s",
                   mv_str_show(shown, path),
                   mv_str_show(why, text ? text : "unknown reason"));
}

static la_ssize_t pack_write(struct archive *archive, void *opaque, const void *data,
                             size_t length)
{
    struct pack *p = opaque;
    if (mv_files_write(p->fd, p->at, data, length, "image", &p->inner)) {
        archive_set_error(archive, -1, "see the file below");
        return -1;
    }
    p->at += length;
    return (la_ssize_t)length;
}

static int pack_take(void *opaque, const void *data, size_t length, microvm_error *err)
{
    struct pack *p = opaque;
    if (archive_write_data(p->archive, data, length) != (la_ssize_t)length)
        return pack_failed(p, "a file's content", err);
    return 0;
}

static void pack_describe(struct pack *p, const struct mv_node *node, const char *path)
{
    struct archive_entry *e = archive_entry_clear(p->entry);
    archive_entry_copy_pathname(e, *path ? path : ".");
    archive_entry_set_mode(e, (__LA_MODE_T)mv_node_st_mode(node));
    archive_entry_set_uid(e, node->uid);
    archive_entry_set_gid(e, node->gid);
    archive_entry_set_mtime(e, (time_t)node->mtime_s, 0);
    archive_entry_set_size(e, 0);
    if (node->type == MV_NODE_FILE)
        archive_entry_set_size(e, (la_int64_t)node->size_bytes);
    if (node->type == MV_NODE_SYMLINK)
        archive_entry_copy_symlink(e, node->target);
    if (node->type == MV_NODE_CHAR || node->type == MV_NODE_BLOCK) {
        archive_entry_set_rdevmajor(e, node->major);
        archive_entry_set_rdevminor(e, node->minor);
    }
}

/* cpio knows hard links by inode numbers, tar by the first name. cpio has no extended
 * attributes: an initramfs is unpacked into a file system that keeps few of them. */
static void pack_links(struct pack *p, const struct mv_walk *walk)
{
    const struct mv_node *node = walk->node;
    char first[MV_TREE_PATH_MAX];
    if (p->w->format == MV_FORMAT_INITRAMFS) {
        archive_entry_set_ino64(p->entry, node->number);
        archive_entry_set_nlink(p->entry, MV_MAX(node->names, 1u));
        if (walk->again)
            archive_entry_set_size(p->entry, 0); /* the first name has the data */
        return;
    }
    if (walk->again) {
        mv_tree_path_of(p->w->tree, node, first);
        archive_entry_copy_hardlink(p->entry, first);
        archive_entry_set_size(p->entry, 0);
        return;
    }
    for (unsigned i = 0; i < node->xattrs; i++)
        archive_entry_xattr_add_entry(p->entry, node->xattr[i].name,
                                      node->xattr[i].value, node->xattr[i].length);
}

static int pack_all(struct pack *p, microvm_error *err)
{
    struct mv_walk walk;
    int rc = 0;
    (void)mv_tree_number(p->w->tree);
    p->total = mv_write_total(p->w->tree);
    mv_walk_begin(&walk, p->w->tree);
    while (!rc && mv_walk_next(&walk)) {
        if (walk.leaving)
            continue;
        pack_describe(p, walk.node, walk.path);
        pack_links(p, &walk);
        /* A warning is about characters that the locale does not have; the bytes are
         * written as they are. */
        if (archive_write_header(p->archive, p->entry) < ARCHIVE_WARN)
            return pack_failed(p, walk.path, err);
        if (walk.node->type == MV_NODE_FILE && !walk.again)
            rc = mv_write_content(p->w, walk.node, pack_take, p, &p->done, p->total,
                                  err);
    }
    return rc;
}

static int pack_filter(const struct pack *p, microvm_error *err)
{
    struct archive *a = p->archive;
    bool initramfs = p->w->format == MV_FORMAT_INITRAMFS;
    int rc = ARCHIVE_OK;
    switch (p->w->compress) {
    case MV_COMPRESS_AUTO:
        if (initramfs) /* every kernel can, and zstd depends on its configuration */
            rc = archive_write_add_filter_gzip(a);
        break;
    case MV_COMPRESS_NONE:
        break;
    case MV_COMPRESS_GZIP:
        rc = archive_write_add_filter_gzip(a);
        break;
    case MV_COMPRESS_ZSTD:
        rc = archive_write_add_filter_zstd(a);
        break;
    case MV_COMPRESS_XZ:
        if (initramfs)
            return mv_fail(err, MICROVM_E_UNSUPPORTED,
                           "an initramfs in xz needs a checksum that libarchive does "
                           "not write; use gzip or zstd");
        rc = archive_write_add_filter_xz(a);
        break;
    case MV_COMPRESS_LZ4:
        if (initramfs)
            return mv_fail(err, MICROVM_E_UNSUPPORTED,
                           "Linux reads an initramfs in lz4 only in a format that "
                           "libarchive does not write; use gzip or zstd");
        rc = archive_write_add_filter_lz4(a);
        break;
    }
    if (rc != ARCHIVE_OK)
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "libarchive was built without this compression");
    return 0;
}

static int pack_begin(struct pack *p, microvm_error *err)
{
    struct archive *a = p->archive;
    int rc;
    if (p->w->format == MV_FORMAT_INITRAMFS)
        rc = archive_write_set_format_cpio_newc(a);
    else
        rc = archive_write_set_format_pax_restricted(a);
    if (rc == ARCHIVE_OK && p->w->format == MV_FORMAT_TAR)
        rc = archive_write_set_format_option(a, "pax", "xattrheader", "SCHILY");
    if (rc != ARCHIVE_OK)
        return pack_failed(p, "anything", err);
    rc = pack_filter(p, err);
    if (rc)
        return rc;
    (void)archive_write_set_filter_option(a, "gzip", "timestamp", NULL);
    (void)archive_write_set_bytes_per_block(a, BLOCK_BYTES);
    (void)archive_write_set_bytes_in_last_block(a, 1);
    if (archive_write_open(a, p, NULL, pack_write, NULL) != ARCHIVE_OK)
        return pack_failed(p, "anything", err);
    return 0;
}

int mv_write_archive(const struct mv_write *w, int fd, microvm_error *err)
{
    struct pack p = {.w = w, .fd = fd};
    int rc;
    p.archive = archive_write_new();
    p.entry = archive_entry_new();
    if (p.archive && p.entry)
        rc = pack_begin(&p, err);
    else
        rc = mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    if (!rc)
        rc = pack_all(&p, err);
    if (!rc && archive_write_close(p.archive) != ARCHIVE_OK)
        rc = pack_failed(&p, "the end", err);
    archive_entry_free(p.entry);
    if (p.archive)
        (void)archive_write_free(p.archive);
    return rc;
}
