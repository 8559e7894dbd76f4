/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reading by libext2fs, without a mount. Whatever ran in the guest could write any byte
 * of this file system: names are checked as an archive's are, contents are counted
 * against the store's limit, a directory that is met twice ends the reading, and
 * nothing here recurses. The library checks metadata's checksums.
 */
#include "read_ext4.h"

#include "ext4_nodes.h"
#include "files.h"
#include "util/bytes.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 64 * 1024, INODE_BYTES_MIN = 128 };

/* A directory whose entries are still to be read. */
struct folder {
    struct folder *next;
    ext2_ino_t inode;
    char path[];
};

struct intake {
    struct mv_tree *tree;
    struct mv_store *store;
    enum mv_devices devices;
    const struct mv_progress *progress;
    ext2_filsys fs;
    char **seen; /* by inode: the path of a file with several names, of a directory */
    struct folder *todo;
    const char *path; /* of the directory that is being read */
    uint64_t done;
    microvm_error *err;
    int rc;
    struct mv_node *node; /* whose attributes are being read */
    char piece[PIECE_BYTES];
};

/* ---- what describes a node ------------------------------------------------------- */

/* As fill_time of ext4_nodes.c writes it. */
static void intake_time(struct mv_node *node, const struct ext2_inode_large *inode)
{
    const size_t needed =
        offsetof(struct ext2_inode_large, i_mtime_extra) + 4 - EXT2_GOOD_OLD_INODE_SIZE;
    node->mtime_s = (int32_t)inode->i_mtime;
    if (inode->i_extra_isize < needed)
        return;
    node->mtime_s += (int64_t)(inode->i_mtime_extra & EXT4_EPOCH_MASK) << 32;
    node->mtime_fraction = inode->i_mtime_extra & EXT4_NSEC_MASK;
}

static void intake_describe(struct mv_node *node, const struct ext2_inode_large *inode)
{
    node->mode = inode->i_mode & 07777;
    node->uid = inode->i_uid | (uint32_t)inode->osd2.linux2.l_i_uid_high << 16;
    node->gid = inode->i_gid | (uint32_t)inode->osd2.linux2.l_i_gid_high << 16;
    intake_time(node, inode);
}

static int intake_xattr(char *name, char *value, size_t length, void *opaque)
{
    static const char *const kept[] = {"user.", "trusted.", "security."};
    struct intake *in = opaque;
    for (unsigned i = 0; i < MV_ARRAY_LEN(kept); i++)
        if (!strncmp(name, kept[i], strlen(kept[i])))
            in->rc = mv_node_xattr(in->node, name, value, length, in->err);
    return in->rc ? XATTR_ABORT : 0;
}

static int intake_xattrs(struct intake *in, ext2_ino_t inode, struct mv_node *node,
                         const char *path)
{
    struct ext2_xattr_handle *handle;
    errcode_t code = ext2fs_xattrs_open(in->fs, inode, &handle);
    if (code)
        return mv_ext4_failed(code, path, in->err);
    in->node = node;
    code = ext2fs_xattrs_read(handle);
    if (!code)
        code = ext2fs_xattrs_iterate(handle, intake_xattr, in);
    (void)ext2fs_xattrs_close(&handle);
    return code && !in->rc ? mv_ext4_failed(code, path, in->err) : in->rc;
}

/* ---- contents -------------------------------------------------------------------- */

static bool intake_is_zero(const char *data, size_t length)
{
    return length && *data == 0 && !memcmp(data, data + 1, length - 1);
}

static int intake_bytes(struct intake *in, ext2_file_t file, struct mv_node *node,
                        const char *path)
{
    for (uint64_t at = 0; at < node->size_bytes;) {
        unsigned got = 0, want = (unsigned)MV_MIN(node->size_bytes - at,
                                                  (uint64_t)sizeof in->piece);
        errcode_t code = ext2fs_file_read(file, in->piece, want, &got);
        if (code || !got)
            return mv_ext4_failed(code ? code : EXT2_ET_SHORT_READ, path, in->err);
        int rc =
            intake_is_zero(in->piece, got)
                ? 0
                : mv_store_write(in->store, node->offset + at, in->piece, got, in->err);
        at += got;
        in->done += got;
        if (!rc)
            rc = mv_progress(in->progress, "reading back", in->done, 0, in->err);
        if (rc)
            return rc;
    }
    return 0;
}

