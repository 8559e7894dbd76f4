/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Clients of the guest's ports. All clients of a machine are one object with a count:
 * the runtime's is one of them. A call that reaches the machine is counted in, so that
 * the runtime, which has killed the machine, can wait until none is in it any more.
 */
#include "runtime/runtime.h"

#include "os/error.h"
#include "os/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { REPLY_FIRST = 4096, REPLY_MOST = 64 << 20 };

struct microvm_client {
    struct mv_shared shared; /* changed: the last call has left the machine */
    microvm *vm;             /* NULL: its runtime is gone */
    unsigned calls;
};

/* ---- the shared object ----------------------------------------------------------- */

microvm_client *mv_client_new(microvm *vm, microvm_error *err)
{
    microvm_client *client = calloc(1, sizeof *client);
    if (!client || mv_shared_open(&client->shared)) {
        free(client);
        (void)mv_fail(err, MICROVM_E_NO_MEMORY, "client: no memory");
        return NULL;
    }
    client->vm = vm;
    return client;
}

microvm_client *microvm_client_clone(microvm_client *client)
{
    uv_mutex_lock(&client->shared.lock);
    client->shared.count++;
    uv_mutex_unlock(&client->shared.lock);
    return client;
}

void microvm_client_free(microvm_client *client)
{
    if (client && mv_shared_leave(&client->shared))
        free(client);
}

static microvm *client_enter(microvm_client *client)
{
    uv_mutex_lock(&client->shared.lock);
    microvm *vm = client->vm;
    client->calls += vm != NULL;
    uv_mutex_unlock(&client->shared.lock);
    return vm;
}

static void client_leave(microvm_client *client)
{
    uv_mutex_lock(&client->shared.lock);
    if (--client->calls == 0)
        uv_cond_broadcast(&client->shared.changed);
    uv_mutex_unlock(&client->shared.lock);
}

void mv_client_shut(microvm_client *client)
{
    if (!client)
        return;
    uv_mutex_lock(&client->shared.lock);
    client->vm = NULL;
    while (client->calls > 0)
        uv_cond_wait(&client->shared.changed, &client->shared.lock);
    uv_mutex_unlock(&client->shared.lock);
}

/* ---- connections ----------------------------------------------------------------- */

int microvm_client_connect(microvm_client *client, uint32_t port, int64_t timeout_ms,
                           intptr_t *connection, microvm_error *err)
{
    microvm *vm = client_enter(client);
    if (!vm)
        return mv_fail(err, MICROVM_E_NOT_RUNNING,
                       "client: the machine's runtime has been freed");
    int rc = microvm_connect(vm, port, timeout_ms, connection, err);
    client_leave(client);
    return rc;
}

static int too_slow(microvm_error *err)
{
    return mv_fail(err, MICROVM_E_TIMEOUT, "client: the guest did not answer in time");
}

static int was_reset(microvm_error *err)
{
    return mv_fail_os_code(err, MICROVM_E_IO, ECONNRESET,
                           "client: the connection was reset");
}

int microvm_client_send(intptr_t connection, const void *data, size_t length,
                        int64_t timeout_ms, microvm_error *err)
{
    int rc = mv_socket_send(connection, data, length, timeout_ms);
    if (rc == MV_SOCKET_GONE)
        return mv_fail(err, MICROVM_E_IO, "client: the guest has ended the connection");
    return rc ? too_slow(err) : 0;
}

int64_t microvm_client_recv(intptr_t connection, void *data, size_t length,
                            int64_t timeout_ms, microvm_error *err)
{
    uint64_t began = mv_socket_now_ms();
    for (;;) {
        int64_t n = mv_socket_read(connection, data, length);
        if (n >= 0)
            return n;
        if (n == MV_SOCKET_GONE)
            return was_reset(err);
        if (!mv_socket_wait(connection, 0, mv_socket_left_ms(timeout_ms, began)))
            return too_slow(err);
    }
}

int microvm_client_was_cut(microvm_client *client, intptr_t connection)
{
    microvm *vm = client_enter(client);
    if (!vm)
        return 1;
    int cut = microvm_connection_was_cut(vm, connection);
    client_leave(client);
    return cut;
}

void microvm_client_close(intptr_t connection)
{
    mv_socket_close(connection);
}

/* ---- requests -------------------------------------------------------------------- */

/* A reply while it comes. */
struct reply {
    char *text;
    size_t length, room;
};

