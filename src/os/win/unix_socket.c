/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * UNIX sockets by path on Windows, which has them since version 1803 of Windows 10. A
 * socket's file is a reparse point that DeleteFile removes.
 */
#include "os/error.h"
#include "os/socket.h"

#include <string.h>

#include <winsock2.h>

#include <afunix.h>
#include <windows.h>

enum { BACKLOG = 128 };

static bool unix_address(const char *path, struct sockaddr_un *to)
{
    size_t length = strlen(path);
    memset(to, 0, sizeof *to);
    to->sun_family = AF_UNIX;
    if (length == 0 || length >= sizeof to->sun_path)
        return false;
    memcpy(to->sun_path, path, length);
    return true;
}

/* Connected before it becomes non-blocking: a local connect ends at once. */
intptr_t mv_unix_connect(microvm_socket_type type, const char *path)
{
    struct sockaddr_un address;
    if (type != MICROVM_SOCKET_STREAM || !unix_address(path, &address))
        return MV_SOCKET_NONE;
    SOCKET s = socket(AF_UNIX, SOCK_STREAM, 0);
    if (s == INVALID_SOCKET)
        return MV_SOCKET_NONE;
    if (connect(s, (struct sockaddr *)&address, sizeof address)) {
        (void)closesocket(s);
        return MV_SOCKET_NONE;
    }
    mv_socket_prepare((intptr_t)s);
    return (intptr_t)s;
}

static int unix_bind(SOCKET s, const struct sockaddr_un *address, const char *path)
{
    if (!bind(s, (const struct sockaddr *)address, sizeof *address))
        return 0;
    if (WSAGetLastError() != WSAEADDRINUSE)
        return -1;
    intptr_t probe = mv_unix_connect(MICROVM_SOCKET_STREAM, path);
    if (probe != MV_SOCKET_NONE) {
        mv_socket_close(probe);
        WSASetLastError(WSAEADDRINUSE);
        return -1;
    }
    DWORD kind = GetFileAttributesA(path);
    if (kind == INVALID_FILE_ATTRIBUTES || !(kind & FILE_ATTRIBUTE_REPARSE_POINT)) {
        WSASetLastError(WSAEADDRINUSE);
        return -1;
    }
    (void)DeleteFileA(path);
    return bind(s, (const struct sockaddr *)address, sizeof *address);
}

int mv_unix_listen(const char *path, intptr_t *out, microvm_error *err)
{
    struct sockaddr_un address;
    if (!unix_address(path, &address))
        return mv_fail(err, MICROVM_E_INVALID,
                       "socket '%s': the path of a socket has 1 to %zu bytes", path,
                       sizeof address.sun_path - 1);
    SOCKET s = socket(AF_UNIX, SOCK_STREAM, 0);
    if (s == INVALID_SOCKET && WSAGetLastError() == WSAEAFNOSUPPORT)
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "socket '%s': this Windows has no UNIX sockets; Windows 10 has "
                       "them from version 1803 on",
                       path);
    if (s == INVALID_SOCKET)
        return mv_fail_os_code(err, MICROVM_E_IO, WSAGetLastError(), "socket '%s'",
                               path);
    mv_socket_prepare((intptr_t)s);
    if (unix_bind(s, &address, path) || listen(s, BACKLOG)) {
        int rc =
            mv_fail_os_code(err, MICROVM_E_IO, WSAGetLastError(), "socket '%s'", path);
        (void)closesocket(s);
        return rc;
    }
    *out = (intptr_t)s;
    return 0;
}

void mv_unix_unlisten(intptr_t socket, const char *path)
{
    if (socket == MV_SOCKET_NONE)
        return;
    mv_socket_close(socket);
    (void)DeleteFileA(path);
}