static int intake_content(struct intake *in, ext2_ino_t number,
                          struct ext2_inode_large *inode, struct mv_node *node,
                          const char *path)
{
    ext2_file_t file;
    node->size_bytes = EXT2_I_SIZE(inode);
    int rc = mv_store_add(in->store, node->size_bytes, &node->offset, in->err);
    if (rc)
        return rc;
    errcode_t code = ext2fs_file_open(in->fs, number, 0, &file);
    if (code)
        return mv_ext4_failed(code, path, in->err);
    rc = intake_bytes(in, file, node, path);
    (void)ext2fs_file_close(file);
    return rc;
}

static int intake_target(struct intake *in, ext2_ino_t number,
                         struct ext2_inode_large *inode, struct mv_node *node,
                         const char *path)
{
    uint64_t size = EXT2_I_SIZE(inode);
    ext2_file_t file;
    unsigned got = 0;
    if (size == 0 || size >= MV_TREE_PATH_MAX)
        return mv_fail(in->err, MICROVM_E_INVALID, "ext4: '%s': no symbolic link",
                       path);
    node->target = calloc(1, (size_t)size + 1);
    if (!node->target)
        return mv_fail(in->err, MICROVM_E_NO_MEMORY, "no memory");
    if (ext2fs_is_fast_symlink((struct ext2_inode *)(void *)inode) &&
        size < sizeof inode->i_block) {
        memcpy(node->target, inode->i_block, (size_t)size);
    } else {
        errcode_t code = ext2fs_file_open(in->fs, number, 0, &file);
        if (code)
            return mv_ext4_failed(code, path, in->err);
        code = ext2fs_file_read(file, node->target, (unsigned)size, &got);
        (void)ext2fs_file_close(file);
        if (code)
            return mv_ext4_failed(code, path, in->err);
    }
    if (strlen(node->target) != size)
        return mv_fail(in->err, MICROVM_E_INVALID,
                       "ext4: '%s': a symbolic link with a zero in it", path);
    return 0;
}

/* As Linux decodes it (old_decode_dev, new_decode_dev). */
static void intake_device(struct mv_node *node, const struct ext2_inode_large *inode)
{
    uint32_t old = inode->i_block[0], new = inode->i_block[1];
    node->major = old ? old >> 8 & 0xff : (new & 0xfff00) >> 8;
    node->minor = old ? old & 0xff : (new & 0xff) | (new >> 12 & 0xfff00);
}

/* ---- nodes ----------------------------------------------------------------------- */

/* False: to be left out. */
static bool intake_type(const struct ext2_inode_large *inode, enum mv_node_type *type)
{
    static const struct {
        unsigned mode;
        enum mv_node_type type;
    } types[] = {{LINUX_S_IFREG, MV_NODE_FILE},    {LINUX_S_IFDIR, MV_NODE_DIRECTORY},
                 {LINUX_S_IFLNK, MV_NODE_SYMLINK}, {LINUX_S_IFCHR, MV_NODE_CHAR},
                 {LINUX_S_IFBLK, MV_NODE_BLOCK},   {LINUX_S_IFIFO, MV_NODE_FIFO}};
    for (unsigned i = 0; i < MV_ARRAY_LEN(types); i++) {
        *type = types[i].type;
        if ((inode->i_mode & LINUX_S_IFMT) == types[i].mode)
            return true;
    }
    return false;
}

