/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Writing a file tree on POSIX systems. A descriptor is held for every folder above the
 * current entry, so that neither a link in the tree nor somebody who moves folders
 * meanwhile leads outside. Files are written under a name of their own and renamed when
 * they are complete; what a folder's attributes should be is set when it is left, for
 * until then it has to be written to.
 */
#define _GNU_SOURCE
#include "os/tree.h"

#include "os/error.h"
#include "os/posix/tree_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEMPORARY_TRIES = 100, TEMPORARY_BYTES = 48, FOLDER_MODE = 0755 };

/* What is set at the end: of a file, or of a folder that is left. */
struct attributes {
    bool known;
    uint32_t mode, uid, gid;
    int64_t mtime_ns;
};

struct level {
    int fd;
    size_t length; /* of its path */
    struct attributes attributes;
};

struct mv_filetree_writer {
    bool owners;
    struct mv_filetree_found found;
    unsigned depth;
    struct level level[MV_FILETREE_DEPTH]; /* [0] is the root, when it is a folder */
    char path[MV_FILETREE_PATH_MAX];       /* of the current entry */
    /* the file that is written */
    int file;         /* -1: none */
    int folder;       /* where it is; of level or parent */
    const char *name; /* in `path`, or `leaf` */
    uint64_t at;
    bool hole; /* it ends with one, so far */
    struct attributes attributes;
    char temporary[TEMPORARY_BYTES];
    unsigned temporaries;
};

static int writer_fail(const struct mv_filetree_writer *writer, microvm_error *err)
{
    return mv_fail_os(err, "'%.150s'",
                      *writer->path ? writer->path : writer->found.leaf);
}

/* ---- attributes ------------------------------------------------------------------ */

static struct attributes attributes_of(const struct mv_filetree_entry *entry)
{
    return (struct attributes){true, entry->mode & 07777, entry->uid, entry->gid,
                               entry->mtime_ns};
}

static void times_of(struct timespec times[2], int64_t mtime_ns)
{
    times[0] = (struct timespec){.tv_nsec = UTIME_OMIT};
    times[1] = (struct timespec){.tv_sec = (time_t)(mtime_ns / 1000000000),
                                 .tv_nsec = (long)(mtime_ns % 1000000000)};
}

/* Without owners nobody is handed a program that runs as somebody else. */
static int attributes_set(const struct mv_filetree_writer *writer, int fd,
                          const struct attributes *a)
{
    struct timespec times[2];
    if (!a->known)
        return 0;
    if (writer->owners && fchown(fd, a->uid, a->gid))
        return -1;
    if (fchmod(fd, (mode_t)(writer->owners ? a->mode : a->mode & 01777)))
        return -1;
    times_of(times, a->mtime_ns);
    return futimens(fd, times);
}

/* ---- the file that is written ---------------------------------------------------- */

/* A name that nothing has yet: 0, or -1. */
static int writer_temporary(struct mv_filetree_writer *writer, int folder,
                            int (*make)(struct mv_filetree_writer *writer, int folder,
                                        const void *what),
                            const void *what)
{
    int rc = -1;
    errno = EEXIST;
    for (unsigned i = 0; rc < 0 && errno == EEXIST && i < TEMPORARY_TRIES; i++) {
        (void)snprintf(writer->temporary, sizeof writer->temporary,
                       ".microvm-copy.%d.%u~", (int)getpid(), writer->temporaries++);
        rc = make(writer, folder, what);
    }
    return rc;
}

