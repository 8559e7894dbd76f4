/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * ext4 by libext2fs: made and filled as mke2fs does both, in one go and without a
 * mount, hence without root. Features are those of mke2fs for "ext4", but for two: no
 * reserved inode for growing (64bit file systems grow without), and no uninitialised
 * inode tables (the file is new, all of it reads as zero), so that Linux has nothing to
 * do in the background after the first mount.
 *
 * Reproducible: UUID and hash seed come from the content, all times from the nodes and
 * the epoch. Time 0 means "now" to libext2fs, so an epoch of 0 is written as 1.
 */
#include "ext4_nodes.h"
#include "files.h"
#include "util/bytes.h"
#include "util/str.h"

#include <stdio.h>

enum {
    BLOCK_BYTES = 4096,
    INODE_BYTES = 256,
    EXTRA_BYTES = sizeof(struct ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE,
    FLEX_LOG = 4,            /* mke2fs' own: 16 groups share their tables' place */
    BYTES_PER_INODE = 16384, /* mke2fs' own, for files to come */
    INODES_SPARE = 64
};

/* Without com_err's list of tables, which is the process's. */
static const char *ext4_words(errcode_t code)
{
    const struct error_table *table = &et_ext2_error_table;
    long at = code - table->base;
    return at >= 0 && at < table->n_msgs ? table->msgs[at] : error_message(code);
}

int mv_ext4_failed(errcode_t code, const char *what, microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    (void)mv_str_show(shown, *what ? what : "/");
    if (code == EXT2_ET_BLOCK_ALLOC_FAIL || code == EXT2_ET_INODE_ALLOC_FAIL ||
        code == EXT2_ET_TOOSMALL)
        return mv_fail(err, MICROVM_E_INVALID,
                       "ext4: full at '%s'; a larger --size is needed", shown);
    if (code == EXT2_ET_NO_MEMORY)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "ext4: no memory");
    return mv_fail(err, MICROVM_E_IO, "ext4: '%s': %s", shown, ext4_words(code));
}

/* ---- how large ------------------------------------------------------------------- */