static int reply_grow(struct reply *reply, microvm_error *err)
{
    size_t room = reply->room ? 2 * reply->room : REPLY_FIRST;
    if (room > REPLY_MOST)
        return mv_fail(
            err, MICROVM_E_IO,
            "client: the guest's answer has no end: it is longer than %d MiB",
            REPLY_MOST >> 20);
    char *text = realloc(reply->text, room + 1);
    if (!text)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "client: no memory for the answer");
    reply->text = text;
    reply->room = room;
    return 0;
}

/* The guest's end is an answer's, a cut is none. */
static int reply_end(const struct reply *reply, microvm_client *client,
                     intptr_t connection, microvm_error *err)
{
    if (client && microvm_client_was_cut(client, connection))
        return mv_fail_os_code(err, MICROVM_E_IO, ECONNRESET,
                               "client: the connection was cut off before its end");
    if (reply->length == 0)
        return mv_fail(err, MICROVM_E_IO,
                       "client: the guest has ended the connection without an answer");
    return 1;
}

/* As microvm_client_recv, but what stands behind a newline stays in the socket. */
static int64_t reply_recv(intptr_t connection, char *data, size_t length,
                          int64_t timeout_ms, microvm_error *err)
{
    uint64_t began = mv_socket_now_ms();
    int64_t n;
    while ((n = mv_socket_peek(connection, data, length)) == MV_SOCKET_AGAIN) {
        if (!mv_socket_wait(connection, 0, mv_socket_left_ms(timeout_ms, began)))
            return too_slow(err);
    }
    if (n <= 0) /* a reset is told once: not asked for again */
        return n == 0 ? 0 : was_reset(err);
    const char *end = memchr(data, '\n', (size_t)n);
    return microvm_client_recv(connection, data,
                               end ? (size_t)(end - data) + 1 : (size_t)n,
                               mv_socket_left_ms(timeout_ms, began), err);
}

/* 1: it is whole; 0: more is to come. */
static int reply_take(struct reply *reply, microvm_client *client, intptr_t connection,
                      int64_t timeout_ms, microvm_error *err)
{
    int rc = reply->length == reply->room ? reply_grow(reply, err) : 0;
    if (rc)
        return rc;
    char *from = reply->text + reply->length;
    int64_t n =
        reply_recv(connection, from, reply->room - reply->length, timeout_ms, err);
    if (n < 0)
        return (int)n;
    if (n == 0)
        return reply_end(reply, client, connection, err);
    char *end = memchr(from, '\n', (size_t)n);
    reply->length = end ? (size_t)(end - reply->text) : reply->length + (size_t)n;
    return end != NULL;
}

static int request_send(intptr_t connection, const char *data, size_t length,
                        int64_t timeout_ms, microvm_error *err)
{
    uint64_t began = mv_socket_now_ms();
    int rc = microvm_client_send(connection, data, length, timeout_ms, err);
    if (rc || (length > 0 && data[length - 1] == '\n'))
        return rc;
    return microvm_client_send(connection, "\n", 1,
                               mv_socket_left_ms(timeout_ms, began), err);
}

int mv_client_request_on(microvm_client *client, intptr_t connection, const void *data,
                         size_t length, int64_t timeout_ms, char **text,
                         size_t *reply_length, microvm_error *err)
{
    uint64_t began = mv_socket_now_ms();
    struct reply reply = {NULL, 0, 0};
    mv_socket_prepare(connection); /* it may be somebody else's */
    int rc = request_send(connection, data, length, timeout_ms, err);
    while (rc == 0)
        rc = reply_take(&reply, client, connection,
                        mv_socket_left_ms(timeout_ms, began), err);
    if (rc < 0) {
        free(reply.text);
        return rc;
    }
    reply.text[reply.length] = '\0';
    *text = reply.text;
    *reply_length = reply.length;
    return 0;
}

int microvm_client_request_on(intptr_t connection, const void *data, size_t length,
                              int64_t timeout_ms, char **text, size_t *reply_length,
                              microvm_error *err)
{
    return mv_client_request_on(NULL, connection, data, length, timeout_ms, text,
                                reply_length, err);
}

int microvm_client_request(microvm_client *client, uint32_t port, const void *data,
                           size_t length, int64_t timeout_ms, char **text,
                           size_t *reply_length, microvm_error *err)
{
    uint64_t began = mv_socket_now_ms();
    intptr_t connection;
    int rc = microvm_client_connect(client, port, timeout_ms, &connection, err);
    if (rc)
        return rc;
    rc = mv_client_request_on(client, connection, data, length,
                              mv_socket_left_ms(timeout_ms, began), text, reply_length,
                              err);
    mv_socket_close(connection);
    return rc;
}
