/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Nodes into an ext4 file system. Each is made with its name and content first; what
 * describes it (owner, mode, times, attributes) is written last, since the steps before
 * set times of their own.
 */
#include "ext4_nodes.h"

#include "util/bytes.h"

#include <stdlib.h>
#include <string.h>

struct fill {
    const struct mv_write *w;
    ext2_filsys fs;
    ext2_ino_t *inode; /* by node number */
    ext2_file_t file;  /* the one being written */
    uint64_t done, total;
};

static const char lost_found[] = "lost+found";

/* ---- names ----------------------------------------------------------------------- */

static int fill_file_type(const struct mv_node *node)
{
    switch (node->type) {
    case MV_NODE_FILE:
        return EXT2_FT_REG_FILE;
    case MV_NODE_DIRECTORY:
        return EXT2_FT_DIR;
    case MV_NODE_SYMLINK:
        return EXT2_FT_SYMLINK;
    case MV_NODE_CHAR:
        return EXT2_FT_CHRDEV;
    case MV_NODE_BLOCK:
        return EXT2_FT_BLKDEV;
    case MV_NODE_FIFO:
        return EXT2_FT_FIFO;
    }
    return EXT2_FT_UNKNOWN;
}

static errcode_t fill_link(struct fill *f, ext2_ino_t dir, const char *name,
                           ext2_ino_t inode, int type)
{
    errcode_t code = ext2fs_link(f->fs, dir, name, inode, type);
    if (code != EXT2_ET_DIR_NO_SPACE)
        return code;
    code = ext2fs_expand_dir(f->fs, dir);
    return code ? code : ext2fs_link(f->fs, dir, name, inode, type);
}

/* ---- making each kind ------------------------------------------------------------ */

static errcode_t fill_directory(struct fill *f, ext2_ino_t parent, const char *name,
                                ext2_ino_t *inode)
{
    errcode_t code = ext2fs_new_inode(f->fs, parent, LINUX_S_IFDIR | 0755, 0, inode);
    if (code)
        return code;
    code = ext2fs_mkdir(f->fs, parent, *inode, name);
    if (code != EXT2_ET_DIR_NO_SPACE)
        return code;
    code = ext2fs_expand_dir(f->fs, parent);
    return code ? code : ext2fs_mkdir(f->fs, parent, *inode, name);
}

static errcode_t fill_symlink(struct fill *f, ext2_ino_t parent,
                              const struct mv_node *node, ext2_ino_t *inode)
{
    errcode_t code = ext2fs_new_inode(f->fs, parent, LINUX_S_IFLNK | 0777, 0, inode);
    return code ? code : ext2fs_symlink(f->fs, parent, *inode, NULL, node->target);
}

/* An inode of the other kinds, still without content. */
static errcode_t fill_other(struct fill *f, ext2_ino_t parent,
                            const struct mv_node *node, ext2_ino_t *out)
{
    struct ext2_inode inode = {.i_mode = (uint16_t)mv_node_st_mode(node),
                               .i_links_count = 1};
    ext2_ino_t ino;
    errcode_t code = ext2fs_new_inode(f->fs, parent, inode.i_mode, 0, &ino);
    if (!code && node->type == MV_NODE_FILE) {
        ext2_extent_handle_t extents; /* opening an empty inode makes it use them */
        code = ext2fs_extent_open2(f->fs, ino, &inode, &extents);
        if (!code)
            ext2fs_extent_free(extents);
    }
    if (node->type == MV_NODE_CHAR || node->type == MV_NODE_BLOCK) {
        bool old = node->major < 256 && node->minor < 256; /* old_valid_dev */
        inode.i_block[old ? 0 : 1] = mv_node_device(node);
    }
    if (code)
        return code;
    ext2fs_inode_alloc_stats2(f->fs, ino, +1, 0);
    *out = ino;
    return ext2fs_write_new_inode(f->fs, ino, &inode);
}

