/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reading a file tree on POSIX systems, depth first, with a descriptor held for every
 * folder above the current entry. What changes meanwhile is taken as it is found: a
 * name that has gone is passed over, a file that grows or shrinks gives what is read.
 */
#define _GNU_SOURCE
#include "os/tree.h"

#include "os/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/magic.h>
#include <sys/vfs.h>
#endif
#ifdef __APPLE__
#define st_mtim st_mtimespec
#endif

enum { LINK_SLOTS = 2 * MV_FILETREE_LINKS_MAX, LINK_PATH_MAX = 4096 };

/* A file with several names, by what it is. */
struct seen {
    dev_t dev;
    ino_t ino;
    char *path; /* NULL: the slot is free */
};

struct level {
    DIR *dir;
    dev_t dev;
    size_t length; /* of its path */
};

struct mv_filetree_reader {
    struct mv_filetree_entry root;
    bool begun;
    int file;    /* the current entry's, or -1 */
    bool sparse; /* it may have holes, from `at` to `end` there is none */
    uint64_t at, end;
    unsigned depth;
    struct level level[MV_FILETREE_DEPTH];
    char path[MV_FILETREE_PATH_MAX];
    char target[MV_FILETREE_TARGET_MAX];
    struct seen *seen; /* LINK_SLOTS of them, once there is one */
    size_t seen_count;
};

/* ---- what stands there ----------------------------------------------------------- */

static int64_t mtime_of(const struct stat *st)
{
    int64_t s = st->st_mtim.tv_sec;
    if (s < 0 || s > INT64_MAX / 1000000000 - 1)
        return 0;
    return s * 1000000000 + st->st_mtim.tv_nsec;
}

static void entry_from(struct mv_filetree_entry *entry, const struct stat *st)
{
    entry->mode = st->st_mode & 07777;
    entry->uid = st->st_uid;
    entry->gid = st->st_gid;
    entry->mtime_ns = mtime_of(st);
    entry->size = 0;
    entry->target = NULL;
    switch (st->st_mode & S_IFMT) {
    case S_IFREG:
        entry->type = MV_FILETREE_FILE;
        entry->size = (uint64_t)st->st_size;
        return;
    case S_IFDIR:
        entry->type = MV_FILETREE_DIRECTORY;
        return;
    case S_IFLNK:
        entry->type = MV_FILETREE_LINK;
        return;
    case S_IFSOCK:
        entry->target = "a socket";
        break;
    case S_IFIFO:
        entry->target = "a FIFO";
        break;
    default:
        entry->target = "a device";
        break;
    }
    entry->type = MV_FILETREE_SKIPPED;
}

static int reader_fail(const struct mv_filetree_reader *reader, microvm_error *err)
{
    return mv_fail_os(err, "'%.150s'", *reader->path ? reader->path : "the source");
}

/* Remembers a file with several names: the path of the one that came before, or NULL.
 */
static const char *seen_before(struct mv_filetree_reader *reader, const struct stat *st)
{
    if (st->st_nlink < 2 || strlen(reader->path) > LINK_PATH_MAX)
        return NULL;
    if (!reader->seen)
        reader->seen = calloc(LINK_SLOTS, sizeof *reader->seen);
    if (!reader->seen)
        return NULL;
    uint64_t key = (uint64_t)st->st_ino * 0x9e3779b97f4a7c15 ^ (uint64_t)st->st_dev;
    struct seen *slot = &reader->seen[(key >> 32) % LINK_SLOTS];
    while (slot->path) {
        if (slot->ino == st->st_ino && slot->dev == st->st_dev)
            return slot->path;
        slot = slot == &reader->seen[LINK_SLOTS - 1] ? reader->seen : slot + 1;
    }
    if (reader->seen_count < MV_FILETREE_LINKS_MAX &&
        (slot->path = strdup(reader->path))) {
        slot->ino = st->st_ino;
        slot->dev = st->st_dev;
        reader->seen_count++;
    }
    return NULL;
}

/* ---- opening --------------------------------------------------------------------- */

/* What the kernel makes up as it is read: not a copy's business when it is met inside
 * of a tree. */
static bool is_kernels(int fd)
{
#ifdef __linux__
    static const unsigned long made_up[] = {
        PROC_SUPER_MAGIC, SYSFS_MAGIC,   DEVPTS_SUPER_MAGIC,  CGROUP_SUPER_MAGIC,
        DEBUGFS_MAGIC,    TRACEFS_MAGIC, CGROUP2_SUPER_MAGIC, SECURITYFS_MAGIC,
    };
    struct statfs fs;
    for (unsigned i = 0; !fstatfs(fd, &fs) && i < sizeof made_up / sizeof *made_up; i++)
        if ((unsigned long)fs.f_type == made_up[i])
            return true;
#endif
    (void)fd;
    return false;
}

