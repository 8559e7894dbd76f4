/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The UNIX socket of a vsock device, as Firecracker has it, so that its tools work here
 * too. Who connects to PATH writes
 *
 *     CONNECT 1025\n
 *
 * and reads "OK 1073741824\n" (our port of that connection) when the guest has taken
 * it; from then on the socket is the connection. When the guest refuses, it is closed
 * without a word. A connection that the guest makes to port P of the host goes to the
 * socket PATH_P, where somebody must listen with a socket of the same type: a stream,
 * or SOCK_SEQPACKET, which Firecracker does not have. PATH itself is a stream, and so
 * is what is made through it.
 */
#include "backing/vsock_door.h"

#include "util/bytes.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>

enum { LINE_MAX_BYTES = 32 }; /* "CONNECT 4294967295\n" has 19 */

/* The line is a few bytes in an empty socket: there is room, or the caller has gone. */
static bool uds_taken(struct mv_vsock_caller *caller, uint32_t host_port)
{
    char line[LINE_MAX_BYTES];
    int n = snprintf(line, sizeof line, "OK %u\n", host_port);
    return mv_socket_write(caller->socket, line, (size_t)n) == n;
}

/* "CONNECT 1025\n" at the start of `text`: the line's length. */
static int uds_parse(const char *text, size_t length, uint32_t *port)
{
    static const char word[] = "CONNECT ";
    const size_t prefix = sizeof word - 1;
    const char *end = memchr(text, '\n', length);
    if (memcmp(text, word, MV_MIN(length, prefix)))
        return -1;
    if (!end)
        return length < LINE_MAX_BYTES ? 0 : -1;
    char digits[LINE_MAX_BYTES];
    size_t n = (size_t)(end - text) - MV_MIN(prefix, (size_t)(end - text));
    uint64_t number;
    memcpy(digits, end - n, n);
    digits[n] = '\0';
    if (n > 0 && digits[n - 1] == '\r')
        digits[n - 1] = '\0';
    if (mv_str_to_count(digits, &number) || number >= UINT32_MAX)
        return -1;
    *port = (uint32_t)number;
    return (int)(end - text) + 1;
}

static int uds_hear(struct mv_vsock_caller *caller, const uint8_t *bytes, size_t length)
{
    int line = uds_parse((const char *)bytes, length, &caller->dial.port);
    if (line > 0)
        mv_vsock_door_dial(caller);
    return line;
}

static const struct mv_vsock_manner uds_manner = {.hear = uds_hear,
                                                  .taken = uds_taken,
                                                  .most = LINE_MAX_BYTES,
                                                  .callers = MV_VSOCK_CALLERS};

intptr_t mv_vsock_uds_arrived(const struct mv_vsock_ports *ports,
                              microvm_socket_type type, uint32_t port)
{
    char path[MV_VSOCK_PATH + 16];
    if (!ports->path[0])
        return MV_SOCKET_NONE;
    (void)snprintf(path, sizeof path, "%s_%u", ports->path, port);
    return mv_unix_connect(type, path);
}

int mv_vsock_uds_open(struct mv_vsock_ports *ports, const char *path,
                      microvm_error *err)
{
    intptr_t socket;
    int rc = mv_unix_listen(path, &socket, err);
    if (rc)
        return rc;
    ports->uds = calloc(1, sizeof *ports->uds);
    rc = ports->uds ? mv_vsock_door_open(ports->uds, ports, &uds_manner, socket, err)
                    : mv_fail(err, MICROVM_E_NO_MEMORY, "vsock: no memory");
    if (rc) {
        mv_unix_unlisten(socket, path);
        free(ports->uds);
        return rc;
    }
    (void)snprintf(ports->path, sizeof ports->path, "%s", path);
    return 0;
}

void mv_vsock_uds_close(struct mv_vsock_ports *ports)
{
    if (!ports->path[0])
        return;
    mv_vsock_door_close(ports->uds);
    mv_unix_unlisten(ports->uds->socket, ports->path);
    ports->path[0] = '\0';
    free(ports->uds);
}
