/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * SquashFS by libsquashfs. Its parts lie in the file in this order: super block, data
 * and fragments, inodes, directories, then the tables of fragments, owners and extended
 * attributes. Data goes first, file by file, compressed on every CPU; the order of
 * blocks is that of submission, so the bytes do not depend on how many there are. Then
 * inodes from the leaves upwards, since a directory names places of inodes.
 */
#include "files.h"
#include "squashfs_smaller.h"
#include "util/bytes.h"
#include "util/str.h"
#include "write.h"

#include <sqfs/block.h>
#include <sqfs/block_processor.h>
#include <sqfs/block_writer.h>
#include <sqfs/compressor.h>
#include <sqfs/dir_writer.h>
#include <sqfs/error.h>
#include <sqfs/frag_table.h>
#include <sqfs/id_table.h>
#include <sqfs/inode.h>
#include <sqfs/io.h>
#include <sqfs/meta_writer.h>
#include <sqfs/super.h>
#include <sqfs/xattr_writer.h>
#include <stdlib.h>

enum {
    BLOCK_BYTES = 128 * 1024, /* mksquashfs' own choice */
    ZSTD_LEVEL = 9,           /* 15 takes five times as long for 3 % less */
    BACKLOG_PER_WORKER = 10,
    NO_XATTRS = -1
};

/* Our descriptor as libsquashfs wants files. */
struct sq_file {
    sqfs_file_t base;
    int fd;
    uint64_t size;
    microvm_error err;
};

struct sq {
    const struct mv_write *w;
    struct sq_file file;
    sqfs_super_t super;
    sqfs_compressor_t *compressor;
    sqfs_block_writer_t *blocks;
    sqfs_frag_table_t *fragments;
    sqfs_block_processor_t *processor;
    sqfs_id_table_t *owners;
    sqfs_xattr_writer_t *xattrs;
    sqfs_meta_writer_t *inodes, *names;
    sqfs_dir_writer_t *dirs;
    uint32_t nodes;
    sqfs_inode_generic_t **inode; /* by node number: of files, from their data */
    sqfs_u64 *place;              /* by node number: where the inode was written */
    uint64_t done, total;
};

/* ---- the file -------------------------------------------------------------------- */

static struct sq_file *file_of(sqfs_file_t *base)
{
    return MV_CONTAINER(base, struct sq_file, base);
}

static int file_read_at(sqfs_file_t *base, sqfs_u64 offset, void *data, size_t length)
{
    struct sq_file *f = file_of(base);
    return mv_files_read(f->fd, offset, data, length, "image", &f->err) ? SQFS_ERROR_IO
                                                                        : 0;
}

static int file_write_at(sqfs_file_t *base, sqfs_u64 offset, const void *data,
                         size_t length)
{
    struct sq_file *f = file_of(base);
    if (mv_files_write(f->fd, offset, data, length, "image", &f->err))
        return SQFS_ERROR_IO;
    f->size = MV_MAX(f->size, offset + length);
    return 0;
}

static sqfs_u64 file_get_size(const sqfs_file_t *base)
{
    const uint8_t *p = (const uint8_t *)base - offsetof(struct sq_file, base);
    return ((const struct sq_file *)(const void *)p)->size;
}

static int file_truncate(sqfs_file_t *base, sqfs_u64 size)
{
    struct sq_file *f = file_of(base);
    if (mv_files_resize(f->fd, size, "image", &f->err))
        return SQFS_ERROR_IO;
    f->size = size;
    return 0;
}

static void file_destroy(sqfs_object_t *object)
{
    (void)object; /* part of struct sq */
}

/* ---- errors ---------------------------------------------------------------------- */

static int sq_failed(const struct sq *s, int code, const char *what, microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    (void)mv_str_show(shown, *what ? what : "/");
    if (s->file.err.code)
        return mv_fail_again(err, &s->file.err);
    if (code == SQFS_ERROR_ALLOC)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "squashfs: no memory");
    if (code == SQFS_ERROR_OVERFLOW)
        return mv_fail(err, MICROVM_E_INVALID,
                       "squashfs: '%s': more than the format can count (65536 owners, "
                       "2^32 bytes of tables)",
                       shown);
    return mv_fail(err, MICROVM_E_INVALID, "squashfs: '%s': libsquashfs error %d",
                   shown, code);
}