/* Begins to read a folder; fd is taken over. 1, or a negative code. */
static int reader_descend(struct mv_filetree_reader *reader, int fd,
                          const struct stat *st, struct mv_filetree_entry *entry,
                          microvm_error *err)
{
    bool crossed = reader->depth && st->st_dev != reader->level[reader->depth - 1].dev;
    if (crossed && is_kernels(fd)) {
        (void)close(fd);
        entry->type = MV_FILETREE_SKIPPED;
        entry->target = "a file system of the kernel";
        return 1;
    }
    if (reader->depth == MV_FILETREE_DEPTH) {
        (void)close(fd);
        return mv_fail(err, MICROVM_E_INVALID,
                       "'%.150s' is inside more than %d folders", reader->path,
                       MV_FILETREE_DEPTH);
    }
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int rc = reader_fail(reader, err);
        (void)close(fd);
        return rc;
    }
    reader->level[reader->depth++] =
        (struct level){dir, st->st_dev, strlen(reader->path)};
    return 1;
}

static int reader_begin_file(struct mv_filetree_reader *reader, int fd,
                             const struct stat *st, struct mv_filetree_entry *entry)
{
    entry->target = seen_before(reader, st);
    if (entry->target) {
        (void)close(fd);
        entry->type = MV_FILETREE_SAME;
        return 1;
    }
    reader->file = fd;
    reader->at = reader->end = 0;
    reader->sparse = (int64_t)st->st_blocks * 512 < (int64_t)st->st_size;
    return 1;
}

static int reader_read_link(struct mv_filetree_reader *reader, int at, const char *name,
                            struct mv_filetree_entry *entry, microvm_error *err)
{
    ssize_t n = readlinkat(at, name, reader->target, sizeof reader->target);
    if (n < 0 && errno == ENOENT && reader->begun)
        return 0;
    if (n < 0)
        return reader_fail(reader, err);
    if (n == sizeof reader->target)
        return mv_fail(err, MICROVM_E_INVALID, "'%.150s' leads to more than %d bytes",
                       reader->path, MV_FILETREE_TARGET_MAX - 1);
    reader->target[n] = '\0';
    entry->target = reader->target;
    return 1;
}

/* Opens what *was, by its name in the folder `at`, and fills *entry in. 0: it has gone,
 * or is something else by now; 1; or a negative code. */
static int reader_enter(struct mv_filetree_reader *reader, int at, const char *name,
                        bool follow, const struct stat *was,
                        struct mv_filetree_entry *entry, microvm_error *err)
{
    int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    struct stat st;
    entry_from(entry, was);
    entry->path = reader->path;
    if (entry->type == MV_FILETREE_SKIPPED)
        return 1;
    if (entry->type == MV_FILETREE_LINK)
        return reader_read_link(reader, at, name, entry, err);
    int fd = openat(at, name, flags | (follow ? 0 : O_NOFOLLOW));
    if (fd < 0 && (errno == ENOENT || errno == ELOOP) && reader->begun)
        return 0;
    if (fd < 0)
        return reader_fail(reader, err);
    if (fstat(fd, &st) || st.st_ino != was->st_ino || st.st_dev != was->st_dev) {
        (void)close(fd);
        return 0;
    }
    return entry->type == MV_FILETREE_DIRECTORY
               ? reader_descend(reader, fd, &st, entry, err)
               : reader_begin_file(reader, fd, &st, entry);
}

int mv_filetree_read_open(struct mv_filetree_reader **out, const char *path,
                          bool follow, microvm_error *err)
{
    struct stat st;
    if (fstatat(AT_FDCWD, path, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW))
        return mv_fail_os(err, "'%.150s'", path);
    struct mv_filetree_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "'%.150s': no memory", path);
    reader->file = -1;
    /* Every link on the way is followed: it is the caller's own path. */
    int rc = reader_enter(reader, AT_FDCWD, path, follow || S_ISDIR(st.st_mode), &st,
                          &reader->root, err);
    if (rc == 1 && reader->root.type == MV_FILETREE_SKIPPED)
        rc = mv_fail(err, MICROVM_E_INVALID,
                     "'%.150s' is %s; files and folders can be "
                     "copied",
                     path, reader->root.target);
    if (rc == 0)
        rc = mv_fail(err, MICROVM_E_IO, "'%.150s' was replaced meanwhile", path);
    if (rc < 0) {
        if (err && rc == MICROVM_E_IO && err->os_code)
            (void)mv_fail_os_code(err, rc, err->os_code, "'%.150s'", path);
        mv_filetree_read_close(reader);
        return rc;
    }
    *out = reader;
    return 0;
}

