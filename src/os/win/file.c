/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Files and volumes on Windows. Paths are UTF-8. The lock is one byte far behind every
 * end, because locks of Windows bind whoever reads or writes the range.
 */
#include "os/file_sys.h"

#include "os/error.h"
#include "util/bytes.h"

#include <uv.h>
#include <windows.h>
#include <winioctl.h>

enum { PATH_CHARS = 1024, ALIGN_UNKNOWN = 4096 };
#define LOCK_OFFSET (1ull << 62)

static int file_last_error(void)
{
    DWORD code = GetLastError();
    /* What file systems say to controls they do not know; libuv reads it otherwise. */
    return code == ERROR_INVALID_FUNCTION ? UV_ENOTSUP
                                          : uv_translate_sys_error((int)code);
}

static HANDLE file_handle(intptr_t handle)
{
    return (HANDLE)handle;
}

static OVERLAPPED file_at(uint64_t offset)
{
    OVERLAPPED at = {0};
    at.Offset = (DWORD)offset;
    at.OffsetHigh = (DWORD)(offset >> 32);
    return at;
}

static intptr_t file_create(const WCHAR *path, unsigned flags, DWORD attributes)
{
    DWORD access = GENERIC_READ | (flags & MV_FILE_WRITE ? GENERIC_WRITE : 0);
    return (intptr_t)CreateFileW(path, access,
                                 FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                                 NULL, OPEN_EXISTING, attributes, NULL);
}

static int file_check_kind(intptr_t handle, const char *what, const char *path,
                           microvm_error *err)
{
    DWORD type = GetFileType(file_handle(handle));
    if (type == FILE_TYPE_DISK)
        return 0;
    return mv_fail(err, MICROVM_E_INVALID,
                   "%s '%s' is a %s: give a regular file or a block device", what, path,
                   type == FILE_TYPE_PIPE ? "pipe" : "character device");
}

static int file_size(struct mv_file *file, const char *what, const char *path,
                     microvm_error *err)
{
    LARGE_INTEGER size;
    if (GetFileSizeEx(file_handle(file->handle), &size)) {
        file->size_bytes = (uint64_t)size.QuadPart;
        return 0;
    }
    GET_LENGTH_INFORMATION length;
    DWORD n;
    if (!DeviceIoControl(file_handle(file->handle), IOCTL_DISK_GET_LENGTH_INFO, NULL, 0,
                         &length, sizeof length, &n, NULL))
        return mv_fail_os(err, "%s '%s': asking for its size", what, path);
    file->block_device = true;
    file->size_bytes = (uint64_t)length.Length.QuadPart;
    return 0;
}

static int file_lock(intptr_t handle, const char *what, const char *path,
                     unsigned flags, microvm_error *err)
{
    OVERLAPPED at = file_at(LOCK_OFFSET);
    DWORD how = LOCKFILE_FAIL_IMMEDIATELY |
                (flags & MV_FILE_WRITE ? LOCKFILE_EXCLUSIVE_LOCK : 0);
    if (LockFileEx(file_handle(handle), how, 0, 1, 0, &at) ||
        (GetLastError() != ERROR_LOCK_VIOLATION && GetLastError() != ERROR_IO_PENDING))
        return 0;
    return mv_fail(err, MICROVM_E_IO,
                   "%s '%s' is in use: another machine or program has locked it%s; use "
                   "a copy, or open it read-only everywhere",
                   what, path, flags & MV_FILE_WRITE ? "" : " for writing");
}

static int file_open_direct(struct mv_file *file, const WCHAR *wide, const char *what,
                            const char *path, unsigned flags, microvm_error *err)
{
    FILE_STORAGE_INFO info;
    file->direct =
        file_create(wide, flags, FILE_ATTRIBUTE_NORMAL | FILE_FLAG_NO_BUFFERING);
    if (file->direct == -1)
        return mv_fail_os(err, "%s '%s': opening it for direct I/O", what, path);
    file->align_bytes = ALIGN_UNKNOWN;
    if (GetFileInformationByHandleEx(file_handle(file->direct), FileStorageInfo, &info,
                                     sizeof info) &&
        info.LogicalBytesPerSector >= 512 &&
        (info.LogicalBytesPerSector & (info.LogicalBytesPerSector - 1)) == 0)
        file->align_bytes = info.LogicalBytesPerSector;
    return 0;
}

/* Only sparse files give space back; in others zeroing a range would write it. */
static bool file_is_sparse(intptr_t handle)
{
    FILE_BASIC_INFO info;
    return GetFileInformationByHandleEx(file_handle(handle), FileBasicInfo, &info,
                                        sizeof info) &&
           info.FileAttributes & FILE_ATTRIBUTE_SPARSE_FILE;
}