/* ---- setting up ------------------------------------------------------------------ */

static int sq_compressor(struct sq *s, SQFS_COMPRESSOR *id, microvm_error *err)
{
    sqfs_compressor_config_t config;
    int rc;
    switch (s->w->compress) {
    case MV_COMPRESS_AUTO:
    case MV_COMPRESS_ZSTD:
        *id = SQFS_COMP_ZSTD;
        break;
    case MV_COMPRESS_GZIP:
        *id = SQFS_COMP_GZIP;
        break;
    case MV_COMPRESS_LZ4:
        *id = SQFS_COMP_LZ4;
        break;
    case MV_COMPRESS_XZ:
        *id = SQFS_COMP_XZ;
        break;
    case MV_COMPRESS_NONE:
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "squashfs is always compressed; lz4 is the fastest to read");
    }
    rc = sqfs_compressor_config_init(&config, *id, BLOCK_BYTES, 0);
    if (*id == SQFS_COMP_ZSTD)
        config.level = ZSTD_LEVEL;
    if (!rc)
        rc = sqfs_compressor_create(&config, &s->compressor);
    if (rc)
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "libsquashfs was built without this compression");
    s->compressor = mv_squashfs_smaller(s->compressor);
    if (!s->compressor)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    return 0;
}

static int sq_processor(struct sq *s)
{
    unsigned workers = mv_files_cpus();
    sqfs_block_processor_desc_t desc = {
        .size = sizeof desc,
        .max_block_size = BLOCK_BYTES,
        .num_workers = workers,
        .max_backlog = workers * BACKLOG_PER_WORKER,
        .cmp = s->compressor,
        .wr = s->blocks,
        .tbl = s->fragments,
    };
    return sqfs_block_processor_create_ex(&desc, &s->processor);
}

static int sq_begin(struct sq *s, microvm_error *err)
{
    SQFS_COMPRESSOR id = SQFS_COMP_ZSTD;
    int rc = sq_compressor(s, &id, err);
    if (rc)
        return rc;
    sqfs_file_t *file = &s->file.base;
    uint32_t time = (uint32_t)MV_MIN(MV_MAX(s->w->epoch_s, 0), (int64_t)UINT32_MAX);
    rc = sqfs_super_init(&s->super, BLOCK_BYTES, time, id);
    if (!rc)
        rc = sqfs_super_write(&s->super, file);
    if (!rc)
        rc = s->compressor->write_options(s->compressor, file);
    if (rc > 0) {
        s->super.flags |= SQFS_FLAG_COMPRESSOR_OPTIONS;
        rc = 0;
    }
    s->blocks = sqfs_block_writer_create(file, SQFS_DEVBLK_SIZE, 0);
    s->fragments = sqfs_frag_table_create(0);
    s->owners = sqfs_id_table_create(0);
    s->xattrs = sqfs_xattr_writer_create(0);
    s->inodes = sqfs_meta_writer_create(file, s->compressor, 0);
    s->names =
        sqfs_meta_writer_create(file, s->compressor, SQFS_META_WRITER_KEEP_IN_MEMORY);
    if (s->names)
        s->dirs = sqfs_dir_writer_create(s->names, 0);
    s->inode = calloc((size_t)s->nodes + 1, sizeof(sqfs_inode_generic_t *));
    s->place = calloc((size_t)s->nodes + 1, sizeof *s->place);
    if (!rc && (!s->blocks || !s->fragments || !s->owners || !s->xattrs || !s->inodes ||
                !s->dirs || !s->inode || !s->place))
        rc = SQFS_ERROR_ALLOC;
    if (!rc)
        rc = sq_processor(s);
    return rc ? sq_failed(s, rc, "", err) : 0;
}

static void sq_done(struct sq *s)
{
    sqfs_destroy(s->processor); /* its threads first: they use the others */
    sqfs_destroy(s->dirs);
    sqfs_destroy(s->names);
    sqfs_destroy(s->inodes);
    sqfs_destroy(s->xattrs);
    sqfs_destroy(s->owners);
    sqfs_destroy(s->fragments);
    sqfs_destroy(s->blocks);
    sqfs_destroy(s->compressor);
    for (uint32_t i = 0; s->inode && i <= s->nodes; i++)
        sqfs_free(s->inode[i]);
    free(s->inode);
    free(s->place);
}