static int intake_fill(struct intake *in, ext2_ino_t number,
                       struct ext2_inode_large *inode, struct mv_node *node,
                       const char *path)
{
    intake_describe(node, inode);
    int rc = intake_xattrs(in, number, node, path);
    if (rc)
        return rc;
    switch (node->type) {
    case MV_NODE_FILE:
        return intake_content(in, number, inode, node, path);
    case MV_NODE_SYMLINK:
        return intake_target(in, number, inode, node, path);
    case MV_NODE_CHAR:
    case MV_NODE_BLOCK:
        intake_device(node, inode);
        return 0;
    case MV_NODE_DIRECTORY:
    case MV_NODE_FIFO:
        break;
    }
    return 0;
}

static int intake_later(struct intake *in, ext2_ino_t inode, const char *path)
{
    size_t size = strlen(path) + 1;
    struct folder *folder = malloc(sizeof *folder + size);
    if (!folder)
        return mv_fail(in->err, MICROVM_E_NO_MEMORY, "no memory");
    memcpy(folder->path, path, size);
    folder->inode = inode;
    folder->next = in->todo;
    in->todo = folder;
    return 0;
}

static int intake_new(struct intake *in, ext2_ino_t number, const char *path)
{
    struct ext2_inode_large inode = {0}; /* a small one is not all of it */
    enum mv_node_type type;
    errcode_t code = ext2fs_read_inode_full(
        in->fs, number, (struct ext2_inode *)(void *)&inode, sizeof inode);
    if (code)
        return mv_ext4_failed(code, path, in->err);
    if (!intake_type(&inode, &type))
        return 0; /* a socket, of which nobody has the other end */
    bool device = type == MV_NODE_CHAR || type == MV_NODE_BLOCK;
    if (device && in->devices == MV_DEVICES_SKIP)
        return 0;
    if (device && in->devices == MV_DEVICES_REFUSE)
        return mv_fail(in->err, MICROVM_E_INVALID,
                       "'%s': a device node was made by what was run; devices says "
                       "skip or keep",
                       path);
    struct mv_node *node = mv_node_new(type);
    if (!node)
        return mv_fail(in->err, MICROVM_E_NO_MEMORY, "no memory");
    int rc = intake_fill(in, number, &inode, node, path);
    if (rc) {
        mv_node_free(node);
        return rc;
    }
    rc = mv_tree_put(in->tree, path, node, in->err);
    if (rc || (type != MV_NODE_DIRECTORY && inode.i_links_count < 2))
        return rc;
    in->seen[number] = strdup(path);
    if (!in->seen[number])
        return mv_fail(in->err, MICROVM_E_NO_MEMORY, "no memory");
    return type == MV_NODE_DIRECTORY ? intake_later(in, number, path) : 0;
}

static int intake_entry(struct intake *in, ext2_ino_t inode, const char *name,
                        size_t length)
{
    char text[MV_TREE_PATH_MAX], path[MV_TREE_PATH_MAX], shown[MV_STR_SHOWN];
    int n = snprintf(text, sizeof text, "%s%s%.*s", in->path, *in->path ? "/" : "",
                     (int)length, name);
    if (n < 0 || n >= (int)sizeof text || memchr(name, '/', length) ||
        memchr(name, '\0', length) || (length == 1 && *name == '.') ||
        inode >= in->fs->super->s_inodes_count + 1)
        return mv_fail(in->err, MICROVM_E_INVALID, "ext4: '%s' holds what is no name",
                       mv_str_show(shown, in->path));
    int rc = mv_tree_path(text, false, path, in->err);
    if (rc)
        return rc;
    if (!in->seen[inode])
        return intake_new(in, inode, path);
    const struct mv_node *node = mv_tree_find(in->tree, in->seen[inode], NULL);
    if (!node || node->type == MV_NODE_DIRECTORY)
        return mv_fail(in->err, MICROVM_E_INVALID,
                       "ext4: '%s' is met twice: the file system is broken",
                       mv_str_show(shown, path));
    return mv_tree_link(in->tree, path, in->seen[inode], in->err);
}

