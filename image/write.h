/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Writers: a tree as an image. The same tree gives the same bytes, always: entries come
 * in the order of a walk, no clock is asked, and what has to be unique (UUIDs, hash
 * seeds) is made from the content.
 */
#ifndef MV_IMAGE_WRITE_H
#define MV_IMAGE_WRITE_H

#include "digest.h"
#include "progress.h"
#include "store.h"
#include "tree.h"

enum mv_format {
    MV_FORMAT_INITRAMFS,
    MV_FORMAT_SQUASHFS,
    MV_FORMAT_EXT4,
    MV_FORMAT_EROFS,
    MV_FORMAT_TAR,
    MV_FORMAT_DIR
};

enum mv_compress {
    MV_COMPRESS_AUTO, /* what suits the format best */
    MV_COMPRESS_NONE,
    MV_COMPRESS_GZIP,
    MV_COMPRESS_ZSTD,
    MV_COMPRESS_LZ4,
    MV_COMPRESS_XZ
};

struct mv_write {
    struct mv_tree *tree; /* is numbered by the writer */
    const struct mv_store *store;
    enum mv_format format;
    enum mv_compress compress;
    uint64_t size_bytes;    /* EXT4: of the file system; 0: what it needs and a tenth */
    bool no_journal;        /* EXT4: never one */
    const char *mkfs_erofs; /* EROFS: the program; NULL: the installed one */
    int64_t epoch_s;        /* the image's own times */
    const struct mv_progress *progress;
};

/* To a file, `fd`, that is empty; nothing is closed. */
int mv_write_archive(const struct mv_write *w, int fd, microvm_error *err);
int mv_write_squashfs(const struct mv_write *w, int fd, microvm_error *err);
int mv_write_ext4(const struct mv_write *w, int fd, microvm_error *err);
/* By mkfs.erofs; needs room in `folder` for all of it. */
int mv_write_erofs(const struct mv_write *w, const char *folder, int fd,
                   microvm_error *err);
/* Bytes of the file system that size_bytes 0 gives; numbers the tree. */
uint64_t mv_write_ext4_bytes(struct mv_tree *tree);
/* To a folder that must not be there yet; it appears complete or not at all. */
int mv_write_folder(const struct mv_write *w, const char *path, microvm_error *err);

/* ---- what writers share ---------------------------------------------------------- */

/* Bytes of content in all files, each node counted once. */
uint64_t mv_write_total(const struct mv_tree *tree);
/* Of metadata and content: the same exactly when images are. Numbers the tree. */
int mv_write_identity(const struct mv_write *w, struct mv_digest *digest,
                      microvm_error *err);
/* Gives the content of a file to `take`, piece by piece, and tells the progress: *done
 * grows. */
int mv_write_content(const struct mv_write *w, const struct mv_node *node,
                     int (*take)(void *opaque, const void *data, size_t length,
                                 microvm_error *err),
                     void *opaque, uint64_t *done, uint64_t total, microvm_error *err);
/* With the bits that stat() has for the type. */
uint32_t mv_node_st_mode(const struct mv_node *node);
/* As Linux encodes it in 32 bits (new_encode_dev). */
uint32_t mv_node_device(const struct mv_node *node);

#endif