/* ---- data ------------------------------------------------------------------------ */

static int sq_take(void *opaque, const void *data, size_t length, microvm_error *err)
{
    struct sq *s = opaque;
    int rc = sqfs_block_processor_append(s->processor, data, length);
    return rc ? sq_failed(s, rc, "a file's content", err) : 0;
}

static int sq_data(struct sq *s, microvm_error *err)
{
    struct mv_walk walk;
    mv_walk_begin(&walk, s->w->tree);
    while (mv_walk_next(&walk)) {
        struct mv_node *node = walk.node;
        if (node->type != MV_NODE_FILE || walk.again)
            continue;
        int rc = sqfs_block_processor_begin_file(s->processor, &s->inode[node->number],
                                                 NULL, 0);
        if (rc)
            return sq_failed(s, rc, walk.path, err);
        rc = mv_write_content(s->w, node, sq_take, s, &s->done, s->total, err);
        if (rc)
            return rc;
        rc = sqfs_block_processor_end_file(s->processor);
        if (rc)
            return sq_failed(s, rc, walk.path, err);
    }
    int rc = sqfs_block_processor_finish(s->processor);
    return rc ? sq_failed(s, rc, "data", err) : 0;
}

/* ---- inodes ---------------------------------------------------------------------- */

static int sq_xattrs(struct sq *s, const struct mv_node *node, sqfs_u32 *index)
{
    *index = (sqfs_u32)NO_XATTRS;
    if (node->xattrs == 0)
        return 0;
    int rc = sqfs_xattr_writer_begin(s->xattrs, 0);
    for (unsigned i = 0; !rc && i < node->xattrs; i++)
        rc = sqfs_xattr_writer_add(s->xattrs, node->xattr[i].name, node->xattr[i].value,
                                   node->xattr[i].length);
    return rc ? rc : sqfs_xattr_writer_end(s->xattrs, index);
}

/* An inode of the plain kinds, which libsquashfs lets its users fill in. */
static sqfs_inode_generic_t *sq_plain(const struct mv_node *node)
{
    size_t extra = node->target ? strlen(node->target) : 0;
    sqfs_inode_generic_t *inode = calloc(1, sizeof *inode + extra + 1);
    if (!inode)
        return NULL;
    switch (node->type) {
    case MV_NODE_SYMLINK:
        inode->base.type = SQFS_INODE_SLINK;
        inode->data.slink.nlink = node->names;
        inode->data.slink.target_size = (sqfs_u32)extra;
        memcpy(inode->extra, node->target, extra);
        break;
    case MV_NODE_CHAR:
    case MV_NODE_BLOCK:
        inode->base.type =
            node->type == MV_NODE_CHAR ? SQFS_INODE_CDEV : SQFS_INODE_BDEV;
        inode->data.dev.nlink = node->names;
        inode->data.dev.devno = mv_node_device(node);
        break;
    case MV_NODE_FIFO:
        inode->base.type = SQFS_INODE_FIFO;
        inode->data.ipc.nlink = node->names;
        break;
    case MV_NODE_FILE:
    case MV_NODE_DIRECTORY:
        break;
    }
    return inode;
}

static int sq_directory(struct sq *s, const struct mv_node *dir, sqfs_u32 xattr,
                        sqfs_inode_generic_t **inode)
{
    size_t links = 2;
    int rc = sqfs_dir_writer_begin(s->dirs, 0);
    for (unsigned i = 0; !rc && i < dir->children; i++) {
        const struct mv_name *name = dir->child[i];
        const struct mv_node *node = name->node;
        links += node->type == MV_NODE_DIRECTORY;
        rc = sqfs_dir_writer_add_entry(s->dirs, name->text, node->number,
                                       s->place[node->number],
                                       (sqfs_u16)mv_node_st_mode(node));
    }
    if (!rc)
        rc = sqfs_dir_writer_end(s->dirs);
    if (rc)
        return rc;
    uint32_t parent = dir->name ? dir->name->parent->number : s->nodes + 1;
    *inode = sqfs_dir_writer_create_inode(s->dirs, links, xattr, parent);
    return *inode ? 0 : SQFS_ERROR_ALLOC;
}