static uint64_t ext4_blocks_of(const struct mv_node *node)
{
    uint64_t bytes = 0, attributes = 0;
    for (unsigned i = 0; i < node->xattrs; i++)
        attributes += node->xattr[i].length + 32;
    if (node->type == MV_NODE_FILE) /* and a block of extents for each 128 MiB */
        bytes = node->size_bytes + (node->size_bytes >> 15);
    if (node->type == MV_NODE_SYMLINK && strlen(node->target) >= 60)
        bytes = BLOCK_BYTES;
    if (node->type == MV_NODE_DIRECTORY) {
        bytes = BLOCK_BYTES / 2;
        for (unsigned i = 0; i < node->children; i++)
            bytes += mv_align_up(strlen(node->child[i]->text) + 8, 4);
        bytes += bytes / 8; /* names do not fill blocks to the end */
    }
    return (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES + (attributes > 60);
}

/* What a tree needs, and a tenth. */
static uint64_t ext4_blocks(const struct mv_tree *tree, uint32_t inodes)
{
    struct mv_walk walk;
    uint64_t blocks = 64;
    mv_walk_begin(&walk, tree);
    while (mv_walk_next(&walk))
        if (!walk.again && !walk.leaving)
            blocks += ext4_blocks_of(walk.node);
    blocks += (uint64_t)inodes * INODE_BYTES / BLOCK_BYTES;
    blocks += blocks / 10 + blocks / 128; /* bitmaps and descriptors of groups */
    int journal = ext2fs_default_journal_size(blocks);
    blocks += journal > 0 ? (uint64_t)journal : 0;
    return mv_align_up(blocks, MV_MIB(1) / BLOCK_BYTES);
}

/* ---- making ---------------------------------------------------------------------- */

static void ext4_features(struct ext2_super_block *super)
{
    ext2fs_set_feature_xattr(super);
    ext2fs_set_feature_dir_index(super);
    ext2fs_set_feature_filetype(super);
    ext2fs_set_feature_extents(super);
    ext2fs_set_feature_64bit(super);
    ext2fs_set_feature_flex_bg(super);
    ext2fs_set_feature_sparse_super(super);
    ext2fs_set_feature_large_file(super);
    ext2fs_set_feature_huge_file(super);
    ext2fs_set_feature_dir_nlink(super);
    ext2fs_set_feature_extra_isize(super);
    ext2fs_set_feature_metadata_csum(super);
}

/* The superblock's own: what must be unique, and what must not depend on today. */
static void ext4_identify(ext2_filsys fs, const struct mv_digest *identity,
                          int64_t epoch_s)
{
    struct ext2_super_block *super = fs->super;
    memcpy(super->s_uuid, identity->byte, 16);
    super->s_uuid[6] = (uint8_t)((super->s_uuid[6] & 0x0f) | 0x40); /* RFC 9562, 5.4 */
    super->s_uuid[8] = (uint8_t)((super->s_uuid[8] & 0x3f) | 0x80);
    memcpy(super->s_hash_seed, identity->byte + 16, sizeof super->s_hash_seed);
    super->s_def_hash_version = EXT2_HASH_HALF_MD4;
    super->s_flags |= EXT2_FLAGS_SIGNED_HASH; /* or it depends on the host's char */
    super->s_mkfs_time = super->s_lastcheck = (uint32_t)epoch_s;
    super->s_max_mnt_count = -1;
    super->s_checkinterval = 0;
    super->s_min_extra_isize = super->s_want_extra_isize = EXTRA_BYTES;
    super->s_default_mount_opts |= EXT2_DEFM_XATTR_USER | EXT2_DEFM_ACL;
    super->s_errors = EXT2_ERRORS_CONTINUE;
    super->s_checksum_type = EXT2_CRC32C_CHKSUM; /* initialize does not take it over */
    ext2fs_init_csum_seed(fs);
}

static int ext4_open(const struct mv_write *w, int fd, uint64_t blocks, uint32_t nodes,
                     ext2_filsys *fs, microvm_error *err)
{
    struct ext2_super_block param = {.s_rev_level = EXT2_DYNAMIC_REV};
    uint64_t inodes = (uint64_t)nodes + EXT2_GOOD_OLD_FIRST_INO + INODES_SPARE;
    char name[32];
    int copy; /* libext2fs closes it */
    inodes = MV_MAX(inodes, blocks * BLOCK_BYTES / BYTES_PER_INODE);
    if (inodes > UINT32_MAX / 2 || blocks < 256)
        return mv_fail(err, MICROVM_E_INVALID, "ext4: %llu MiB is no size for %u files",
                       (unsigned long long)(blocks * BLOCK_BYTES >> 20), nodes);
    ext4_features(&param);
    ext2fs_blocks_count_set(&param, blocks);
    param.s_log_block_size = 2; /* 1024 << 2 */
    param.s_log_cluster_size = 2;
    param.s_inode_size = INODE_BYTES;
    param.s_inodes_count = (uint32_t)inodes;
    param.s_first_ino = EXT2_GOOD_OLD_FIRST_INO;
    param.s_log_groups_per_flex = FLEX_LOG;
    int rc = mv_files_resize(fd, blocks * BLOCK_BYTES, "image", err);
    if (!rc)
        rc = mv_files_again(fd, &copy, err);
    if (rc)
        return rc;
    (void)snprintf(name, sizeof name, "%d", copy);
    errcode_t code =
        ext2fs_initialize(name, EXT2_FLAG_64BITS, &param, unixfd_io_manager, fs);
    if (code) {
        mv_files_close(copy);
        return mv_ext4_failed(code, "superblock", err);
    }
    (*fs)->now = (time_t)MV_MAX(w->epoch_s, 1);
    return 0;
}

/* The inodes below 11 are taken, and inode tables need no zeroing later. */
static errcode_t ext4_reserve(ext2_filsys fs)
{
    errcode_t code = ext2fs_allocate_tables(fs);
    if (code)
        return code;
    for (dgrp_t group = 0; group < fs->group_desc_count; group++) {
        ext2fs_bg_flags_set(fs, group, EXT2_BG_INODE_ZEROED);
        ext2fs_group_desc_csum_set(fs, group);
    }
    for (ext2_ino_t i = 1; i < EXT2_FIRST_INODE(fs->super); i++)
        if (i != EXT2_ROOT_INO)
            ext2fs_inode_alloc_stats2(fs, i, +1, 0);
    ext2fs_mark_ib_dirty(fs);
    return ext2fs_update_bb_inode(fs, NULL);
}

static errcode_t ext4_journal(ext2_filsys fs)
{
    int blocks = ext2fs_default_journal_size(ext2fs_blocks_count(fs->super));
    if (blocks < 0)
        return 0; /* too small a file system for one */
    return ext2fs_add_journal_inode(
        fs, (blk_t)blocks, EXT2_MKJOURNAL_NO_MNT_CHECK | EXT2_MKJOURNAL_LAZYINIT);
}

/* Everything into an open file system. */
static int ext4_fill(const struct mv_write *w, ext2_filsys fs, uint32_t nodes,
                     microvm_error *err)
{
    struct mv_digest identity;
    int rc = mv_write_identity(w, &identity, err);
    if (rc)
        return rc;
    ext4_identify(fs, &identity, MV_MAX(w->epoch_s, 1));
    errcode_t code = ext4_reserve(fs);
    if (!code)
        code = ext2fs_mkdir(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, 0);
    if (!code && !w->no_journal)
        code = ext4_journal(fs);
    if (code)
        return mv_ext4_failed(code, "tables", err);
    return mv_ext4_nodes(w, fs, nodes, err);
}

static int ext4_write(const struct mv_write *w, int fd, uint64_t blocks, uint32_t nodes,
                      microvm_error *err)
{
    ext2_filsys fs = NULL;
    int rc = ext4_open(w, fd, blocks, nodes, &fs, err);
    if (rc)
        return rc;
    rc = ext4_fill(w, fs, nodes, err);
    if (rc) {
        ext2fs_free(fs); /* closes without writing */
        return rc;
    }
    errcode_t code = ext2fs_close_free(&fs);
    return code ? mv_ext4_failed(code, "the end", err) : 0;
}

uint64_t mv_write_ext4_bytes(struct mv_tree *tree)
{
    uint32_t nodes = mv_tree_number(tree);
    return ext4_blocks(tree, nodes + INODES_SPARE) * BLOCK_BYTES;
}

int mv_write_ext4(const struct mv_write *w, int fd, microvm_error *err)
{
    uint32_t nodes = mv_tree_number(w->tree);
    uint64_t blocks = w->size_bytes / BLOCK_BYTES;
    if (w->compress != MV_COMPRESS_AUTO && w->compress != MV_COMPRESS_NONE)
        return mv_fail(err, MICROVM_E_UNSUPPORTED, "ext4 knows no compression");
    if (!w->size_bytes)
        blocks = ext4_blocks(w->tree, nodes + INODES_SPARE);
    return ext4_write(w, fd, blocks, nodes, err);
}
