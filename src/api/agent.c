/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The client's end of a connection to the agent, and requests that are answered at
 * once.
 */
#include "api/agent.h"

#include "os/socket.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int mv_agent_gone(microvm_error *err)
{
    return mv_fail(err, MICROVM_E_IO, "the guest's agent has gone");
}

int mv_agent_slow(const char *what, microvm_error *err)
{
    return mv_fail(err, MICROVM_E_TIMEOUT, "the guest's agent %s in time", what);
}

/* ---- bytes ----------------------------------------------------------------------- */

int mv_agent_send(struct mv_agent *agent, const uint8_t *data, size_t length,
                  int64_t timeout_ms, microvm_error *err)
{
    int rc = mv_socket_send(agent->socket, data, length, timeout_ms);
    if (rc == MV_SOCKET_GONE)
        return mv_agent_gone(err);
    return rc ? mv_agent_slow("took nothing", err) : 0;
}

int mv_agent_receive(struct mv_agent *agent, struct agent_frame *frame,
                     int64_t timeout_ms, microvm_error *err)
{
    uint64_t began = mv_socket_now_ms();
    int32_t whole;
    while ((whole = agent_frame_read(frame, agent->in, agent->length)) == 0) {
        int64_t n = mv_socket_read(agent->socket, agent->in + agent->length,
                                   sizeof agent->in - agent->length);
        if (n > 0)
            agent->length += (size_t)n;
        else if (n == 0 || n == MV_SOCKET_GONE)
            return mv_agent_gone(err);
        else if (!mv_socket_wait(agent->socket, 0,
                                 mv_socket_left_ms(timeout_ms, began)))
            return mv_agent_slow("said nothing", err);
    }
    if (whole < 0)
        return mv_fail(err, MICROVM_E_IO,
                       "what listens on port %d of the guest is no agent", AGENT_PORT);
    return 1;
}

void mv_agent_drop(struct mv_agent *agent, const struct agent_frame *frame)
{
    size_t n = AGENT_HEADER_BYTES + frame->length;
    agent->length -= n;
    memmove(agent->in, agent->in + n, agent->length);
}

/* ---- requests -------------------------------------------------------------------- */

int mv_agent_strings(const struct agent_frame *frame, microvm_error *err)
{
    if (agent_strings_valid(frame->data, frame->length))
        return 0;
    return mv_fail(err, MICROVM_E_IO, "the strings of the guest's agent are none");
}

static int send_request(struct mv_agent *agent, mv_agent_put *put, const void *what,
                        int64_t timeout_ms, microvm_error *err)
{
    uint8_t *bytes = malloc(AGENT_HEADER_BYTES + AGENT_REQUEST_MAX);
    if (!bytes)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "exec: no memory");
    struct agent_writer w = {.data = bytes + AGENT_HEADER_BYTES,
                             .size = AGENT_REQUEST_MAX};
    put(&w, what);
    agent_header_write(bytes, AGENT_REQUEST, (uint32_t)w.length);
    int rc = w.full ? mv_fail(err, MICROVM_E_INVALID,
                              "the request's strings have more than %d bytes",
                              AGENT_REQUEST_MAX)
                    : mv_agent_send(agent, bytes, AGENT_HEADER_BYTES + w.length,
                                    timeout_ms, err);
    free(bytes);
    return rc;
}

/* It answers in our version or in an older one, of which there is none yet. */
static int agent_speaks(const struct agent_frame *reply, microvm_error *err)
{
    int64_t version = agent_strings_number(reply->data, reply->length, "version", -1, 1,
                                           AGENT_VERSION);
    return version > 0 ? 0
                       : mv_fail(err, MICROVM_E_IO,
                                 "the guest's agent does not speak version %d of the "
                                 "protocol",
                                 AGENT_VERSION);
}

int mv_agent_request(struct mv_agent *agent, mv_agent_put *put, const void *what,
                     int64_t timeout_ms, struct agent_frame *reply, microvm_error *err)
{
    uint64_t began = mv_socket_now_ms();
    int rc = send_request(agent, put, what, timeout_ms, err);
    if (rc)
        return rc;
    rc = mv_agent_receive(agent, reply, mv_socket_left_ms(timeout_ms, began), err);
    if (rc < 0)
        return rc;
    if (reply->type != AGENT_REPLY)
        return mv_fail(err, MICROVM_E_IO, "the guest's agent did not reply");
    rc = mv_agent_strings(reply, err);
    if (rc)
        return rc;
    const char *error = agent_strings_get(reply->data, reply->length, "error", 0);
    if (!error)
        return agent_speaks(reply, err);
    int64_t code =
        agent_strings_number(reply->data, reply->length, "code", 126, 0, 255);
    rc = mv_fail(err, MICROVM_E_INVALID, "%s", error);
    if (err)
        err->os_code = code < 0 ? 126 : (int)code;
    return rc;
}

struct question {
    const char *what;
    const char *const *strings;
    int64_t timeout_ms;
};

static void put_question(struct agent_writer *w, const void *what)
{
    const struct question *q = what;
    agent_put(w, "do", q->what);
    agent_put_number(w, "version", AGENT_VERSION);
    agent_put_number(w, "timeout_ms", q->timeout_ms < 0 ? 0 : q->timeout_ms);
    for (const char *const *at = q->strings; at && *at; at++)
        agent_put_string(w, *at);
}

/* {"key": "value"} of a list that is valid. What is no UTF-8 is left out. */
static char *strings_json(const struct agent_frame *frame)
{
    json_t *object = json_object();
    const char *at = (const char *)frame->data, *end = at + frame->length;
    for (; at < end; at += strlen(at) + 1) {
        const char *value = strchr(at, '=') + 1;
        json_t *string = json_string(value);
        if (string)
            (void)json_object_setn_new(object, at, (size_t)(value - 1 - at), string);
    }
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return text;
}

int mv_agent_question(intptr_t connection, mv_agent_put *put, const void *what,
                      int64_t timeout_ms, char **reply, microvm_error *err)
{
    struct agent_frame frame;
    struct mv_agent *agent = malloc(sizeof *agent);
    int rc = agent ? 0 : mv_fail(err, MICROVM_E_NO_MEMORY, "agent: no memory");
    if (!rc) {
        agent->socket = connection;
        agent->length = 0;
        rc = mv_agent_request(agent, put, what, timeout_ms, &frame, err);
    }
    if (!rc && reply) {
        *reply = strings_json(&frame);
        rc = *reply ? 0 : mv_fail(err, MICROVM_E_NO_MEMORY, "agent: no memory");
    }
    free(agent);
    mv_socket_close(connection);
    return rc;
}

int microvm_agent_ask(intptr_t connection, const char *what, const char *const *strings,
                      int64_t timeout_ms, char **reply, microvm_error *err)
{
    const struct question question = {what ? what : "", strings, timeout_ms};
    return mv_agent_question(connection, put_question, &question, timeout_ms, reply,
                             err);
}
