/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The requests "put" and "get". Each is a process of its own, forked off: a disk may
 * take its time, and what is copied may be anything, while the agent answers others. It
 * takes its client's connection along and ends with it, or with the guest.
 */
#define _GNU_SOURCE
#include "copy.h"

#include "copy/copy.h"
#include "link.h"
#include "procs.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* FAILED: the code of what cannot be done. */
enum { COPIES_MAX = 64, FAILED = 1, LINK_FD = 3 };

static pid_t copies[COPIES_MAX];

/* ---- in the child ---------------------------------------------------------------- */

static bool flag_of(const struct agent_frame *request, const char *key)
{
    return agent_strings_number(request->data, request->length, key, 0, 0, 1) == 1;
}

static const char *string_of(const struct agent_frame *request, const char *key)
{
    return agent_strings_get(request->data, request->length, key, 0);
}

static void put_failure(struct agent_writer *w, const microvm_error *err)
{
    agent_put_number(w, "code",
                     err->code == MICROVM_E_TIMEOUT ? LINK_TIME_OVER : FAILED);
    agent_put(w, "error", err->message);
}

/* The last frame: how it went. */
static void say_end(struct link *link, int rc, const struct mv_copy_count *count,
                    const microvm_error *failure)
{
    uint8_t strings[1024];
    struct agent_writer w = {.data = strings, .size = sizeof strings};
    microvm_error err;
    if (rc) {
        put_failure(&w, failure);
        /* There may be time for a word when there is none for the work. */
        link->deadline_ms = 0;
    } else {
        agent_put_number(&w, "code", 0);
        agent_put_number(&w, "entries", (int64_t)count->entries);
        agent_put_number(&w, "bytes", (int64_t)count->bytes);
    }
    if (link_send_strings(link, AGENT_EXIT, &w, &err) == 0)
        link_end(link);
}

/* The reply; with a failure it is the last frame. */
static int say_reply(struct link *link, int rc, const struct mv_filetree_entry *root,
                     const microvm_error *failure)
{
    uint8_t strings[1024];
    struct agent_writer w = {.data = strings, .size = sizeof strings};
    microvm_error err;
    if (rc) {
        put_failure(&w, failure);
    } else {
        agent_put_number(&w, "version", link->version);
        if (root) {
            agent_put(&w, "type", mv_copy_type_name(root->type));
            agent_put_number(&w, "size", (int64_t)root->size);
        }
    }
    int sent = link_send_strings(link, AGENT_REPLY, &w, &err);
    if (rc && !sent)
        link_end(link);
    return rc ? rc : sent;
}

static int put_receive(struct link *link, struct mv_copy_in *in, microvm_error *err)
{
    struct agent_frame frame;
    int rc;
    while ((rc = link_receive(link, &frame, err)) == 0) {
        if (frame.type == AGENT_INPUT && !frame.length)
            return 0;
        rc = mv_copy_take(in, &frame, err);
        if (rc)
            return rc;
    }
    return rc;
}

static void put_run(struct link *link, const struct agent_frame *request)
{
    const char *type = string_of(request, "type");
    struct mv_filetree_place place = {.path = string_of(request, "path"),
                                      .name = string_of(request, "name"),
                                      .directory = type && !strcmp(type, "directory"),
                                      .make = flag_of(request, "make"),
                                      .owners = flag_of(request, "owners")};
    struct mv_filetree_writer *writer = NULL;
    microvm_error err;
    int rc = place.path && *place.path
                 ? mv_filetree_write_open(&writer, &place, &err)
                 : mv_fail(&err, MICROVM_E_INVALID, "there is no path");
    if (say_reply(link, rc, NULL, &err))
        return;
    struct mv_copy_sink sink = mv_copy_to_tree(writer);
    struct mv_copy_in in = {.data = AGENT_INPUT, .sink = &sink};
    rc = put_receive(link, &in, &err);
    if (!rc)
        rc = mv_filetree_write_end(writer, &err);
    mv_filetree_write_close(writer);
    say_end(link, rc, &in.count, &err);
}

static void get_run(struct link *link, const struct agent_frame *request)
{
    static struct mv_copy_out out;
    const char *path = string_of(request, "path");
    struct mv_filetree_reader *reader = NULL;
    microvm_error err;
    int rc = path && *path ? mv_filetree_read_open(&reader, path,
                                                   flag_of(request, "follow"), &err)
                           : mv_fail(&err, MICROVM_E_INVALID, "there is no path");
    if (say_reply(link, rc, rc ? NULL : mv_filetree_read_root(reader), &err))
        return;
    struct mv_copy_source source = mv_copy_from_tree(reader);
    out.data = AGENT_OUTPUT;
    out.send = link_send;
    out.ctx = link;
    rc = mv_copy_send(&out, &source, &err);
    if (rc && out.length > 0) /* whole frames: what came before the failure */
        (void)link_send(link, out.bytes, out.length, &(microvm_error){0});
    say_end(link, rc, &out.count, &err);
}

/* Nothing of the agent's but the connection stays open here: a command that waits for
 * the end of its input must not wait for us. */
static bool keep_only(int fd)
{
    if (fd != LINK_FD && dup2(fd, LINK_FD) < 0)
        return false;
    procs_close_from(LINK_FD + 1);
    return true;
}

static void child_run(const struct session *session, const struct agent_frame *request,
                      void (*run)(struct link *link, const struct agent_frame *request))
{
    static struct link link;
    int64_t timeout_ms = agent_strings_number(request->data, request->length,
                                              "timeout_ms", 0, 0, AGENT_TIMEOUT_MAX_MS);
    const uint8_t *rest = request->data + request->length;
    (void)prctl(PR_SET_NAME, "microvm-copy");
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    link_hear_end();
    if (!keep_only(session->socket.fd) || chdir("/"))
        return;
    link.fd = LINK_FD;
    link.version = session->version;
    link.deadline_ms = timeout_ms > 0 ? loop_now_ms() + timeout_ms : 0;
    /* What came behind the request. */
    link.length = (size_t)(session->in + session->in_length - rest);
    memcpy(link.in, rest, link.length);
    run(&link, request);
}

/* ---- in the agent ---------------------------------------------------------------- */

static void copy_begin(struct session *session, const struct agent_frame *request,
                       void (*run)(struct link *link,
                                   const struct agent_frame *request))
{
    unsigned place = 0;
    while (place < COPIES_MAX && copies[place])
        place++;
    if (place == COPIES_MAX) {
        session_refuse(session, FAILED, "there are %d copies on the way already",
                       COPIES_MAX);
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        child_run(session, request, run);
        _exit(0);
    }
    if (pid < 0) {
        session_refuse(session, FAILED, "fork: %s", strerror(errno));
        return;
    }
    copies[place] = pid;
    session_end(session); /* closes our descriptor, not the connection */
}

void put_begin(struct session *session, const struct agent_frame *request)
{
    copy_begin(session, request, put_run);
}

void get_begin(struct session *session, const struct agent_frame *request)
{
    copy_begin(session, request, get_run);
}

void copy_reaped(int pid)
{
    for (unsigned i = 0; i < COPIES_MAX; i++) {
        if (copies[i] == pid)
            copies[i] = 0;
    }
}
