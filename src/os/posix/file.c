/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Opening files on POSIX systems, and moving bytes by offset. The kind is looked at
 * before opening, because opening alone can have effects (a FIFO waits for its writer,
 * a tape rewinds), and again afterwards, because the name may mean another file by
 * then.
 */
#define _GNU_SOURCE
#include "os/file_sys.h"
#include "os/posix/file_posix.h"

#include "os/error.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(sizeof(struct mv_span) == sizeof(struct iovec), "spans are iovecs");
_Static_assert(offsetof(struct mv_span, base) == offsetof(struct iovec, iov_base),
               "spans are iovecs");
_Static_assert(offsetof(struct mv_span, length) == offsetof(struct iovec, iov_len),
               "spans are iovecs");

static int file_check_kind(const struct stat *st, const char *what, const char *path,
                           microvm_error *err)
{
    const char *kind;
    switch (st->st_mode & S_IFMT) {
    case S_IFREG:
    case S_IFBLK:
        return 0;
    case S_IFDIR:
        kind = "directory";
        break;
    case S_IFSOCK:
        kind = "socket";
        break;
    case S_IFIFO:
        kind = "FIFO";
        break;
    case S_IFCHR:
        kind = "character device";
        break;
    default:
        kind = "special file";
        break;
    }
    return mv_fail(err, MICROVM_E_INVALID,
                   "%s '%s' is a %s: give a regular file or a block device", what, path,
                   kind);
}

static int file_lock(int fd, const char *what, const char *path, unsigned flags,
                     microvm_error *err)
{
    int how = flags & MV_FILE_WRITE ? LOCK_EX : LOCK_SH;
    if (flock(fd, how | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return 0;
    return mv_fail(err, MICROVM_E_IO,
                   "%s '%s' is in use: another machine or program has locked it%s; use "
                   "a copy, or open it read-only everywhere",
                   what, path, flags & MV_FILE_WRITE ? "" : " for writing");
}

/* Fills in what the open descriptor tells. */
static int file_learn(struct mv_file *file, const char *what, const char *path,
                      unsigned flags, microvm_error *err)
{
    struct stat st;
    int fd = (int)file->handle;
    if (fstat(fd, &st))
        return mv_fail_os(err, "%s '%s'", what, path);
    int rc = file_check_kind(&st, what, path, err);
    if (rc)
        return rc;
    /* O_NONBLOCK was for FIFOs; with it io_uring would not wait for the disk. */
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK))
        return mv_fail_os(err, "%s '%s'", what, path);
    file->block_device = S_ISBLK(st.st_mode);
    file->size_bytes = (uint64_t)st.st_size;
    if (file->block_device && mv_file_posix_device_size(fd, &file->size_bytes))
        return mv_fail_os(err, "%s '%s': asking for its size", what, path);
    if (flags & MV_FILE_LOCK && (rc = file_lock(fd, what, path, flags, err)) != 0)
        return rc;
    if (flags & MV_FILE_DIRECT)
        rc = mv_file_posix_direct(file, what, path, flags, err);
    if (!rc && flags & MV_FILE_WRITE)
        file->can_discard = mv_file_posix_can_discard(file);
    return rc;
}

int mv_file_open(struct mv_file *file, const char *what, const char *path,
                 unsigned flags, microvm_error *err)
{
    struct mv_file made = MV_FILE_CLOSED;
    struct stat st;
    made.path = path;
    made.align_bytes = 1;
    if (stat(path, &st))
        return mv_fail_os(err, "%s '%s'", what, path);
    int rc = file_check_kind(&st, what, path, err);
    if (rc)
        return rc;
    int access = flags & MV_FILE_WRITE ? O_RDWR : O_RDONLY;
    made.handle = open(path, access | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (made.handle < 0)
        return mv_fail_os(err, "%s '%s': opening it for %s", what, path,
                          flags & MV_FILE_WRITE ? "writing" : "reading");
    rc = file_learn(&made, what, path, flags, err);
    if (rc)
        mv_file_close(&made);
    else
        *file = made;
    return rc;
}

void mv_file_close(struct mv_file *file)
{
    if (file->direct != -1)
        (void)close((int)file->direct);
    if (file->handle != -1) {
        /* The kernel may hold on to the open file a little longer (io_uring). */
        (void)flock((int)file->handle, LOCK_UN);
        (void)close((int)file->handle);
    }
    file->direct = file->handle = -1;
}

int64_t mv_file_sys_readv(intptr_t handle, uint64_t offset, const struct mv_span *span,
                          unsigned spans)
{
    const struct iovec *iov = (const void *)span;
    ssize_t n = preadv((int)handle, iov, (int)spans, (off_t)offset);
    return n < 0 ? -errno : n;
}

int64_t mv_file_sys_writev(intptr_t handle, uint64_t offset, const struct mv_span *span,
                           unsigned spans)
{
    const struct iovec *iov = (const void *)span;
    ssize_t n = pwritev((int)handle, iov, (int)spans, (off_t)offset);
    return n < 0 ? -errno : n;
}