static int make_file(struct mv_filetree_writer *writer, int folder, const void *what)
{
    (void)what;
    writer->file = openat(folder, writer->temporary,
                          O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return writer->file < 0 ? -1 : 0;
}

static int make_link(struct mv_filetree_writer *writer, int folder, const void *what)
{
    return symlinkat(what, folder, writer->temporary);
}

static void writer_drop_file(struct mv_filetree_writer *writer)
{
    if (writer->file < 0)
        return;
    (void)close(writer->file);
    writer->file = -1;
    (void)unlinkat(writer->folder, writer->temporary, 0);
}

static int writer_end_file(struct mv_filetree_writer *writer, microvm_error *err)
{
    if (writer->file < 0)
        return 0;
    bool ok = !writer->hole || ftruncate(writer->file, (off_t)writer->at) == 0;
    if (ok && attributes_set(writer, writer->file, &writer->attributes) == 0 &&
        renameat(writer->folder, writer->temporary, writer->folder, writer->name) ==
            0) {
        int fd = writer->file;
        writer->file = -1;
        return close(fd) ? writer_fail(writer, err) : 0;
    }
    int rc = writer_fail(writer, err);
    writer_drop_file(writer);
    return rc;
}

int mv_filetree_write_data(struct mv_filetree_writer *writer, const void *data,
                           size_t length, microvm_error *err)
{
    const char *at = data;
    if (writer->file < 0)
        return mv_fail(err, MICROVM_E_INVALID, "there is data, and no file for it");
    while (length > 0) {
        ssize_t n = write(writer->file, at, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return writer_fail(writer, err);
        at += n;
        length -= (size_t)n;
        writer->at += (uint64_t)n;
        writer->hole = false;
    }
    return 0;
}

int mv_filetree_write_hole(struct mv_filetree_writer *writer, uint64_t length,
                           microvm_error *err)
{
    if (writer->file < 0)
        return mv_fail(err, MICROVM_E_INVALID, "there is data, and no file for it");
    if (length > INT64_MAX - writer->at ||
        lseek(writer->file, (off_t)(writer->at + length), SEEK_SET) < 0)
        return mv_fail(err, MICROVM_E_INVALID, "'%.150s' is larger than a file can be",
                       writer->path);
    writer->at += length;
    writer->hole = true;
    return 0;
}

/* ---- folders --------------------------------------------------------------------- */

static int writer_leave(struct mv_filetree_writer *writer, microvm_error *err)
{
    struct level *level = &writer->level[--writer->depth];
    int rc = attributes_set(writer, level->fd, &level->attributes)
                 ? mv_fail_os(err, "'%.*s'", (int)(level->length ? level->length : 1),
                              level->length ? writer->path : ".")
                 : 0;
    (void)close(level->fd);
    return rc;
}

/* Makes a folder, or takes the one that is there. */
static int writer_descend(struct mv_filetree_writer *writer, int at, const char *name,
                          size_t length, const struct attributes *attributes,
                          microvm_error *err)
{
    if (writer->depth == MV_FILETREE_DEPTH)
        return mv_fail(err, MICROVM_E_INVALID,
                       "'%.150s' is inside more than %d folders", writer->path,
                       MV_FILETREE_DEPTH);
    if (mkdirat(at, name, attributes->known ? 0700 : FOLDER_MODE) && errno != EEXIST)
        return writer_fail(writer, err);
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
        return mv_fail(err, MICROVM_E_INVALID,
                       "'%.150s' is there already and no folder: remove it first",
                       *writer->path ? writer->path : writer->found.leaf);
    if (fd < 0)
        return writer_fail(writer, err);
    writer->level[writer->depth++] = (struct level){fd, length, *attributes};
    return 0;
}

static bool path_is_plain(const char *path)
{
    if (strlen(path) >= MV_FILETREE_PATH_MAX)
        return false;
    for (;;) {
        size_t length = strcspn(path, "/");
        if (!mv_filetree_name_is_plain(path, length))
            return false;
        if (!path[length])
            return true;
        path += length + 1;
    }
}

/* How much of the path of the deepest open folder `path` begins with. */
static bool writer_is_in(const struct mv_filetree_writer *writer, const char *path,
                         size_t length)
{
    return length == 0 || (!strncmp(writer->path, path, length) && path[length] == '/');
}

/* Goes to the folder of `path`, which is kept; *name is what follows. */
static int writer_go(struct mv_filetree_writer *writer, const char *path,
                     const char **name, microvm_error *err)
{
    static const struct attributes unknown;
    if (!writer->depth)
        return mv_fail(err, MICROVM_E_INVALID, "'%.100s' is in no folder", path);
    while (writer->depth > 1 &&
           !writer_is_in(writer, path, writer->level[writer->depth - 1].length)) {
        int rc = writer_leave(writer, err);
        if (rc)
            return rc;
    }
    size_t at = writer->level[writer->depth - 1].length;
    at += at > 0;
    for (;;) {
        size_t length = at + strcspn(path + at, "/");
        *name = writer->path + at;
        memcpy(writer->path, path, length);
        writer->path[length] = '\0';
        if (!path[length])
            return 0;
        int rc = writer_descend(writer, writer->level[writer->depth - 1].fd, *name,
                                length, &unknown, err);
        if (rc)
            return rc;
        at = length + 1;
    }
}

/* ---- entries --------------------------------------------------------------------- */

static int writer_put_file(struct mv_filetree_writer *writer, int folder,
                           const char *name, const struct mv_filetree_entry *entry,
                           microvm_error *err)
{
    writer->folder = folder;
    writer->name = name;
    writer->at = 0;
    writer->hole = false;
    writer->attributes = attributes_of(entry);
    return writer_temporary(writer, folder, make_file, NULL) ? writer_fail(writer, err)
                                                             : 0;
}

static int writer_put_link(struct mv_filetree_writer *writer, int folder,
                           const char *name, const struct mv_filetree_entry *entry,
                           microvm_error *err)
{
    struct timespec times[2];
    if (!*entry->target)
        return mv_fail(err, MICROVM_E_INVALID, "'%.150s' is a link to nothing",
                       entry->path);
    if (writer_temporary(writer, folder, make_link, entry->target))
        return writer_fail(writer, err);
    times_of(times, entry->mtime_ns);
    if ((writer->owners && fchownat(folder, writer->temporary, entry->uid, entry->gid,
                                    AT_SYMLINK_NOFOLLOW)) ||
        utimensat(folder, writer->temporary, times, AT_SYMLINK_NOFOLLOW) ||
        renameat(folder, writer->temporary, folder, name)) {
        int rc = writer_fail(writer, err);
        (void)unlinkat(folder, writer->temporary, 0);
        return rc;
    }
    return 0;
}

/* The folder of a path below the root, which must be there; -1. */
static int writer_open_folder(const struct mv_filetree_writer *writer, const char *path,
                              const char **name)
{
    int fd = fcntl(writer->level[0].fd, F_DUPFD_CLOEXEC, 3);
    for (*name = path; fd >= 0;) {
        char part[NAME_MAX + 1];
        size_t length = strcspn(*name, "/");
        if (!(*name)[length])
            return fd;
        memcpy(part, *name, length);
        part[length] = '\0';
        int next = openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        (void)close(fd);
        fd = next;
        *name += length + 1;
    }
    return -1;
}

static int writer_put_same(struct mv_filetree_writer *writer, int folder,
                           const char *name, const struct mv_filetree_entry *entry,
                           microvm_error *err)
{
    const char *from_name;
    if (!path_is_plain(entry->target))
        return mv_fail(err, MICROVM_E_INVALID,
                       "'%.150s' is another name of what is no path inside", name);
    int from = writer_open_folder(writer, entry->target, &from_name);
    if (from < 0)
        return writer_fail(writer, err);
    int rc = linkat(from, from_name, folder, name, 0);
    if (rc && errno == EEXIST && unlinkat(folder, name, 0) == 0)
        rc = linkat(from, from_name, folder, name, 0);
    if (rc)
        rc = writer_fail(writer, err);
    (void)close(from);
    return rc;
}

static int writer_put(struct mv_filetree_writer *writer, int folder, const char *name,
                      const struct mv_filetree_entry *entry, microvm_error *err)
{
    struct attributes attributes = attributes_of(entry);
    switch (entry->type) {
    case MV_FILETREE_DIRECTORY:
        return writer_descend(writer, folder, name, strlen(writer->path), &attributes,
                              err);
    case MV_FILETREE_FILE:
        return writer_put_file(writer, folder, name, entry, err);
    case MV_FILETREE_LINK:
        return writer_put_link(writer, folder, name, entry, err);
    case MV_FILETREE_SAME:
        if (writer->depth > 0)
            return writer_put_same(writer, folder, name, entry, err);
        break;
    case MV_FILETREE_SKIPPED:
    case MV_FILETREE_TYPES:
        break;
    }
    return mv_fail(err, MICROVM_E_INVALID, "'%.150s' is nothing that can be made",
                   name);
}

/* The root: a folder that is open already, or a name in `parent`. */
static int writer_put_root(struct mv_filetree_writer *writer,
                           const struct mv_filetree_entry *entry, microvm_error *err)
{
    if (writer->found.parent >= 0 && writer->depth == 0)
        return writer_put(writer, writer->found.parent, writer->found.leaf, entry, err);
    if (writer->found.parent >= 0 || entry->type != MV_FILETREE_DIRECTORY)
        return mv_fail(err, MICROVM_E_INVALID, "there are two roots, or none");
    writer->level[0].attributes = attributes_of(entry);
    return 0;
}

int mv_filetree_write_entry(struct mv_filetree_writer *writer,
                            const struct mv_filetree_entry *entry, microvm_error *err)
{
    int rc = writer_end_file(writer, err);
    if (rc)
        return rc;
    if (!*entry->path)
        return writer_put_root(writer, entry, err);
    if (!path_is_plain(entry->path))
        return mv_fail(err, MICROVM_E_INVALID, "'%.100s' is no path inside of a folder",
                       entry->path);
    const char *name = NULL;
    rc = writer_go(writer, entry->path, &name, err);
    return rc ? rc
              : writer_put(writer, writer->level[writer->depth - 1].fd, name, entry,
                           err);
}

int mv_filetree_write_end(struct mv_filetree_writer *writer, microvm_error *err)
{
    int rc = writer_end_file(writer, err);
    while (!rc && writer->depth > 0)
        rc = writer_leave(writer, err);
    return rc;
}

void mv_filetree_write_close(struct mv_filetree_writer *writer)
{
    if (!writer)
        return;
    writer_drop_file(writer);
    while (writer->depth > 0)
        (void)close(writer->level[--writer->depth].fd);
    if (writer->found.parent >= 0)
        (void)close(writer->found.parent);
    free(writer);
}

/* ---- the beginning --------------------------------------------------------------- */

int mv_filetree_write_open(struct mv_filetree_writer **out,
                           const struct mv_filetree_place *place, microvm_error *err)
{
    struct mv_filetree_writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "'%.150s': no memory", place->path);
    writer->owners = place->owners;
    writer->file = -1;
    int rc = mv_filetree_place_find(&writer->found, place, err);
    if (rc) {
        free(writer);
        return rc;
    }
    if (writer->found.parent < 0)
        writer->level[writer->depth++] = (struct level){.fd = writer->found.root};
    *out = writer;
    return 0;
}
