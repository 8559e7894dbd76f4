/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The tree of an image: a root file system as metadata in memory, its files' contents
 * as ranges of one scratch file (store.h). Owners, modes, devices and extended
 * attributes are values here, never those of real files, so nothing needs root and
 * nothing that an archive says reaches the host's file system.
 *
 * A node is what Unix calls an inode; a name binds it into a directory, and a file may
 * have several names. Names of a directory are sorted by bytes, always: writers walk
 * them in that order, which is what makes images reproducible.
 *
 * Symbolic links are never followed here. A path that leads through one is refused, in
 * whatever order an archive's entries come.
 */
#ifndef MV_IMAGE_TREE_H
#define MV_IMAGE_TREE_H

#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MV_TREE_NAME_MAX = 255,  /* of every file system we write */
    MV_TREE_PATH_MAX = 4096, /* with the zero at its end, Linux' PATH_MAX */
    MV_TREE_DEPTH_MAX = 256, /* directories in each other; walks keep a stack of it */
    /* A name is inserted into a sorted array: that many, in the worst order, cost some
     * seconds. */
    MV_TREE_DIRECTORY_MAX = 1 << 18,
    MV_TREE_XATTRS_MAX = 64,             /* of one node */
    MV_TREE_XATTR_BYTES_MAX = 64 * 1024, /* Linux' XATTR_SIZE_MAX */
    MV_TREE_ENTRIES_MAX = 1 << 21        /* where nobody says less: 0.5 GB of memory */
};

enum mv_node_type {
    MV_NODE_FILE,
    MV_NODE_DIRECTORY,
    MV_NODE_SYMLINK,
    MV_NODE_CHAR,
    MV_NODE_BLOCK,
    MV_NODE_FIFO
};

struct mv_xattr {
    char *name;
    void *value;
    size_t length;
};

struct mv_name;

struct mv_node {
    enum mv_node_type type;
    uint16_t mode; /* permission bits, 07777 */
    uint32_t uid, gid;
    int64_t mtime_s;
    bool mtime_fraction;    /* it had one, which is not kept: a clock has set it */
    struct mv_xattr *xattr; /* sorted by name */
    unsigned xattrs;
    uint64_t offset, size_bytes; /* FILE: where its content is in the store */
    char *target;                /* SYMLINK */
    uint32_t major, minor;       /* CHAR, BLOCK */
    struct mv_name **child;      /* DIRECTORY */
    unsigned children, child_room;
    unsigned names;       /* that it has; the root has none */
    struct mv_name *name; /* a directory's only one; else mv_tree_number's choice */
    uint32_t number;      /* from 1 in the order of a walk, after mv_tree_number */
};

struct mv_name {
    struct mv_node *node;
    struct mv_node *parent;
    uint32_t layer; /* the last one that spoke of it, or of something below it */
    char text[];
};

struct mv_tree {
    struct mv_node *root;
    uint32_t layer;       /* the one that is being applied */
    unsigned entries;     /* names ever made */
    unsigned entries_max; /* set it after mv_tree_init for another limit */
};

int mv_tree_init(struct mv_tree *tree, microvm_error *err);
void mv_tree_done(struct mv_tree *tree);

/* A node without a name: root's, mode 0, 1970. NULL: no memory. */
struct mv_node *mv_node_new(enum mv_node_type type);
/* One that no tree has; NULL is accepted. */
void mv_node_free(struct mv_node *node);
void mv_node_drop_xattrs(struct mv_node *node);
/* Adds an attribute or replaces its value. */
int mv_node_xattr(struct mv_node *node, const char *name, const void *value,
                  size_t length, microvm_error *err);

/* Brings a path into the form that all functions below want: "usr/bin/env", "" for the
 * root. Refuses what leads out of the tree ("..", and a leading '/' unless `rooted`)
 * and what is too long for a file system. */
int mv_tree_path(const char *text, bool rooted, char path[MV_TREE_PATH_MAX],
                 microvm_error *err);

/* The node at a path, or NULL; *name, where wanted, is its name (NULL for the root). */
struct mv_node *mv_tree_find(const struct mv_tree *tree, const char *path,
                             struct mv_name **name);

/* Binds `node` at `path`, making the directories above it that are missing (0755,
 * root's). A directory that is there already takes over the new one's metadata and
 * keeps its children; anything else that is there is removed. The tree owns `node`
 * from here on, also after an error. */
int mv_tree_put(struct mv_tree *tree, const char *path, struct mv_node *node,
                microvm_error *err);
/* Another name, `path`, for what is at `target`: no directory. */
int mv_tree_link(struct mv_tree *tree, const char *path, const char *target,
                 microvm_error *err);
/* Whiteouts (OCI image specification, "layer.md"): what lower layers have put at
 * `path`, respectively below the directory `path`, is gone; what this layer has put
 * there stays. Nothing being there is no error. */
int mv_tree_whiteout(struct mv_tree *tree, const char *path, microvm_error *err);
int mv_tree_opaque(struct mv_tree *tree, const char *path, microvm_error *err);

/* No time is later than this afterwards. */
void mv_tree_clamp(struct mv_tree *tree, int64_t epoch_s);

/* Numbers the nodes in the order of a walk; returns the highest number. */
uint32_t mv_tree_number(struct mv_tree *tree);
/* The path of a node's chosen name. */
void mv_tree_path_of(const struct mv_tree *tree, const struct mv_node *node,
                     char path[MV_TREE_PATH_MAX]);

/* ---- walks ------------------------------------------------------------------------
 *
 *     struct mv_walk walk;
 *     mv_walk_begin(&walk, tree);
 *     while (mv_walk_next(&walk))
 *         ... walk.node, walk.path, walk.leaving ...
 *
 * Every directory comes twice, before and after what is in it; the root too. The tree
 * may not change meanwhile. */
struct mv_walk {
    struct mv_node *node;
    struct mv_name *name; /* NULL at the root */
    bool leaving;         /* a directory, whose children are all done */
    bool again;           /* another name of a node that came before: needs numbers */
    uint32_t highest;     /* number seen */
    unsigned depth;       /* of directories on the stack */
    struct mv_node *stack[MV_TREE_DEPTH_MAX + 1];
    unsigned next[MV_TREE_DEPTH_MAX + 1];
    size_t path_length;
    char path[MV_TREE_PATH_MAX];
    const struct mv_tree *tree;
};

void mv_walk_begin(struct mv_walk *walk, const struct mv_tree *tree);
bool mv_walk_next(struct mv_walk *walk);

#endif
