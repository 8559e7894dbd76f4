/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Scratch files through libuv's synchronous file calls, so that they work on every
 * system; what is no file comes from POSIX where there is POSIX.
 */
#define _GNU_SOURCE
#include "scratch.h"

#include "check.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#ifdef __linux__
#include <sched.h>
#include <sys/mount.h>
#endif
#ifndef _WIN32
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#endif

static char small_folder[SCRATCH_PATH]; /* "": none is mounted */

static void scratch_name(char path[SCRATCH_PATH])
{
    static atomic_uint count;
    char folder[SCRATCH_PATH];
    size_t length = sizeof folder - 64;
    assert_int_equal(uv_os_tmpdir(folder, &length), 0);
    if (small_folder[0])
        memcpy(folder, small_folder, sizeof folder);
    (void)snprintf(path, SCRATCH_PATH, "%.*s/mv-test-%d-%u", SCRATCH_PATH - 64, folder,
                   (int)uv_os_getpid(), atomic_fetch_add(&count, 1));
    scratch_remove(path);
}

void scratch_file(char path[SCRATCH_PATH], const void *data, size_t length)
{
    scratch_name(path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

void scratch_sparse(char path[SCRATCH_PATH], uint64_t length)
{
    scratch_file(path, "", 0);
    scratch_truncate(path, length);
}

void scratch_truncate(const char *path, uint64_t length)
{
    uv_fs_t req;
    int fd = uv_fs_open(NULL, &req, path, UV_FS_O_RDWR, 0, NULL);
    assert_true(fd >= 0);
    assert_int_equal(uv_fs_ftruncate(NULL, &req, fd, (int64_t)length, NULL), 0);
    assert_int_equal(uv_fs_close(NULL, &req, fd, NULL), 0);
}

void scratch_remove(const char *path)
{
    uv_fs_t req;
    if (strncmp(path, "/dev/", 5) == 0)
        return;
    if (uv_fs_unlink(NULL, &req, path, NULL))
        (void)uv_fs_rmdir(NULL, &req, path, NULL);
}

#ifdef __linux__
bool scratch_small_begin(uint64_t length)
{
    char options[64];
    if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
        return false;
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return false;
    char folder[SCRATCH_PATH];
    (void)scratch_special(folder, SCRATCH_DIRECTORY);
    (void)snprintf(options, sizeof options, "size=%llu", (unsigned long long)length);
    if (mount("small", folder, "tmpfs", 0, options)) {
        scratch_remove(folder);
        return false;
    }
    memcpy(small_folder, folder, sizeof small_folder);
    return true;
}

void scratch_small_end(void)
{
    assert_int_equal(umount2(small_folder, MNT_DETACH), 0);
    scratch_remove(small_folder);
    small_folder[0] = 0;
}
#else
bool scratch_small_begin(uint64_t length)
{
    (void)length;
    return false;
}

void scratch_small_end(void)
{
}
#endif

#ifndef _WIN32
static void scratch_socket(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    (void)snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    (void)close(fd);
}

static const char *scratch_posix(char path[SCRATCH_PATH], int kind)
{
    switch (kind) {
    case SCRATCH_FIFO:
        assert_int_equal(mkfifo(path, 0600), 0);
        return "FIFO";
    case SCRATCH_SOCKET:
        scratch_socket(path);
        return "socket";
    case SCRATCH_CHARACTER:
        (void)strcpy(path, "/dev/null");
        return "character device";
    default:
        return NULL;
    }
}
#endif

const char *scratch_special(char path[SCRATCH_PATH], int kind)
{
    uv_fs_t req;
    scratch_name(path);
    if (kind == SCRATCH_DIRECTORY) {
        assert_int_equal(uv_fs_mkdir(NULL, &req, path, 0700, NULL), 0);
        return "directory";
    }
#ifdef _WIN32
    return NULL;
#else
    return scratch_posix(path, kind);
#endif
}

void *scratch_pages(size_t length)
{
#ifdef _WIN32
    void *pages = _aligned_malloc(length, 4096);
#else
    void *pages = NULL;
    if (posix_memalign(&pages, 4096, length))
        pages = NULL;
#endif
    assert_non_null(pages);
    return pages;
}

void scratch_pages_free(void *pages)
{
#ifdef _WIN32
    _aligned_free(pages);
#else
    free(pages);
#endif
}
