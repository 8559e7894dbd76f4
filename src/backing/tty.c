/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Two rings and a socket. One function, tty_serve, does all that the loop does: moves
 * what can be moved and decides what to watch the socket for.
 */
#include "backing/tty.h"

#include "os/error.h"
#include "os/socket.h"
#include "util/bytes.h"

#include <stdlib.h>

/* The longest contiguous part of a ring's used or free space. */
static size_t ring_used_span(const struct mv_ring *r, uint8_t **at)
{
    *at = r->data + r->start;
    return MV_MIN(r->used, r->size - r->start);
}

static size_t ring_free_span(const struct mv_ring *r, uint8_t **at)
{
    size_t end = (r->start + r->used) % r->size;
    *at = r->data + end;
    return MV_MIN(r->size - r->used, r->size - end);
}

static void ring_drop(struct mv_ring *r, size_t n)
{
    r->start = (r->start + n) % r->size;
    r->used -= n;
}

static size_t ring_put(struct mv_ring *r, const uint8_t *data, size_t length)
{
    size_t done = 0;
    while (done < length && r->used < r->size) {
        uint8_t *at;
        size_t n = MV_MIN(ring_free_span(r, &at), length - done);
        memcpy(at, data + done, n);
        r->used += n;
        done += n;
    }
    return done;
}

static size_t ring_get(struct mv_ring *r, uint8_t *data, size_t length)
{
    size_t done = 0;
    while (done < length && r->used) {
        uint8_t *at;
        size_t n = MV_MIN(ring_used_span(r, &at), length - done);
        memcpy(data + done, at, n);
        ring_drop(r, n);
        done += n;
    }
    return done;
}

static size_t tty_put(void *ctx, const void *data, size_t length)
{
    struct mv_tty *tty = ctx;
    uv_mutex_lock(&tty->lock);
    size_t enough = tty->held ? tty->out.size / 2 : 1, before = tty->out.used;
    size_t n = ring_put(&tty->out, data, length);
    bool call = before < enough && tty->out.used >= enough;
    tty->out_bytes += n;
    tty->wants_room |= n < length;
    uv_mutex_unlock(&tty->lock);
    if (call)
        mv_loop_post(tty->loop, &tty->serve);
    return n;
}

static size_t tty_get(void *ctx, void *data, size_t length)
{
    struct mv_tty *tty = ctx;
    uv_mutex_lock(&tty->lock);
    bool was_full = tty->in.used == tty->in.size;
    size_t n = ring_get(&tty->in, data, length);
    tty->in_bytes += n;
    tty->wants_input |= n == 0;
    uv_mutex_unlock(&tty->lock);
    if (was_full && n)
        mv_loop_post(tty->loop, &tty->serve);
    return n;
}

static void poll_closed(uv_handle_t *handle)
{
    free(handle);
}

static void tty_detach(struct mv_tty *tty)
{
    if (!tty->poll)
        return;
    uv_close((uv_handle_t *)tty->poll, poll_closed);
    tty->poll = NULL;
    tty->watching = 0;
    mv_socket_close(tty->socket);
    tty->socket = MV_SOCKET_NONE;
}

/* Output ring to socket until either is exhausted; false when the peer has gone. The
 * span is read without the lock: only the loop takes from this ring. */
static bool tty_drain(struct mv_tty *tty)
{
    for (;;) {
        uint8_t *at;
        uv_mutex_lock(&tty->lock);
        size_t n = ring_used_span(&tty->out, &at);
        uv_mutex_unlock(&tty->lock);
        if (n == 0)
            return true;
        int64_t moved = tty->poll ? mv_socket_write(tty->socket, at, n) : (int64_t)n;
        if (moved == MV_SOCKET_AGAIN)
            return true;
        if (moved < 0)
            return false;
        uv_mutex_lock(&tty->lock);
        ring_drop(&tty->out, (size_t)moved);
        uv_mutex_unlock(&tty->lock);
    }
}

/* Socket to input ring; false when the peer has gone. A peer that only ended its
 * writing (shutdown) may go on reading. */
static bool tty_fill(struct mv_tty *tty)
{
    for (;;) {
        uint8_t *at;
        uv_mutex_lock(&tty->lock);
        size_t n = ring_free_span(&tty->in, &at);
        uv_mutex_unlock(&tty->lock);
        if (n == 0 || !tty->poll || tty->input_ended)
            return true;
        int64_t moved = mv_socket_read(tty->socket, at, n);
        if (moved == MV_SOCKET_AGAIN)
            return true;
        if (moved < 0)
            return false;
        tty->input_ended = moved == 0;
        uv_mutex_lock(&tty->lock);
        tty->in.used += (size_t)moved;
        uv_mutex_unlock(&tty->lock);
    }
}

static void tty_ready(uv_poll_t *poll, int status, int events)
{
    struct mv_tty *tty = poll->data;
    (void)status;
    (void)events;
    tty->serve.fn(tty);
}