static int file_learn(struct mv_file *file, const WCHAR *wide, const char *what,
                      const char *path, unsigned flags, microvm_error *err)
{
    int rc = file_check_kind(file->handle, what, path, err);
    if (!rc)
        rc = file_size(file, what, path, err);
    if (!rc && flags & MV_FILE_LOCK)
        rc = file_lock(file->handle, what, path, flags, err);
    if (!rc && flags & MV_FILE_DIRECT)
        rc = file_open_direct(file, wide, what, path, flags, err);
    if (!rc && flags & MV_FILE_WRITE)
        file->can_discard = !file->block_device && file_is_sparse(file->handle);
    return rc;
}

int mv_file_open(struct mv_file *file, const char *what, const char *path,
                 unsigned flags, microvm_error *err)
{
    struct mv_file made = MV_FILE_CLOSED;
    WCHAR wide[PATH_CHARS];
    made.path = path;
    made.align_bytes = 1;
    if (!MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, PATH_CHARS))
        return mv_fail_os(err, "%s '%s'", what, path);
    DWORD attributes = GetFileAttributesW(wide);
    if (attributes != INVALID_FILE_ATTRIBUTES && attributes & FILE_ATTRIBUTE_DIRECTORY)
        return mv_fail(err, MICROVM_E_INVALID,
                       "%s '%s' is a directory: give a regular file or a block device",
                       what, path);
    made.handle = file_create(wide, flags, FILE_ATTRIBUTE_NORMAL);
    if (made.handle == -1)
        return mv_fail_os(err, "%s '%s': opening it for %s", what, path,
                          flags & MV_FILE_WRITE ? "writing" : "reading");
    int rc = file_learn(&made, wide, what, path, flags, err);
    if (rc)
        mv_file_close(&made);
    else
        *file = made;
    return rc;
}

void mv_file_close(struct mv_file *file)
{
    if (file->direct != -1)
        (void)CloseHandle(file_handle(file->direct));
    if (file->handle != -1)
        (void)CloseHandle(file_handle(file->handle));
    file->direct = file->handle = -1;
}

/* One span an attempt, ReadFileScatter takes whole pages only: the first that is not
 * empty, for a move of nothing would be taken for the end. */
static const struct mv_span *file_next(const struct mv_span *span, unsigned spans)
{
    while (spans-- > 1 && span->length == 0)
        span++;
    return span;
}

int64_t mv_file_sys_readv(intptr_t handle, uint64_t offset, const struct mv_span *span,
                          unsigned spans)
{
    OVERLAPPED at = file_at(offset);
    DWORD n;
    span = file_next(span, spans);
    if (ReadFile(file_handle(handle), span->base, (DWORD)span->length, &n, &at))
        return n;
    return GetLastError() == ERROR_HANDLE_EOF ? 0 : file_last_error();
}

int64_t mv_file_sys_writev(intptr_t handle, uint64_t offset, const struct mv_span *span,
                           unsigned spans)
{
    OVERLAPPED at = file_at(offset);
    DWORD n;
    span = file_next(span, spans);
    if (WriteFile(file_handle(handle), span->base, (DWORD)span->length, &n, &at))
        return n;
    return file_last_error();
}

int mv_file_sys_flush(intptr_t handle)
{
    /* Denied: a handle that cannot write has nothing to flush. */
    if (FlushFileBuffers(file_handle(handle)) || GetLastError() == ERROR_ACCESS_DENIED)
        return 0;
    return file_last_error();
}

static int file_set_zero(const struct mv_file *file, uint64_t offset, uint64_t length)
{
    FILE_ZERO_DATA_INFORMATION range;
    DWORD n;
    range.FileOffset.QuadPart = (LONGLONG)offset;
    range.BeyondFinalZero.QuadPart = (LONGLONG)(offset + length);
    return DeviceIoControl(file_handle(file->handle), FSCTL_SET_ZERO_DATA, &range,
                           sizeof range, NULL, 0, &n, NULL)
               ? 0
               : file_last_error();
}

int mv_file_sys_discard(const struct mv_file *file, uint64_t offset, uint64_t length)
{
    return file_set_zero(file, offset, length);
}

/* The same call frees the range of a sparse file and keeps that of another. */
int mv_file_sys_punch(const struct mv_file *file, uint64_t offset, uint64_t length)
{
    return file->can_discard ? file_set_zero(file, offset, length) : UV_ENOTSUP;
}

int mv_file_sys_zero(const struct mv_file *file, uint64_t offset, uint64_t length)
{
    if (file->block_device || file->can_discard)
        return UV_ENOTSUP;
    return file_set_zero(file, offset, length);
}
