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
#include "backing/vsock_ports.h"

#include "util/bytes.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>

#define LIMIT_NS \
    10000000000ull           /* a caller who has not said CONNECT gives up its place */
#define LATER_NS 10000000ull /* to look for a place again, when there was none */

enum { LINE_MAX_BYTES = 32 }; /* "CONNECT 4294967295\n" has 19 */

static void caller_forget(struct mv_vsock_caller *caller)
{
    mv_watch_remove(&caller->watch);
    caller->socket = MV_SOCKET_NONE;
    caller->dialling = false;
}

static void caller_drop(struct mv_vsock_caller *caller)
{
    intptr_t socket = caller->socket;
    mv_watch_remove(&caller->watch);
    mv_socket_close(socket);
    caller_forget(caller);
}

/* The line is a few bytes in an empty socket: there is room, or the caller has gone. */
static intptr_t caller_take(struct mv_vsock_dial *dial, uint32_t host_port)
{
    struct mv_vsock_caller *caller = MV_CONTAINER(dial, struct mv_vsock_caller, dial);
    intptr_t socket = caller->socket;
    char line[LINE_MAX_BYTES];
    int n = snprintf(line, sizeof line, "OK %u\n", host_port);
    if (mv_socket_write(socket, line, (size_t)n) != n) {
        caller_drop(caller);
        return MV_SOCKET_NONE;
    }
    caller_forget(caller);
    return socket;
}

static void caller_failed(struct mv_vsock_dial *dial, int code, const char *why)
{
    (void)code;
    (void)why;
    caller_drop(MV_CONTAINER(dial, struct mv_vsock_caller, dial));
}

/* "CONNECT 1025\n" at the start of `text`: the line's length. 0: not all of it is
 * there; -1: it is something else. */
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

/* What comes behind the line is the connection's, and is left in the socket. */
static void caller_ready(struct mv_watch *watch, unsigned events)
{
    struct mv_vsock_caller *caller = MV_CONTAINER(watch, struct mv_vsock_caller, watch);
    char text[LINE_MAX_BYTES];
    if (!(events & MV_WATCH_READ))
        return;
    if (caller->dialling) { /* more of it, or it has gone: the write of OK will tell */
        return;
    }
    int64_t got = mv_socket_peek(caller->socket, text, sizeof text);
    int line = 0;
    if (got > 0)
        line = uds_parse(text, (size_t)got, &caller->dial.port);
    else if (got != MV_SOCKET_AGAIN)
        line = -1;
    if (line < 0 || (line == 0 && events & MV_WATCH_GONE)) {
        caller_drop(caller);
    } else if (line == 0) {
        mv_watch_again(watch, MV_WATCH_READ);
    } else {
        (void)mv_socket_read(caller->socket, text, (size_t)line);
        caller->dialling = true;
        mv_vsock_dial(caller->ports, &caller->dial);
    }
}

static struct mv_vsock_caller *uds_place(struct mv_vsock_ports *ports)
{
    for (unsigned i = 0; i < MV_VSOCK_CALLERS; i++) {
        if (ports->caller[i].socket == MV_SOCKET_NONE)
            return &ports->caller[i];
    }
    return NULL;
}

static void uds_add(struct mv_vsock_ports *ports, struct mv_vsock_caller *caller,
                    intptr_t socket)
{
    *caller = (struct mv_vsock_caller){.dial = {.type = MICROVM_SOCKET_STREAM,
                                                .take = caller_take,
                                                .failed = caller_failed},
                                       .watch = {.ready = caller_ready},
                                       .ports = ports,
                                       .socket = socket,
                                       .limit_ns = uv_hrtime() + LIMIT_NS};
    if (mv_watch_add(ports->watches, &caller->watch, socket))
        caller_drop(caller);
}

static void uds_accept(struct mv_vsock_ports *ports)
{
    struct mv_vsock_caller *caller;
    ports->uds_waits = false;
    while ((caller = uds_place(ports))) {
        intptr_t socket = mv_unix_accept(ports->uds);
        if (socket == MV_SOCKET_AGAIN) {
            mv_watch_again(&ports->uds_watch, MV_WATCH_READ);
            break;
        }
        if (socket == MV_SOCKET_GONE) { /* no descriptors are left */
            ports->uds_waits = true;
            return;
        }
        uds_add(ports, caller, socket);
    }
    ports->uds_waits = !caller;
}

static void uds_ready(struct mv_watch *watch, unsigned events)
{
    struct mv_vsock_ports *ports =
        MV_CONTAINER(watch, struct mv_vsock_ports, uds_watch);
    if (events & MV_WATCH_READ)
        uds_accept(ports);
    mv_vsock_ports_rearm(ports);
}

static void uds_turned(void *ctx)
{
    (void)ctx;
}

void mv_vsock_uds_serve(struct mv_vsock_ports *ports, uint64_t now_ns)
{
    for (unsigned i = 0; i < MV_VSOCK_CALLERS && ports->caller; i++) {
        struct mv_vsock_caller *caller = &ports->caller[i];
        bool silent = caller->socket != MV_SOCKET_NONE && !caller->dialling;
        if (silent && caller->limit_ns <= now_ns)
            caller_drop(caller);
    }
    if (ports->uds_waits)
        uds_accept(ports);
}

uint64_t mv_vsock_uds_due(const struct mv_vsock_ports *ports, uint64_t now_ns)
{
    uint64_t due_ns = ports->uds_waits ? now_ns + LATER_NS : UINT64_MAX;
    for (unsigned i = 0; i < MV_VSOCK_CALLERS && ports->caller; i++) {
        const struct mv_vsock_caller *caller = &ports->caller[i];
        if (caller->socket != MV_SOCKET_NONE && !caller->dialling)
            due_ns = MV_MIN(due_ns, caller->limit_ns);
    }
    return due_ns;
}

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
    ports->caller = calloc(MV_VSOCK_CALLERS, sizeof *ports->caller);
    if (!ports->caller)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "vsock: no memory");
    for (unsigned i = 0; i < MV_VSOCK_CALLERS; i++)
        ports->caller[i].socket = MV_SOCKET_NONE;
    int rc = mv_watch_open(ports->loop, uds_turned, ports, &ports->watches, err);
    if (!rc)
        rc = mv_unix_listen(path, &ports->uds, err);
    if (rc)
        return rc;
    (void)snprintf(ports->path, sizeof ports->path, "%s", path);
    ports->uds_watch.ready = uds_ready;
    if (mv_watch_add(ports->watches, &ports->uds_watch, ports->uds))
        return mv_fail(err, MICROVM_E_IO, "vsock '%s': it cannot be watched", path);
    return 0;
}

void mv_vsock_uds_close(struct mv_vsock_ports *ports)
{
    if (!ports->caller)
        return;
    mv_watch_remove(&ports->uds_watch);
    ports->uds_waits = false;
    for (unsigned i = 0; i < MV_VSOCK_CALLERS; i++) {
        struct mv_vsock_caller *caller = &ports->caller[i];
        if (caller->socket != MV_SOCKET_NONE) {
            mv_vsock_dial_cancel(ports, &caller->dial);
            caller_drop(caller);
        }
    }
    mv_unix_unlisten(ports->uds, ports->path);
    ports->uds = MV_SOCKET_NONE;
    ports->path[0] = '\0';
    mv_watch_close(ports->watches);
    ports->watches = NULL;
    free(ports->caller);
    ports->caller = NULL;
}
