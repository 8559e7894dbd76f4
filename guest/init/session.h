/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A client's connection: one request and what belongs to it. Frames come in whole, one
 * by one; what goes out waits in a buffer of fixed size while the client does not read,
 * and who has more to say asks session_idle first. The connection's end ends the
 * request.
 */
#ifndef GUEST_SESSION_H
#define GUEST_SESSION_H

#include "guest/lib/loop.h"
#include "proto/agent.h"

enum { SESSIONS_MAX = 256 };

struct session;

/* What a request does after its reply. */
struct session_ops {
    /* A frame of the client; false: that is no frame for this request. */
    bool (*frame)(struct session *session, const struct agent_frame *frame);
    /* Nothing waits to be sent: there is room for a frame of AGENT_DATA_MAX. */
    void (*idle)(struct session *session);
    /* The client has gone, or the time is over, or session_end: forget the session. */
    void (*closed)(struct session *session);
    /* deadline_ms has come. */
    void (*expired)(struct session *session);
};

struct session {
    struct watch socket;
    struct later free;
    const struct session_ops *ops; /* NULL before the request */
    void *request;                 /* of ops */
    int64_t deadline_ms;           /* 0: none */
    int version;                   /* of the protocol, that both ends speak */
    bool ending;                   /* closes when all is sent */
    uint8_t *in;                   /* what has come and is no whole frame yet */
    size_t in_size, in_length;
    uint8_t *out; /* what waits to be sent, from out_at on */
    size_t out_length, out_at;
};

/* A new one for an accepted socket, which it owns. */
void session_open(int fd);
/* The reply, or another frame of at most AGENT_DATA_MAX bytes that are there already.
 */
void session_send(struct session *session, enum agent_type type, const void *data,
                  size_t length);
/* Nothing waits to be sent. */
bool session_idle(const struct session *session);
/* Reads from fd and sends it as one frame: as read(2). Only while idle. */
int64_t session_send_from(struct session *session, enum agent_type type, int fd);
/* "error" and "code" of a request that cannot be done, and the end. */
void session_refuse(struct session *session, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Closes it once everything has been sent. */
void session_end(struct session *session);

/* How long the loop may wait for deadlines (-1: no deadline); calls those that came. */
int64_t sessions_expire(void);

/* The time that a request gives, from now on. */
void session_limit(struct session *session, const struct agent_frame *request);
/* A reply that is all there is to say: the strings that have room in `w` for one more,
 * NULL for none. */
void session_answer(struct session *session, struct agent_writer *w);

/* verbs.c: begins the request of a session. */
void verb_begin(struct session *session, const struct agent_frame *request);

#endif
