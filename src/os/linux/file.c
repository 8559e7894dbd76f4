/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Files and block devices as only Linux has them: O_DIRECT, fallocate, BLK* ioctls.
 */
#define _GNU_SOURCE
#include "os/file_sys.h"
#include "os/posix/file_posix.h"

#include "os/error.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ALIGN_UNKNOWN = 4096 }; /* no block device of today demands more */

int mv_file_posix_device_size(int fd, uint64_t *size_bytes)
{
    off_t end = lseek(fd, 0, SEEK_END);
    if (end < 0)
        return -1;
    *size_bytes = (uint64_t)end;
    return 0;
}

static uint32_t file_direct_align(int fd, bool block_device)
{
    uint32_t align = 0;
#ifdef STATX_DIOALIGN /* Linux 6.1 */
    struct statx stx;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
        stx.stx_mask & STATX_DIOALIGN)
        align = stx.stx_dio_offset_align > stx.stx_dio_mem_align
                    ? stx.stx_dio_offset_align
                    : stx.stx_dio_mem_align;
#endif
    int sector;
    if (!align && block_device && ioctl(fd, BLKSSZGET, &sector) == 0 && sector > 0)
        align = (uint32_t)sector;
    if (!align || align & (align - 1))
        align = ALIGN_UNKNOWN;
    return align < 512 ? 512 : align;
}

/* A second descriptor, because O_DIRECT is a property of the open file. */
int mv_file_posix_direct(struct mv_file *file, const char *what, const char *path,
                         unsigned flags, microvm_error *err)
{
    int access = flags & MV_FILE_WRITE ? O_RDWR : O_RDONLY;
    int fd = open(path, access | O_CLOEXEC | O_NOCTTY | O_DIRECT);
    if (fd < 0 && errno == EINVAL)
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "%s '%s': its file system has no direct I/O; leave out 'direct'",
                       what, path);
    if (fd < 0)
        return mv_fail_os(err, "%s '%s': opening it for direct I/O", what, path);
    struct stat first, second;
    if (fstat((int)file->handle, &first) || fstat(fd, &second) ||
        first.st_dev != second.st_dev || first.st_ino != second.st_ino) {
        (void)close(fd);
        return mv_fail(err, MICROVM_E_IO, "%s '%s' was replaced while it was opened",
                       what, path);
    }
    file->direct = fd;
    file->align_bytes = file_direct_align(fd, file->block_device);
    return 0;
}

/* Asks for something that is refused for its alignment by whoever knows discarding at
 * all (block/ioctl.c), or that lies behind the end, where nothing is. */
bool mv_file_posix_can_discard(const struct mv_file *file)
{
    int fd = (int)file->handle;
    if (file->block_device) {
        uint64_t range[2] = {1, 1};
        return ioctl(fd, BLKDISCARD, range) && errno == EINVAL;
    }
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     (off_t)file->size_bytes, 512) == 0;
}

int mv_file_sys_flush(intptr_t handle)
{
    return fdatasync((int)handle) ? -errno : 0;
}

static int file_allocate(const struct mv_file *file, int mode, uint64_t offset,
                         uint64_t length)
{
    return fallocate((int)file->handle, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                     (off_t)length)
               ? -errno
               : 0;
}

int mv_file_sys_discard(const struct mv_file *file, uint64_t offset, uint64_t length)
{
    if (!file->block_device)
        return file_allocate(file, FALLOC_FL_PUNCH_HOLE, offset, length);
    uint64_t range[2] = {offset, length};
    return ioctl((int)file->handle, BLKDISCARD, range) ? -errno : 0;
}

/* Block devices know both since Linux 4.9. */
int mv_file_sys_punch(const struct mv_file *file, uint64_t offset, uint64_t length)
{
    return file_allocate(file, FALLOC_FL_PUNCH_HOLE, offset, length);
}

int mv_file_sys_zero(const struct mv_file *file, uint64_t offset, uint64_t length)
{
    return file_allocate(file, FALLOC_FL_ZERO_RANGE, offset, length);
}