static void tty_watch(struct mv_tty *tty)
{
    uv_mutex_lock(&tty->lock);
    bool read = tty->in.used < tty->in.size && !tty->input_ended;
    int events = (read ? UV_READABLE : 0) | (tty->out.used ? UV_WRITABLE : 0);
    uv_mutex_unlock(&tty->lock);
    if (!tty->poll || events == tty->watching)
        return;
    tty->watching = events;
    if (events)
        (void)uv_poll_start(tty->poll, events, tty_ready);
    else
        (void)uv_poll_stop(tty->poll);
}

static void tty_serve(void *arg)
{
    struct mv_tty *tty = arg;
    if (!tty_drain(tty) || !tty_fill(tty)) {
        tty_detach(tty);
        (void)tty_drain(tty); /* what is left is dropped */
    }
    uv_mutex_lock(&tty->lock);
    bool room = tty->wants_room && tty->out.used < tty->out.size;
    bool input = tty->wants_input && tty->in.used;
    bool empty = tty->out.used == 0;
    tty->wants_room &= !room;
    tty->wants_input &= !input;
    uv_mutex_unlock(&tty->lock);
    if (room && tty->user.room)
        tty->user.room(tty->user.device);
    if (input && tty->user.input)
        tty->user.input(tty->user.device);
    if (tty->ended && empty)
        tty_detach(tty);
    tty_watch(tty);
}

void mv_tty_flush(struct mv_tty *tty)
{
    bool gone = !tty_drain(tty);
    uv_mutex_lock(&tty->lock);
    bool call = gone || tty->out.used || tty->wants_room;
    uv_mutex_unlock(&tty->lock);
    if (call)
        mv_loop_post(tty->loop, &tty->serve);
}

static void tty_flush(void *ctx)
{
    mv_tty_flush(ctx);
}

struct mv_chardev mv_tty_chardev(struct mv_tty *tty)
{
    return (struct mv_chardev){
        .put = tty_put, .get = tty_get, .ctx = tty, .flush = tty_flush};
}

void mv_tty_hold(struct mv_tty *tty, bool held)
{
    uv_mutex_lock(&tty->lock);
    tty->held = held;
    uv_mutex_unlock(&tty->lock);
    mv_tty_flush(tty);
}

int mv_tty_open(struct mv_tty *tty, struct mv_loop *loop, microvm_error *err)
{
    int rc = uv_mutex_init(&tty->lock);
    if (rc)
        return mv_fail_uv(err, rc, "console");
    tty->loop = loop;
    tty->user = (struct mv_chardev_user){.device = NULL};
    tty->serve = (struct mv_call){.fn = tty_serve, .arg = tty};
    tty->out = (struct mv_ring){.data = tty->out_data, .size = sizeof tty->out_data};
    tty->in = (struct mv_ring){.data = tty->in_data, .size = sizeof tty->in_data};
    tty->wants_room = tty->held = false;
    tty->wants_input = true;
    tty->out_bytes = tty->in_bytes = 0;
    tty->socket = MV_SOCKET_NONE;
    tty->poll = NULL;
    tty->watching = 0;
    tty->ended = tty->input_ended = false;
    return 0;
}

void mv_tty_close(struct mv_tty *tty)
{
    mv_loop_cancel(tty->loop, &tty->serve);
    tty_detach(tty);
    uv_mutex_destroy(&tty->lock);
}

/* Nothing is watched while the guest reads no input and prints nothing, so a peer that
 * has closed its end may not have been noticed. Sending no bytes tells (POSIX). */
static bool tty_is_open(const struct mv_tty *tty)
{
    return tty->poll && !tty->input_ended &&
           mv_socket_write(tty->socket, "", 0) != MV_SOCKET_GONE;
}

int mv_tty_attach(struct mv_tty *tty, intptr_t *out, microvm_error *err)
{
    intptr_t pair[2];
    if (tty_is_open(tty))
        return mv_fail(err, MICROVM_E_STATE, "console: it is open already");
    tty_detach(tty); /* somebody who stopped writing makes way */
    uv_poll_t *poll = malloc(sizeof *poll);
    if (!poll)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "console: no memory");
    int rc = mv_socket_pair(MICROVM_SOCKET_STREAM, pair, err);
    if (rc) {
        free(poll);
        return rc;
    }
    rc = uv_poll_init_socket(&tty->loop->uv, poll, (uv_os_sock_t)pair[0]);
    if (rc) {
        free(poll);
        mv_socket_close(pair[0]);
        mv_socket_close(pair[1]);
        return mv_fail_uv(err, rc, "console");
    }
    poll->data = tty;
    tty->input_ended = false;
    tty->poll = poll;
    tty->socket = pair[0];
    tty_serve(tty);
    *out = pair[1];
    return 0;
}

void mv_tty_end(struct mv_tty *tty)
{
    tty->ended = true;
    tty_serve(tty);
}
