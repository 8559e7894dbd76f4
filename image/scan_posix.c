/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The host's files by POSIX. A folder is walked with descriptors from one directory to
 * the next, so that what is renamed meanwhile leads nowhere else; how deep it may be is
 * the tree's limit.
 */
#define _GNU_SOURCE
#include "scan.h"

#include "files.h"
#include "os/error.h"
#include "util/bytes.h"
#include "util/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { PIECE_BYTES = 128 * 1024, XATTR_LIST_BYTES = 64 * 1024 };

/* A file of several names that was met: to be linked when the next one comes. */
struct scan_link {
    dev_t device;
    ino_t inode;
    char *path;
};

struct scan {
    struct mv_tree *tree;
    struct mv_store *store;
    const struct mv_scan_options *options;
    const char *host; /* for messages */
    dev_t device;     /* stay on it */
    struct scan_link *link;
    unsigned links;
    DIR *stack[MV_TREE_DEPTH_MAX + 1];
    unsigned depth;
    char path[MV_TREE_PATH_MAX]; /* in the tree, of the directory on top */
    uint64_t done;
    char *piece; /* PIECE_BYTES */
};

static int scan_fail(const struct scan *s, const char *path, microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    if (!*path)
        return mv_fail_os(err, "'%s'", s->host);
    return mv_fail_os(err, "'%s': '%s'", s->host, mv_str_show(shown, path));
}

/* ---- one file -------------------------------------------------------------------- */

