/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Files and block devices as only macOS has them: DKIOC* ioctls, F_NOCACHE (which
 * demands no alignment, so the one descriptor serves all), F_FULLFSYNC (fsync alone
 * leaves data in the disk's own cache), F_PUNCHHOLE (whole blocks only). Discarding on
 * block devices is absent: it would need DKIOCUNMAP, which asks for privileges.
 */
#include "os/file_sys.h"
#include "os/posix/file_posix.h"

#include "os/error.h"
#include "util/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <uv.h>

/* As in sys/disk.h, which not every SDK carries. */
#define DISK_BLOCK_SIZE  _IOR('d', 24, uint32_t)
#define DISK_BLOCK_COUNT _IOR('d', 25, uint64_t)

enum { HOLE_BYTES = 4096 }; /* block size of APFS */

int mv_file_posix_device_size(int fd, uint64_t *size_bytes)
{
    uint64_t blocks;
    uint32_t block_bytes;
    if (ioctl(fd, DISK_BLOCK_COUNT, &blocks) ||
        ioctl(fd, DISK_BLOCK_SIZE, &block_bytes))
        return -1;
    *size_bytes = blocks * block_bytes;
    return 0;
}

int mv_file_posix_direct(struct mv_file *file, const char *what, const char *path,
                         unsigned flags, microvm_error *err)
{
    (void)flags;
    if (fcntl((int)file->handle, F_NOCACHE, 1) == -1)
        return mv_fail_os(err, "%s '%s': turning caching off", what, path);
    return 0;
}

bool mv_file_posix_can_discard(const struct mv_file *file)
{
    return !file->block_device;
}

int mv_file_sys_flush(intptr_t handle)
{
    if (fcntl((int)handle, F_FULLFSYNC) != -1)
        return 0;
    /* File systems that do not know it, network ones above all. */
    return fsync((int)handle) ? -errno : 0;
}

/* The whole blocks inside the range; what is left at its edges keeps its content. */
int mv_file_sys_discard(const struct mv_file *file, uint64_t offset, uint64_t length)
{
    uint64_t start = mv_align_up(offset, HOLE_BYTES);
    uint64_t end = mv_align_down(offset + length, HOLE_BYTES);
    return start < end ? mv_file_sys_punch(file, start, end - start) : 0;
}

int mv_file_sys_punch(const struct mv_file *file, uint64_t offset, uint64_t length)
{
    if ((offset | length) & (HOLE_BYTES - 1))
        return UV_ENOTSUP;
    fpunchhole_t hole = {.fp_offset = (off_t)offset, .fp_length = (off_t)length};
    return fcntl((int)file->handle, F_PUNCHHOLE, &hole) == -1 ? -errno : 0;
}

int mv_file_sys_zero(const struct mv_file *file, uint64_t offset, uint64_t length)
{
    (void)file;
    (void)offset;
    (void)length;
    return UV_ENOTSUP;
}
