/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * File trees as a row of entries, read from a disk and written to one: what a copy
 * between host and guest is on both ends. The same code runs in the library and in the
 * guest's agent, because each end has to mistrust the other and whoever else moves
 * files in these folders meanwhile.
 *
 * Paths of entries are relative to the tree's root, with '/' between names that are
 * bytes; the root's own is "". Nothing outside of the root is ever touched: every step
 * is openat() with O_NOFOLLOW from a descriptor that is held, and names like ".." are
 * refused. Extended attributes, access lists and devices are not copied.
 */
#ifndef MV_OS_TREE_H
#define MV_OS_TREE_H

#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MV_FILETREE_DEPTH = 512,      /* folders in each other: descriptors that are held */
    MV_FILETREE_PATH_MAX = 32768, /* bytes of an entry's path */
    MV_FILETREE_TARGET_MAX = 4096, /* of what a symbolic link says */
    MV_FILETREE_LINKS_MAX = 65536  /* files with several names that are remembered; the
                                  others arrive as files of their own */
};

enum mv_filetree_type {
    MV_FILETREE_DIRECTORY,
    MV_FILETREE_FILE,    /* its data follows */
    MV_FILETREE_LINK,    /* symbolic */
    MV_FILETREE_SAME,    /* another name of a file that came before */
    MV_FILETREE_SKIPPED, /* a device, a socket: told, not copied */
    MV_FILETREE_TYPES
};

struct mv_filetree_entry {
    enum mv_filetree_type type;
    const char *path;
    const char *target; /* LINK: what it says; SAME: the other path; SKIPPED: why */
    uint32_t mode;      /* 07777 */
    uint32_t uid, gid;
    int64_t mtime_ns; /* since 1970 */
    uint64_t size;    /* of a file as it began; its data may turn out otherwise */
};

/* ---- reading --------------------------------------------------------------------- */

struct mv_filetree_reader;

/* Opens the tree at `path`: a folder, a file, or a symbolic link, which is followed if
 * `follow` or with a slash behind it. */
int mv_filetree_read_open(struct mv_filetree_reader **out, const char *path,
                          bool follow, microvm_error *err);
/* The root, before it is read. */
const struct mv_filetree_entry *mv_filetree_read_root(
    const struct mv_filetree_reader *reader);
/* The next entry, parents first: 1, 0 at the end. It is valid until the next call. */
int mv_filetree_read_next(struct mv_filetree_reader *reader,
                          struct mv_filetree_entry *entry, microvm_error *err);
/* Data of the file that is the current entry: bytes read; 0 with *hole: so many zeros
 * that are not stored; 0 without: its end. */
int64_t mv_filetree_read_data(struct mv_filetree_reader *reader, void *data,
                              size_t size, uint64_t *hole, microvm_error *err);
void mv_filetree_read_close(struct mv_filetree_reader *reader); /* NULL is accepted */

/* ---- writing --------------------------------------------------------------------- */

struct mv_filetree_writer;

struct mv_filetree_place {
    const char *path;
    /* The source's own name, for a `path` that is a folder. NULL: its contents go into
     * the folder itself, which must exist. */
    const char *name;
    bool directory; /* the source is one */
    bool make;      /* with `name` NULL, a missing folder is made */
    bool owners;    /* owners, set-user-ID and set-group-ID bits are taken over */
};

/* Opens a place for a tree. What may be wrong with it is found out here; nothing is
 * made. */
int mv_filetree_write_open(struct mv_filetree_writer **out,
                           const struct mv_filetree_place *place, microvm_error *err);
/* Makes an entry; the file before it is complete with that, and gets its name. */
int mv_filetree_write_entry(struct mv_filetree_writer *writer,
                            const struct mv_filetree_entry *entry, microvm_error *err);
/* Of the file that is the current entry. */
int mv_filetree_write_data(struct mv_filetree_writer *writer, const void *data,
                           size_t length, microvm_error *err);
int mv_filetree_write_hole(struct mv_filetree_writer *writer, uint64_t length,
                           microvm_error *err);
/* Completes what is open. */
int mv_filetree_write_end(struct mv_filetree_writer *writer, microvm_error *err);
/* A file that is not complete goes; what came before it stays. NULL is accepted. */
void mv_filetree_write_close(struct mv_filetree_writer *writer);

#endif
