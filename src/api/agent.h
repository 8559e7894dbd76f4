/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The client's end of a connection to the agent (proto/agent.md): the request, the
 * reply, frames one by one. process.c is what follows the reply of "exec".
 */
#ifndef MV_API_AGENT_H
#define MV_API_AGENT_H

#include "util/err.h"

#include "proto/agent.h"

enum { MV_AGENT_FRAME_MAX = AGENT_HEADER_BYTES + AGENT_DATA_MAX };

struct mv_agent {
    intptr_t socket;
    size_t length; /* received, in `in` */
    uint8_t in[MV_AGENT_FRAME_MAX];
};

/* The two ways in which an agent does not answer, as errors. */
int mv_agent_gone(microvm_error *err);
int mv_agent_slow(const char *what, microvm_error *err);

/* All of the bytes; a part of them may have gone when it fails. */
int mv_agent_send(struct mv_agent *agent, const uint8_t *data, size_t length,
                  int64_t timeout_ms, microvm_error *err);
/* The next frame, whole, at the beginning of `in`: 1, or a negative code. */
int mv_agent_receive(struct mv_agent *agent, struct agent_frame *frame,
                     int64_t timeout_ms, microvm_error *err);
void mv_agent_drop(struct mv_agent *agent, const struct agent_frame *frame);
/* Its strings, or an error where they are none. */
int mv_agent_strings(const struct agent_frame *frame, microvm_error *err);

/* Puts the strings of a request. */
typedef void mv_agent_put(struct agent_writer *w, const void *what);
/* Sends a request and waits for its reply, which is *reply, at the beginning of `in`.
 * INVALID with the agent's sentence and its code as os_code when it refuses. */
int mv_agent_request(struct mv_agent *agent, mv_agent_put *put, const void *what,
                     int64_t timeout_ms, struct agent_frame *reply, microvm_error *err);

/* A whole conversation that is a request and its reply, as microvm_agent_ask. */
int mv_agent_question(intptr_t connection, mv_agent_put *put, const void *what,
                      int64_t timeout_ms, char **reply, microvm_error *err);

#endif
