/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A tree as a folder of the host. Only root can give files away and make devices; for
 * everybody else files belong to who writes them, a device is an error, and attributes
 * outside of "user." are left out, which docs/images.md says. Modes, times, links and
 * contents are always kept.
 *
 * Nothing of the tree's is followed on the way: the folder is new, and a tree has no
 * path through a symbolic link.
 */
#define _GNU_SOURCE
#include "files.h"
#include "os/error.h"
#include "util/bytes.h"
#include "write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { HOST_PATH_MAX = 2 * MV_TREE_PATH_MAX };

struct folder {
    const struct mv_write *w;
    char part[MV_FILES_PATH_MAX]; /* what it is called until it is complete */
    bool root;                    /* so owners and devices can be */
    int fd;                       /* of the file being written */
    uint64_t at, done, total;
};

static void folder_path(const struct folder *f, const char *path,
                        char out[HOST_PATH_MAX])
{
    (void)snprintf(out, HOST_PATH_MAX, "%s%s%s", f->part, *path ? "/" : "", path);
}

static int folder_take(void *opaque, const void *data, size_t length,
                       microvm_error *err)
{
    struct folder *f = opaque;
    int rc = mv_files_write(f->fd, f->at, data, length, "output", err);
    f->at += length;
    return rc;
}

static int folder_file(struct folder *f, const struct mv_node *node, const char *host,
                       microvm_error *err)
{
    f->fd = open(host, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (f->fd < 0)
        return mv_fail_os(err, "output '%s'", host);
    f->at = 0;
    int rc = mv_write_content(f->w, node, folder_take, f, &f->done, f->total, err);
    mv_files_close(f->fd);
    return rc;
}

static int folder_make(struct folder *f, const struct mv_node *node, const char *host,
                       microvm_error *err)
{
    int rc = 0;
    switch (node->type) {
    case MV_NODE_FILE:
        return folder_file(f, node, host, err);
    case MV_NODE_DIRECTORY:
        rc = mkdir(host, 0700);
        break;
    case MV_NODE_SYMLINK:
        rc = symlink(node->target, host);
        break;
    case MV_NODE_FIFO:
        rc = mkfifo(host, 0600);
        break;
    case MV_NODE_CHAR:
    case MV_NODE_BLOCK:
        rc = mknod(host, mv_node_st_mode(node), makedev(node->major, node->minor));
        break;
    }
    return rc ? mv_fail_os(err, "output '%s'", host) : 0;
}

static int folder_describe(struct folder *f, const struct mv_node *node,
                           const char *host, microvm_error *err)
{
    struct timespec times[2] = {{.tv_sec = node->mtime_s}, {.tv_sec = node->mtime_s}};
    bool bad = f->root && lchown(host, node->uid, node->gid);
    for (unsigned i = 0; !bad && i < node->xattrs; i++)
        if (f->root || !strncmp(node->xattr[i].name, "user.", 5))
            bad = lsetxattr(host, node->xattr[i].name, node->xattr[i].value,
                            node->xattr[i].length, 0);
    if (!bad && node->type != MV_NODE_SYMLINK) /* after lchown, which clears setuid */
        bad = chmod(host, node->mode);
    if (!bad)
        bad = utimensat(AT_FDCWD, host, times, AT_SYMLINK_NOFOLLOW);
    return bad ? mv_fail_os(err, "output '%s'", host) : 0;
}

static int folder_one(struct folder *f, const struct mv_walk *walk, microvm_error *err)
{
    char host[HOST_PATH_MAX], path[MV_TREE_PATH_MAX], first[HOST_PATH_MAX];
    int rc = 0;
    folder_path(f, walk->path, host);
    if (walk->again) {
        mv_tree_path_of(f->w->tree, walk->node, path);
        folder_path(f, path, first);
        return link(first, host) ? mv_fail_os(err, "output '%s'", host) : 0;
    }
    if (!walk->leaving)
        rc = folder_make(f, walk->node, host, err);
    if (!rc && (walk->leaving || walk->node->type != MV_NODE_DIRECTORY))
        rc = folder_describe(f, walk->node, host, err);
    return rc;
}

/* What was made of it; what was not is not there. */
static void folder_remove(const struct folder *f)
{
    struct mv_walk walk;
    char host[HOST_PATH_MAX];
    mv_walk_begin(&walk, f->w->tree);
    while (mv_walk_next(&walk)) {
        folder_path(f, walk.path, host);
        if (walk.node->type != MV_NODE_DIRECTORY)
            (void)unlink(host);
        else if (walk.leaving)
            (void)rmdir(host);
        else
            (void)chmod(host, 0700);
    }
}

int mv_write_folder(const struct mv_write *w, const char *path, microvm_error *err)
{
    struct folder f = {.w = w, .root = geteuid() == 0};
    struct mv_walk walk;
    struct stat st;
    int n = snprintf(f.part, sizeof f.part, "%s.part.%d", path, (int)getpid());
    if (n < 0 || n >= (int)sizeof f.part)
        return mv_fail(err, MICROVM_E_INVALID, "output '%.80s': no usable path", path);
    if (!lstat(path, &st))
        return mv_fail(err, MICROVM_E_INVALID,
                       "output '%s' is there already; a folder must be a new one",
                       path);
    (void)mv_tree_number(w->tree);
    f.total = mv_write_total(w->tree);
    int rc = 0;
    mv_walk_begin(&walk, w->tree);
    while (!rc && mv_walk_next(&walk))
        rc = folder_one(&f, &walk, err);
    if (!rc && rename(f.part, path))
        rc = mv_fail_os(err, "output '%s'", path);
    if (rc)
        folder_remove(&f);
    return rc;
}
