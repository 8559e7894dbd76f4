/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A client's connection in the hands of a process of its own: it waits for its client
 * and its disk as long as they take, and nobody else waits with it. Waiting ends when
 * the client has gone, the time is over, or the guest powers off.
 */
#ifndef GUEST_LINK_H
#define GUEST_LINK_H

#include "proto/agent.h"
#include "util/err.h"

enum { LINK_TIME_OVER = 124 /* os_code of that failure */ };

struct link {
    int fd, version;
    int64_t deadline_ms; /* 0: none */
    size_t length, at;   /* received, in `in`; of it used */
    uint8_t in[AGENT_HEADER_BYTES + AGENT_REQUEST_MAX];
};

/* SIGTERM, by which the guest powers off, ends all waiting from now on. */
void link_hear_end(void);
/* Sends bytes, as mv_copy_out has it; ctx is the link. */
int link_send(void *ctx, const uint8_t *bytes, size_t length, microvm_error *err);
int link_send_strings(struct link *link, enum agent_type type,
                      const struct agent_writer *w, microvm_error *err);
/* The next frame, valid until the next call. */
int link_receive(struct link *link, struct agent_frame *frame, microvm_error *err);
/* The last frame has been sent: lets the client have it, although what it has sent
 * itself was not all read. */
void link_end(struct link *link);

#endif