const struct mv_filetree_entry *mv_filetree_read_root(
    const struct mv_filetree_reader *reader)
{
    return &reader->root;
}

/* ---- going on -------------------------------------------------------------------- */

static bool is_dots(const char *name)
{
    return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* The next name of the deepest folder, in `path`; 0 when it has no more. */
static int reader_name(struct mv_filetree_reader *reader, const char **out,
                       microvm_error *err)
{
    struct level *level = &reader->level[reader->depth - 1];
    const struct dirent *found;
    reader->path[level->length] = '\0';
    do {
        errno = 0;
        found = readdir(level->dir);
    } while (found && is_dots(found->d_name));
    if (!found)
        return errno ? reader_fail(reader, err) : 0;
    size_t length = strlen(found->d_name), at = level->length;
    if (at + 1 + length + 1 > sizeof reader->path)
        return mv_fail(err, MICROVM_E_INVALID,
                       "a path of more than %d bytes: '%.100s...'",
                       MV_FILETREE_PATH_MAX - 1, reader->path);
    if (at > 0)
        reader->path[at++] = '/';
    memcpy(reader->path + at, found->d_name, length + 1);
    *out = reader->path + at;
    return 1;
}

static void reader_close_file(struct mv_filetree_reader *reader)
{
    if (reader->file >= 0)
        (void)close(reader->file);
    reader->file = -1;
}

int mv_filetree_read_next(struct mv_filetree_reader *reader,
                          struct mv_filetree_entry *entry, microvm_error *err)
{
    if (!reader->begun) {
        reader->begun = true;
        *entry = reader->root;
        return 1;
    }
    reader_close_file(reader);
    while (reader->depth > 0) {
        const char *name = NULL;
        struct stat st;
        int at = dirfd(reader->level[reader->depth - 1].dir);
        int rc = reader_name(reader, &name, err);
        if (rc < 0)
            return rc;
        if (rc == 0) {
            (void)closedir(reader->level[--reader->depth].dir);
            continue;
        }
        if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW)) {
            if (errno == ENOENT)
                continue;
            return reader_fail(reader, err);
        }
        rc = reader_enter(reader, at, name, false, &st, entry, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* Finds out how far data goes: 1, or 0 with *hole or at the end. */
static int reader_find_data(struct mv_filetree_reader *reader, uint64_t *hole)
{
    off_t data = lseek(reader->file, (off_t)reader->at, SEEK_DATA);
    off_t end = data < 0 && errno == ENXIO ? lseek(reader->file, 0, SEEK_END) : data;
    if (data < 0 && end < 0) { /* a file system that cannot tell */
        reader->sparse = false;
        return lseek(reader->file, (off_t)reader->at, SEEK_SET) >= 0;
    }
    if ((uint64_t)end > reader->at) {
        *hole = (uint64_t)end - reader->at;
        reader->at = (uint64_t)end;
        return 0;
    }
    if (data < 0)
        return 0;
    off_t next = lseek(reader->file, data, SEEK_HOLE);
    reader->end = next > data ? (uint64_t)next : reader->at + 1;
    return lseek(reader->file, data, SEEK_SET) >= 0;
}

int64_t mv_filetree_read_data(struct mv_filetree_reader *reader, void *data,
                              size_t size, uint64_t *hole, microvm_error *err)
{
    ssize_t n;
    *hole = 0;
    if (reader->file < 0)
        return 0;
    if (reader->sparse && reader->at >= reader->end && !reader_find_data(reader, hole))
        return 0;
    if (reader->sparse && size > reader->end - reader->at)
        size = (size_t)(reader->end - reader->at);
    do
        n = read(reader->file, data, size);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return reader_fail(reader, err);
    reader->at += (uint64_t)n;
    return n;
}

void mv_filetree_read_close(struct mv_filetree_reader *reader)
{
    if (!reader)
        return;
    reader_close_file(reader);
    while (reader->depth > 0)
        (void)closedir(reader->level[--reader->depth].dir);
    for (size_t i = 0; reader->seen && i < LINK_SLOTS; i++)
        free(reader->seen[i].path);
    free(reader->seen);
    free(reader);
}
