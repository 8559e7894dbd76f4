/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * UNIX sockets by path. A path is at most as long as sockaddr_un holds, which is less
 * than other paths may be, so the message says how long that is.
 */
#define _GNU_SOURCE
#include "os/error.h"
#include "os/socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 128 };

static bool unix_address(const char *path, struct sockaddr_un *to)
{
    size_t length = strlen(path);
    *to = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length == 0 || length >= sizeof to->sun_path)
        return false;
    memcpy(to->sun_path, path, length);
    return true;
}

static int unix_open(microvm_socket_type type)
{
    int kind = type == MICROVM_SOCKET_STREAM ? SOCK_STREAM : SOCK_SEQPACKET;
    int fd = socket(AF_UNIX, kind, 0);
    if (fd >= 0)
        mv_socket_prepare(fd);
    return fd;
}

intptr_t mv_unix_connect(microvm_socket_type type, const char *path)
{
    struct sockaddr_un address;
    if (!unix_address(path, &address))
        return MV_SOCKET_NONE;
    int fd = unix_open(type);
    if (fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof address))
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return MV_SOCKET_NONE;
}

/* What a program that was killed has left behind. */
static bool unix_is_stale(const char *path)
{
    struct stat st;
    if (lstat(path, &st) || !S_ISSOCK(st.st_mode))
        return false;
    intptr_t probe = mv_unix_connect(MICROVM_SOCKET_STREAM, path);
    if (probe == MV_SOCKET_NONE)
        return errno == ECONNREFUSED;
    mv_socket_close(probe);
    return false;
}

static int unix_bind(int fd, const struct sockaddr_un *address)
{
    const struct sockaddr *to = (const struct sockaddr *)address;
    if (!bind(fd, to, sizeof *address))
        return 0;
    if (errno != EADDRINUSE)
        return -1;
    if (!unix_is_stale(address->sun_path)) {
        errno = EADDRINUSE;
        return -1;
    }
    (void)unlink(address->sun_path);
    return bind(fd, to, sizeof *address);
}

int mv_unix_listen(const char *path, intptr_t *out, microvm_error *err)
{
    struct sockaddr_un address;
    if (!unix_address(path, &address))
        return mv_fail(err, MICROVM_E_INVALID,
                       "socket '%s': the path of a socket has 1 to %zu bytes", path,
                       sizeof address.sun_path - 1);
    int fd = unix_open(MICROVM_SOCKET_STREAM);
    if (fd < 0)
        return mv_fail_os(err, "socket '%s'", path);
    if (unix_bind(fd, &address) || listen(fd, BACKLOG)) {
        int rc = mv_fail_os(err, "socket '%s'", path);
        (void)close(fd);
        return rc;
    }
    *out = fd;
    return 0;
}

void mv_unix_unlisten(intptr_t socket, const char *path)
{
    if (socket == MV_SOCKET_NONE)
        return;
    mv_socket_close(socket);
    (void)unlink(path);
}
