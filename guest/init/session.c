/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Connections of clients: bytes to frames, frames to bytes, deadlines, the end. What a
 * request means is verbs.c's.
 */
#define _GNU_SOURCE
#include "session.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    IN_FIRST = 4096, /* bytes that most requests fit into */
    FRAME_MAX = AGENT_HEADER_BYTES + AGENT_DATA_MAX,
    OUT_BYTES = FRAME_MAX + 4096, /* one of data, and small ones behind it */
    REQUEST_MS = 10000            /* for a client to say what it wants */
};

static struct session *sessions[SESSIONS_MAX];

static void session_free(struct later *later)
{
    struct session *session =
        (struct session *)((char *)later - offsetof(struct session, free));
    free(session->in);
    free(session->out);
    free(session);
}

static void session_close(struct session *session)
{
    if (session->socket.fd < 0)
        return;
    watch_close(&session->socket);
    for (unsigned i = 0; i < SESSIONS_MAX; i++) {
        if (sessions[i] == session)
            sessions[i] = NULL;
    }
    if (session->ops)
        session->ops->closed(session);
    loop_later(&session->free, session_free);
}

/* ---- sending --------------------------------------------------------------------- */

bool session_idle(const struct session *session)
{
    return session->out_length == 0 && !session->ending && session->socket.fd >= 0;
}

/* Sends what the socket takes. */
static void session_flush(struct session *session)
{
    while (session->out_at < session->out_length) {
        ssize_t n =
            send(session->socket.fd, session->out + session->out_at,
                 session->out_length - session->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            watch_change(&session->socket, EPOLLIN | EPOLLOUT);
            return;
        }
        if (n < 0) {
            session_close(session);
            return;
        }
        session->out_at += (size_t)n;
    }
    session->out_at = session->out_length = 0;
    watch_change(&session->socket, EPOLLIN);
    if (session->ending)
        session_close(session);
}

void session_send(struct session *session, enum agent_type type, const void *data,
                  size_t length)
{
    if (session->socket.fd < 0)
        return;
    if (length > AGENT_DATA_MAX ||
        OUT_BYTES - session->out_length < AGENT_HEADER_BYTES + length) {
        session_close(session); /* nobody asked whether there was room */
        return;
    }
    agent_header_write(session->out + session->out_length, type, (uint32_t)length);
    memcpy(session->out + session->out_length + AGENT_HEADER_BYTES, data, length);
    session->out_length += AGENT_HEADER_BYTES + length;
    session_flush(session);
}

int64_t session_send_from(struct session *session, enum agent_type type, int fd)
{
    ssize_t n;
    do
        n = read(fd, session->out + AGENT_HEADER_BYTES, AGENT_DATA_MAX);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n;
    agent_header_write(session->out, type, (uint32_t)n);
    session->out_length = AGENT_HEADER_BYTES + (size_t)n;
    session_flush(session);
    return n;
}

void session_end(struct session *session)
{
    if (session->socket.fd < 0)
        return;
    session->ending = true;
    if (session->out_length == 0)
        session_close(session);
}

void session_refuse(struct session *session, int code, const char *format, ...)
{
    uint8_t strings[1024];
    char text[900];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct agent_writer w = {.data = strings, .size = sizeof strings};
    agent_put(&w, "error", text);
    agent_put_number(&w, "code", code);
    session_send(session, AGENT_REPLY, strings, w.length);
    session_end(session);
}

void session_answer(struct session *session, struct agent_writer *w)
{
    uint8_t strings[32];
    struct agent_writer none = {.data = strings, .size = sizeof strings};
    if (!w)
        w = &none;
    agent_put_number(w, "version", session->version);
    session_send(session, AGENT_REPLY, w->data, w->length);
    session_end(session);
}

/* ---- receiving ------------------------------------------------------------------- */

static bool session_frame(struct session *session, const struct agent_frame *frame)
{
    if (session->ending)
        return true; /* it is not heard any more */
    if (session->ops)
        return session->ops->frame(session, frame);
    if (frame->type != AGENT_REQUEST)
        return false;
    verb_begin(session, frame);
    return true;
}

/* Hands on the whole frames; false: what came is none. */
static bool session_frames(struct session *session)
{
    struct agent_frame frame;
    size_t at = 0;
    int32_t n = 0;
    while (session->socket.fd >= 0 &&
           (n = agent_frame_read(&frame, session->in + at, session->in_length - at)) >
               0) {
        if (!session_frame(session, &frame))
            return false;
        at += (size_t)n;
    }
    if (session->socket.fd < 0)
        return true;
    session->in_length -= at;
    memmove(session->in, session->in + at, session->in_length);
    return n == 0;
}

/* Room for the rest of the frame that has begun. Before the request its length is the
 * client's word, and agent_frame_read has limited it. */
static bool session_make_room(struct session *session)
{
    if (session->in_length < session->in_size)
        return true;
    size_t most = AGENT_HEADER_BYTES + AGENT_REQUEST_MAX;
    size_t size = session->in_size * 4 < most ? session->in_size * 4 : most;
    uint8_t *in = size > session->in_size ? realloc(session->in, size) : NULL;
    if (!in)
        return false;
    session->in = in;
    session->in_size = size;
    return true;
}

static void session_receive(struct session *session)
{
    if (!session_make_room(session)) {
        session_close(session);
        return;
    }
    ssize_t n = recv(session->socket.fd, session->in + session->in_length,
                     session->in_size - session->in_length, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        session_close(session);
        return;
    }
    session->in_length += (size_t)n;
    if (!session_frames(session))
        session_close(session);
}

static void session_heard(struct watch *watch, uint32_t events)
{
    struct session *session =
        (struct session *)((char *)watch - offsetof(struct session, socket));
    if (events & EPOLLOUT)
        session_flush(session);
    if (session->socket.fd >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        session_receive(session);
    if (session->ops && session_idle(session))
        session->ops->idle(session);
}

void session_open(int fd)
{
    struct session *session = calloc(1, sizeof *session);
    unsigned place = 0;
    while (place < SESSIONS_MAX && sessions[place])
        place++;
    if (session) {
        session->in = malloc(IN_FIRST);
        session->in_size = IN_FIRST;
        session->out = malloc(OUT_BYTES);
    }
    if (place == SESSIONS_MAX || !session || !session->in || !session->out ||
        !watch_add(&session->socket, fd, EPOLLIN, session_heard)) {
        (void)close(fd);
        if (session)
            session_free(&session->free);
        return;
    }
    sessions[place] = session;
    session->deadline_ms = loop_now_ms() + REQUEST_MS;
    session_receive(session); /* most requests are there already */
}

/* ---- deadlines ------------------------------------------------------------------- */

void session_limit(struct session *session, const struct agent_frame *request)
{
    int64_t ms = agent_strings_number(request->data, request->length, "timeout_ms", 0,
                                      0, AGENT_TIMEOUT_MAX_MS);
    session->deadline_ms = ms > 0 ? loop_now_ms() + ms : 0;
}

int64_t sessions_expire(void)
{
    int64_t next = -1, now = loop_now_ms();
    for (unsigned i = 0; i < SESSIONS_MAX; i++) {
        struct session *session = sessions[i];
        if (!session || !session->deadline_ms)
            continue;
        int64_t left = session->deadline_ms - now;
        if (left <= 0) {
            session->deadline_ms = 0;
            if (session->ops)
                session->ops->expired(session);
            else
                session_close(session);
        } else if (next < 0 || left < next) {
            next = left;
        }
    }
    return next;
}