/* The next length bytes that are all zero, or all to be written, in whole blocks. */
static size_t fill_run(const struct fill *f, const char *data, size_t length,
                       bool *zero)
{
    size_t block = f->fs->blocksize, run = 0;
    while (run < length) {
        size_t n = MV_MIN(block, length - run);
        const char *p = data + run;
        bool empty = *p == 0 && !memcmp(p, p + 1, n - 1);
        if (run == 0)
            *zero = empty;
        else if (empty != *zero)
            break;
        run += n;
    }
    return run;
}

/* Blocks of zeros stay holes. */
static int fill_take(void *opaque, const void *data, size_t length, microvm_error *err)
{
    struct fill *f = opaque;
    for (const char *p = data; length;) {
        bool zero = false;
        size_t run = fill_run(f, p, length, &zero);
        unsigned moved = (unsigned)run;
        errcode_t code = zero ? ext2fs_file_llseek(f->file, run, EXT2_SEEK_CUR, NULL)
                              : ext2fs_file_write(f->file, p, (unsigned)run, &moved);
        if (code)
            return mv_ext4_failed(code, "a file's content", err);
        p += moved;
        length -= moved;
    }
    return 0;
}

static int fill_content(struct fill *f, const struct mv_node *node, ext2_ino_t inode,
                        const char *path, microvm_error *err)
{
    errcode_t code = ext2fs_file_open(f->fs, inode, EXT2_FILE_WRITE, &f->file);
    if (code)
        return mv_ext4_failed(code, path, err);
    int rc = mv_write_content(f->w, node, fill_take, f, &f->done, f->total, err);
    if (!rc)
        code = ext2fs_file_set_size2(f->file, (ext2_off64_t)node->size_bytes);
    errcode_t close_code = ext2fs_file_close(f->file);
    code = code ? code : close_code;
    if (!rc && code)
        rc = mv_ext4_failed(code, path, err);
    return rc;
}

/* ---- describing ------------------------------------------------------------------ */

/* Seconds in 34 bits: 32 as a signed number, two more above (Linux,
 * Documentation/filesystems/ext4/inodes.rst, "Inode Timestamps"). */
static void fill_time(int64_t time_s, uint32_t *low, uint32_t *extra)
{
    const int64_t most = ((int64_t)1 << 34) - ((int64_t)1 << 31) - 1;
    int64_t t = MV_MAX(MV_MIN(time_s, most), (int64_t)INT32_MIN);
    *low = (uint32_t)t;
    *extra = (uint32_t)((t - (int32_t)*low) >> 32) & EXT4_EPOCH_MASK;
}

static errcode_t fill_attributes(struct fill *f, const struct mv_node *node,
                                 ext2_ino_t inode)
{
    struct ext2_xattr_handle *handle;
    if (node->xattrs == 0)
        return 0;
    errcode_t code = ext2fs_xattrs_open(f->fs, inode, &handle);
    if (code)
        return code;
    for (unsigned i = 0; !code && i < node->xattrs; i++)
        code = ext2fs_xattr_set(handle, node->xattr[i].name, node->xattr[i].value,
                                node->xattr[i].length);
    errcode_t close_code = ext2fs_xattrs_close(&handle);
    return code ? code : close_code;
}

static errcode_t fill_describe(struct fill *f, const struct mv_node *node,
                               ext2_ino_t inode)
{
    struct ext2_inode_large large;
    struct ext2_inode *plain = (struct ext2_inode *)(void *)&large;
    errcode_t code = ext2fs_read_inode_full(f->fs, inode, plain, sizeof large);
    if (code)
        return code;
    large.i_mode = (uint16_t)mv_node_st_mode(node);
    large.i_uid = (uint16_t)node->uid;
    large.i_gid = (uint16_t)node->gid;
    large.osd2.linux2.l_i_uid_high = (uint16_t)(node->uid >> 16);
    large.osd2.linux2.l_i_gid_high = (uint16_t)(node->gid >> 16);
    if (node->type != MV_NODE_DIRECTORY)
        large.i_links_count = (uint16_t)node->names;
    large.i_extra_isize = sizeof large - EXT2_GOOD_OLD_INODE_SIZE;
    fill_time(node->mtime_s, &large.i_mtime, &large.i_mtime_extra);
    large.i_atime = large.i_ctime = large.i_crtime = large.i_mtime;
    large.i_atime_extra = large.i_ctime_extra = large.i_crtime_extra =
        large.i_mtime_extra;
    code = ext2fs_write_inode_full(f->fs, inode, plain, sizeof large);
    return code ? code : fill_attributes(f, node, inode);
}