static int scan_content(struct scan *s, int fd, const char *path, struct mv_node *node,
                        microvm_error *err)
{
    int rc = mv_store_add(s->store, node->size_bytes, &node->offset, err);
    for (uint64_t at = 0; !rc && at < node->size_bytes;) {
        size_t want = (size_t)MV_MIN(node->size_bytes - at, (uint64_t)PIECE_BYTES);
        ssize_t n = pread(fd, s->piece, want, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return scan_fail(s, path, err);
        if (n == 0)
            return mv_fail(err, MICROVM_E_IO, "'%s': '%s' became shorter meanwhile",
                           s->host, path);
        rc = mv_store_write(s->store, node->offset + at, s->piece, (size_t)n, err);
        at += (uint64_t)n;
        s->done += (uint64_t)n;
        if (!rc)
            rc = mv_progress(s->options->progress, "reading", s->done, 0, err);
    }
    return rc;
}

static int scan_xattrs(struct scan *s, int fd, struct mv_node *node, microvm_error *err)
{
    char list[XATTR_LIST_BYTES];
    ssize_t used = flistxattr(fd, list, sizeof list);
    for (ssize_t at = 0; at < used;) {
        const char *name = list + at;
        at += (ssize_t)strlen(name) + 1;
        if (strncmp(name, "user.", 5) && strcmp(name, "security.capability"))
            continue;
        ssize_t n = fgetxattr(fd, name, s->piece, MV_TREE_XATTR_BYTES_MAX);
        if (n < 0)
            continue; /* removed meanwhile */
        int rc = mv_node_xattr(node, name, s->piece, (size_t)n, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int scan_symlink(struct scan *s, int dir, const char *leaf, const char *path,
                        struct mv_node *node, microvm_error *err)
{
    ssize_t n = readlinkat(dir, leaf, s->piece, MV_TREE_PATH_MAX - 1);
    if (n <= 0)
        return scan_fail(s, path, err);
    s->piece[n] = '\0';
    node->target = strdup(s->piece);
    node->mode = 0777;
    return node->target ? 0 : mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
}

/* Regular files and directories are opened, and asked for everything else through the
 * descriptor. */
static int scan_opened(struct scan *s, int dir, const char *leaf, const char *path,
                       struct mv_node *node, int *fd, microvm_error *err)
{
    struct stat st;
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (s->depth ? O_NOFOLLOW : 0);
    if (node->type == MV_NODE_DIRECTORY)
        flags |= O_DIRECTORY;
    int opened = openat(dir, leaf, flags);
    if (opened < 0 || fstat(opened, &st)) {
        int rc = scan_fail(s, path, err);
        mv_files_close(opened);
        return rc;
    }
    bool file = node->type == MV_NODE_FILE;
    int rc = scan_xattrs(s, opened, node, err);
    if (!rc && file != (S_ISREG(st.st_mode) != 0))
        rc = mv_fail(err, MICROVM_E_IO, "'%s': '%s' changed meanwhile", s->host, path);
    node->size_bytes = file ? (uint64_t)st.st_size : 0;
    if (!rc && file)
        rc = scan_content(s, opened, path, node, err);
    if (rc || file)
        mv_files_close(opened);
    else
        *fd = opened;
    return rc;
}

static int scan_device(const struct scan *s, const struct stat *st, const char *path,
                       struct mv_node *node, bool *skip, microvm_error *err)
{
    node->major = major(st->st_rdev);
    node->minor = minor(st->st_rdev);
    *skip = s->options->devices == MV_DEVICES_SKIP;
    if (s->options->devices == MV_DEVICES_REFUSE)
        return mv_fail(err, MICROVM_E_INVALID,
                       "'%s': '%s' is a device node, which guests do not need; "
                       "'devices' may be set to skip or keep",
                       s->host, path);
    return 0;
}

/* Fills a node in from what stat says; *fd becomes a directory's descriptor. */
static int scan_fill(struct scan *s, int dir, const char *leaf, const char *path,
                     const struct stat *st, struct mv_node *node, bool *skip, int *fd,
                     microvm_error *err)
{
    node->mode = (uint16_t)(st->st_mode & 07777);
    node->uid = s->options->uid;
    node->gid = s->options->gid;
    node->mtime_s = s->options->mtime_s;
    if (s->depth == 0 && s->options->mode >= 0 && node->type == MV_NODE_FILE)
        node->mode = (uint16_t)s->options->mode;
    switch (node->type) {
    case MV_NODE_FILE:
    case MV_NODE_DIRECTORY:
        return scan_opened(s, dir, leaf, path, node, fd, err);
    case MV_NODE_SYMLINK:
        return scan_symlink(s, dir, leaf, path, node, err);
    case MV_NODE_CHAR:
    case MV_NODE_BLOCK:
        return scan_device(s, st, path, node, skip, err);
    case MV_NODE_FIFO:
        return 0;
    }
    return 0;
}

/* ---- hard links ------------------------------------------------------------------ */

static unsigned link_index(const struct scan *s, const struct stat *st, bool *found)
{
    unsigned low = 0, high = s->links;
    while (low < high) {
        unsigned mid = low + (high - low) / 2;
        const struct scan_link *l = &s->link[mid];
        if (l->inode == st->st_ino && l->device == st->st_dev) {
            *found = true;
            return mid;
        }
        if (l->inode < st->st_ino || (l->inode == st->st_ino && l->device < st->st_dev))
            low = mid + 1;
        else
            high = mid;
    }
    *found = false;
    return low;
}

static int link_remember(struct scan *s, const struct stat *st, const char *path,
                         microvm_error *err)
{
    bool found;
    unsigned at = link_index(s, st, &found);
    struct scan_link *more = realloc(s->link, (s->links + 1) * sizeof *more);
    if (more)
        s->link = more;
    char *copy = more ? strdup(path) : NULL;
    if (!copy)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    memmove(more + at + 1, more + at, (s->links - at) * sizeof *more);
    more[at] = (struct scan_link){st->st_dev, st->st_ino, copy};
    s->links++;
    return 0;
}

/* ---- the walk -------------------------------------------------------------------- */

static bool scan_type(mode_t mode, enum mv_node_type *type)
{
    if (S_ISREG(mode))
        *type = MV_NODE_FILE;
    else if (S_ISDIR(mode))
        *type = MV_NODE_DIRECTORY;
    else if (S_ISLNK(mode))
        *type = MV_NODE_SYMLINK;
    else if (S_ISCHR(mode))
        *type = MV_NODE_CHAR;
    else if (S_ISBLK(mode))
        *type = MV_NODE_BLOCK;
    else if (S_ISFIFO(mode))
        *type = MV_NODE_FIFO;
    else
        return false;
    return true;
}

static int scan_enter(struct scan *s, int fd, const char *path, microvm_error *err)
{
    DIR *opened = s->depth <= MV_TREE_DEPTH_MAX ? fdopendir(fd) : NULL;
    if (!opened) {
        mv_files_close(fd);
        return mv_fail(err, MICROVM_E_INVALID,
                       "'%s': '%s' cannot be read or is too deep", s->host, path);
    }
    s->stack[s->depth++] = opened;
    memmove(s->path, path, strlen(path) + 1);
    return 0;
}

/* A node for one name, put into the tree; a directory is entered. */
static int scan_node(struct scan *s, int dir, const char *leaf, const char *path,
                     const struct stat *st, enum mv_node_type type, microvm_error *err)
{
    struct mv_node *node = mv_node_new(type);
    bool skip = false;
    int fd = -1;
    if (!node)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    int rc = scan_fill(s, dir, leaf, path, st, node, &skip, &fd, err);
    if (rc || skip)
        mv_node_free(node);
    else
        rc = mv_tree_put(s->tree, path, node, err);
    bool elsewhere = st->st_dev != s->device; /* a mount point */
    if (!rc && fd >= 0 && !elsewhere)
        return scan_enter(s, fd, path, err);
    mv_files_close(fd);
    if (!rc && type == MV_NODE_FILE && st->st_nlink > 1)
        rc = link_remember(s, st, path, err);
    return rc;
}

static int scan_one(struct scan *s, int dir, const char *leaf, const char *path,
                    microvm_error *err)
{
    struct stat st;
    enum mv_node_type type;
    bool found = false;
    if (fstatat(dir, leaf, &st, s->depth ? AT_SYMLINK_NOFOLLOW : 0))
        return scan_fail(s, path, err);
    if (!scan_type(st.st_mode, &type))
        return 0; /* a socket: a trace of a running program */
    if (s->depth == 0)
        s->device = st.st_dev;
    if (type == MV_NODE_FILE && st.st_nlink > 1) {
        unsigned at = link_index(s, &st, &found);
        if (found)
            return mv_tree_link(s->tree, path, s->link[at].path, err);
    }
    return scan_node(s, dir, leaf, path, &st, type, err);
}

static void scan_leave(struct scan *s)
{
    char *slash = strrchr(s->path, '/');
    (void)closedir(s->stack[--s->depth]);
    *(slash ? slash : s->path) = '\0';
}

static int scan_child(struct scan *s, const char *leaf, microvm_error *err)
{
    char joined[2 * MV_TREE_PATH_MAX], path[MV_TREE_PATH_MAX];
    size_t length = strlen(s->path);
    memcpy(joined, s->path, length);
    joined[length] = '/';
    memcpy(joined + length + 1, leaf, strlen(leaf) + 1);
    int rc = mv_tree_path(joined, true, path, err);
    return rc ? rc : scan_one(s, dirfd(s->stack[s->depth - 1]), leaf, path, err);
}

static int scan_run(struct scan *s, const char *path, microvm_error *err)
{
    int rc = scan_one(s, AT_FDCWD, s->host, path, err);
    while (!rc && s->depth) {
        errno = 0;
        const struct dirent *entry = readdir(s->stack[s->depth - 1]);
        if (!entry && errno)
            return scan_fail(s, s->path, err);
        if (!entry)
            scan_leave(s);
        else if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            rc = scan_child(s, entry->d_name, err);
    }
    return rc;
}

int mv_scan(struct mv_tree *tree, struct mv_store *store, const char *host,
            const char *path, const struct mv_scan_options *options, microvm_error *err)
{
    struct scan *s = calloc(1, sizeof *s); /* large */
    if (s)
        s->piece = malloc(PIECE_BYTES);
    if (!s || !s->piece) {
        free(s);
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    }
    s->tree = tree;
    s->store = store;
    s->options = options;
    s->host = host;
    tree->layer++;
    int rc = scan_run(s, path, err);
    while (s->depth)
        scan_leave(s);
    for (unsigned i = 0; i < s->links; i++)
        free(s->link[i].path);
    free(s->link);
    free(s->piece);
    free(s);
    return rc;
}