static int intake_found(ext2_ino_t dir, int kind, struct ext2_dir_entry *entry,
                        int offset, int block, char *buffer, void *opaque)
{
    struct intake *in = opaque;
    (void)dir, (void)offset, (void)block, (void)buffer;
    if (kind == DIRENT_DOT_FILE || kind == DIRENT_DOT_DOT_FILE)
        return 0;
    in->rc = intake_entry(in, entry->inode, entry->name,
                          (size_t)ext2fs_dirent_name_len(entry));
    return in->rc ? DIRENT_ABORT : 0;
}

static int intake_folder(struct intake *in, const struct folder *folder)
{
    in->path = folder->path;
    errcode_t code =
        ext2fs_dir_iterate2(in->fs, folder->inode, 0, NULL, intake_found, in);
    return code && !in->rc ? mv_ext4_failed(code, folder->path, in->err) : in->rc;
}

static int intake_root(struct intake *in)
{
    struct ext2_inode_large inode = {0}; /* a small one is not all of it */
    errcode_t code = ext2fs_read_inode_full(
        in->fs, EXT2_ROOT_INO, (struct ext2_inode *)(void *)&inode, sizeof inode);
    if (code)
        return mv_ext4_failed(code, "", in->err);
    intake_describe(in->tree->root, &inode);
    in->seen[EXT2_ROOT_INO] = strdup("");
    if (!in->seen[EXT2_ROOT_INO])
        return mv_fail(in->err, MICROVM_E_NO_MEMORY, "no memory");
    int rc = intake_xattrs(in, EXT2_ROOT_INO, in->tree->root, "");
    return rc ? rc : intake_later(in, EXT2_ROOT_INO, "");
}

/* ---- all of it ------------------------------------------------------------------- */

static int intake_check(const struct intake *in, int fd)
{
    const struct ext2_super_block *super = in->fs->super;
    uint64_t bytes = 0;
    int rc = mv_files_size(fd, &bytes, in->err);
    if (rc)
        return rc;
    if (super->s_inodes_count > bytes / INODE_BYTES_MIN)
        return mv_fail(in->err, MICROVM_E_INVALID,
                       "ext4: more inodes than there is room for: it is broken");
    if (!(super->s_state & EXT2_VALID_FS) || super->s_state & EXT2_ERROR_FS)
        return mv_fail(in->err, MICROVM_E_INVALID,
                       "the image's file system was not unmounted: what was run has "
                       "left something that does not end, or has broken it");
    return 0;
}

static int intake_all(struct intake *in)
{
    size_t count = (size_t)in->fs->super->s_inodes_count + 1;
    in->seen = calloc(count, sizeof *in->seen);
    int rc =
        in->seen ? intake_root(in) : mv_fail(in->err, MICROVM_E_NO_MEMORY, "no memory");
    for (struct folder *folder; (folder = in->todo); free(folder)) {
        in->todo = folder->next;
        if (!rc)
            rc = intake_folder(in, folder);
    }
    for (size_t i = 0; in->seen && i < count; i++)
        free(in->seen[i]);
    free(in->seen);
    return rc;
}

int mv_read_ext4(struct mv_tree *tree, struct mv_store *store, int fd,
                 enum mv_devices devices, const struct mv_progress *progress,
                 microvm_error *err)
{
    char name[32];
    int copy; /* libext2fs closes it */
    int rc = mv_files_again(fd, &copy, err);
    if (rc)
        return rc;
    struct intake *in = calloc(1, sizeof *in);
    (void)snprintf(name, sizeof name, "%d", copy);
    if (!in) {
        mv_files_close(copy);
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    }
    in->tree = tree;
    in->store = store;
    in->devices = devices;
    in->progress = progress;
    in->err = err;
    errcode_t code =
        ext2fs_open(name, EXT2_FLAG_64BITS, 0, 0, unixfd_io_manager, &in->fs);
    if (code) {
        mv_files_close(copy);
        rc = mv_ext4_failed(code, "superblock", err);
    } else {
        rc = intake_check(in, fd);
        if (!rc)
            rc = intake_all(in);
        ext2fs_free(in->fs);
    }
    free(in);
    return rc;
}