/* ---- the walk -------------------------------------------------------------------- */

static int fill_new(struct fill *f, const struct mv_walk *walk, ext2_ino_t parent,
                    microvm_error *err)
{
    const struct mv_node *node = walk->node;
    const char *name = walk->name->text;
    ext2_ino_t inode = 0;
    errcode_t code;
    if (node->names > EXT2_LINK_MAX)
        return mv_fail(err, MICROVM_E_INVALID, "ext4: a file with more than %d names",
                       EXT2_LINK_MAX);
    if (node->type == MV_NODE_DIRECTORY)
        code = fill_directory(f, parent, name, &inode);
    else if (node->type == MV_NODE_SYMLINK)
        code = fill_symlink(f, parent, node, &inode);
    else
        code = fill_other(f, parent, node, &inode);
    if (!code && node->type != MV_NODE_DIRECTORY)
        code = fill_link(f, parent, name, inode, fill_file_type(node));
    if (code)
        return mv_ext4_failed(code, walk->path, err);
    f->inode[node->number] = inode;
    return node->type == MV_NODE_FILE ? fill_content(f, node, inode, walk->path, err)
                                      : 0;
}

static int fill_one(struct fill *f, const struct mv_walk *walk, microvm_error *err)
{
    const struct mv_node *node = walk->node;
    errcode_t code = 0;
    ext2_ino_t parent = walk->name ? f->inode[walk->name->parent->number] : 0;
    if (walk->again) {
        code = fill_link(f, parent, walk->name->text, f->inode[node->number],
                         fill_file_type(node));
        return code ? mv_ext4_failed(code, walk->path, err) : 0;
    }
    if (walk->name && !walk->leaving) {
        int rc = fill_new(f, walk, parent, err);
        if (rc)
            return rc;
    }
    /* A directory is described when nothing is put into it any more. */
    if (node->type != MV_NODE_DIRECTORY || walk->leaving)
        code = fill_describe(f, node, f->inode[node->number]);
    return code ? mv_ext4_failed(code, walk->path, err) : 0;
}

/* e2fsck wants a place for what it finds. */
static int fill_lost_found(struct fill *f, microvm_error *err)
{
    struct mv_node node = {
        .type = MV_NODE_DIRECTORY, .mode = 0700, .mtime_s = MV_MAX(f->w->epoch_s, 1)};
    ext2_ino_t inode = 0;
    if (mv_tree_find(f->w->tree, lost_found, NULL))
        return 0;
    errcode_t code = fill_directory(f, EXT2_ROOT_INO, lost_found, &inode);
    if (!code)
        code = fill_describe(f, &node, inode);
    return code ? mv_ext4_failed(code, lost_found, err) : 0;
}

int mv_ext4_nodes(const struct mv_write *w, ext2_filsys fs, uint32_t nodes,
                  microvm_error *err)
{
    struct fill f = {.w = w, .fs = fs, .total = mv_write_total(w->tree)};
    struct mv_walk walk;
    f.inode = calloc((size_t)nodes + 1, sizeof *f.inode);
    if (!f.inode)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "ext4: no memory");
    f.inode[w->tree->root->number] = EXT2_ROOT_INO;
    int rc = fill_lost_found(&f, err);
    mv_walk_begin(&walk, w->tree);
    while (!rc && mv_walk_next(&walk))
        rc = fill_one(&f, &walk, err);
    free(f.inode);
    return rc;
}