/* What inodes of every kind have; then it is written, and its place kept. */
static int sq_write_inode(struct sq *s, const struct mv_node *node,
                          sqfs_inode_generic_t *inode)
{
    sqfs_u64 block;
    sqfs_u32 offset;
    inode->base.mode = node->mode;
    inode->base.mod_time =
        (sqfs_u32)MV_MIN(MV_MAX(node->mtime_s, 0), (int64_t)UINT32_MAX);
    inode->base.inode_number = node->number;
    int rc = sqfs_id_table_id_to_index(s->owners, node->uid, &inode->base.uid_idx);
    if (!rc)
        rc = sqfs_id_table_id_to_index(s->owners, node->gid, &inode->base.gid_idx);
    if (rc)
        return rc;
    sqfs_meta_writer_get_position(s->inodes, &block, &offset);
    s->place[node->number] = block << 16 | offset;
    return sqfs_meta_writer_write_inode(s->inodes, inode);
}

static int sq_inode(struct sq *s, const struct mv_node *node)
{
    sqfs_inode_generic_t *inode = NULL;
    sqfs_u32 xattr;
    int rc = sq_xattrs(s, node, &xattr);
    if (rc)
        return rc;
    if (node->type == MV_NODE_DIRECTORY) {
        rc = sq_directory(s, node, xattr, &inode);
    } else {
        if (node->type == MV_NODE_FILE) {
            inode = s->inode[node->number];
            s->inode[node->number] = NULL;
        } else {
            inode = sq_plain(node);
        }
        rc = inode ? 0 : SQFS_ERROR_ALLOC;
        if (!rc && node->type == MV_NODE_FILE && node->names > 1) {
            rc = sqfs_inode_make_extended(inode);
            inode->data.file_ext.nlink = node->names;
        }
        if (!rc)
            rc = sqfs_inode_set_xattr_index(inode, xattr);
    }
    if (!rc)
        rc = sq_write_inode(s, node, inode);
    sqfs_free(inode);
    return rc;
}

static int sq_inodes(struct sq *s, microvm_error *err)
{
    struct mv_walk walk;
    s->super.inode_table_start = s->file.size;
    s->super.inode_count = s->nodes;
    mv_walk_begin(&walk, s->w->tree);
    while (mv_walk_next(&walk)) {
        bool dir = walk.node->type == MV_NODE_DIRECTORY;
        if (walk.again || (dir && !walk.leaving))
            continue;
        int rc = sq_inode(s, walk.node);
        if (rc)
            return sq_failed(s, rc, walk.path, err);
    }
    s->super.root_inode_ref = s->place[s->w->tree->root->number];
    return 0;
}

static int sq_tables(struct sq *s, microvm_error *err)
{
    sqfs_file_t *file = &s->file.base;
    int rc = sqfs_meta_writer_flush(s->inodes);
    if (!rc)
        rc = sqfs_meta_writer_flush(s->names);
    s->super.directory_table_start = s->file.size;
    if (!rc)
        rc = sqfs_meta_write_write_to_file(s->names);
    if (!rc)
        rc = sqfs_frag_table_write(s->fragments, file, &s->super, s->compressor);
    if (!rc)
        rc = sqfs_id_table_write(s->owners, file, &s->super, s->compressor);
    if (!rc)
        rc = sqfs_xattr_writer_flush(s->xattrs, file, &s->super, s->compressor);
    s->super.bytes_used = s->file.size;
    if (!rc)
        rc = sqfs_super_write(&s->super, file);
    /* A loop or virtio disk shows whole sectors, and Linux reads whole pages. */
    if (!rc)
        rc = file_truncate(file, mv_align_up(s->file.size, SQFS_DEVBLK_SIZE));
    return rc ? sq_failed(s, rc, "tables", err) : 0;
}

int mv_write_squashfs(const struct mv_write *w, int fd, microvm_error *err)
{
    struct sq s = {.w = w,
                   .file = {.base = {.base = {.destroy = file_destroy},
                                     .read_at = file_read_at,
                                     .write_at = file_write_at,
                                     .get_size = file_get_size,
                                     .truncate = file_truncate},
                            .fd = fd}};
    s.nodes = mv_tree_number(w->tree);
    s.total = mv_write_total(w->tree);
    int rc = sq_begin(&s, err);
    if (!rc)
        rc = sq_data(&s, err);
    if (!rc)
        rc = sq_inodes(&s, err);
    if (!rc)
        rc = sq_tables(&s, err);
    sq_done(&s);
    return rc;
}
