/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Files to a guest and from it: the client's half of the requests "put" and "get" of
 * the agent protocol. The calling thread does everything, and looks up several times a
 * second to tell how far it is, whether it shall go on and whether there is time.
 */
#include "api/agent.h"

#include "copy/tar.h"
#include "os/socket.h"
#include "util/bytes.h"

#include <stdlib.h>
#include <string.h>

enum { LOOK_MS = 100, REFUSED = 1 };

struct copy {
    const microvm_copy *how;
    uint64_t began_ms, told_ms;
    const struct mv_copy_count *count;
    uint64_t total;
    int cancelled;
    /* One of these is on this side. */
    struct mv_filetree_reader *reader;
    struct mv_filetree_writer *writer;
    struct mv_tar *tar;
    struct mv_copy_source source;
    struct mv_copy_sink sink;
    struct mv_agent agent;
    struct mv_copy_out out;
    struct mv_copy_in in;
};

/* ---- looking up ------------------------------------------------------------------ */

static void copy_news(struct copy *copy, uint32_t type,
                      const struct mv_filetree_entry *e)
{
    microvm_copy_news news = {.size = sizeof news,
                              .type = type,
                              .bytes = copy->count->bytes,
                              .total = copy->total,
                              .entries = copy->count->entries,
                              .path = e ? e->path : "",
                              .why = e ? e->target : ""};
    if (copy->how->news && copy->how->news(copy->how->user, &news))
        copy->cancelled = 1;
}

static void copy_skipped(void *ctx, const struct mv_filetree_entry *entry)
{
    copy_news(ctx, MICROVM_COPY_SKIPPED, entry);
}

/* Whether to go on. */
static int copy_look(struct copy *copy, microvm_error *err)
{
    uint64_t now = mv_socket_now_ms();
    if (now - copy->told_ms >= LOOK_MS) {
        copy->told_ms = now;
        copy_news(copy, MICROVM_COPY_PROGRESS, NULL);
    }
    if (copy->cancelled)
        return mv_fail(err, MICROVM_E_STATE, "the copy was cancelled");
    if (mv_socket_left_ms(copy->how->timeout_ms, copy->began_ms) == 0)
        return mv_fail(err, MICROVM_E_TIMEOUT, "the time for the copy is over");
    return 0;
}

static int64_t copy_wait_ms(const struct copy *copy)
{
    int64_t left = mv_socket_left_ms(copy->how->timeout_ms, copy->began_ms);
    return left >= 0 && left < LOOK_MS ? left : LOOK_MS;
}

/* ---- frames ---------------------------------------------------------------------- */

static int copy_receive(struct copy *copy, struct agent_frame *frame,
                        microvm_error *err)
{
    int rc = MICROVM_E_TIMEOUT;
    while (rc == MICROVM_E_TIMEOUT) {
        rc = copy_look(copy, err);
        if (rc)
            return rc;
        rc = mv_agent_receive(&copy->agent, frame, copy_wait_ms(copy), err);
    }
    return rc < 0 ? rc : 0;
}

/* What an EXIT says. */
static int copy_ended(const struct agent_frame *frame, microvm_error *err)
{
    int rc = mv_agent_strings(frame, err);
    if (rc)
        return rc;
    const char *error = agent_strings_get(frame->data, frame->length, "error", 0);
    int64_t code = agent_strings_number(frame->data, frame->length, "code", -1, 0, 255);
    if (code == 0 && !error)
        return 0;
    rc = mv_fail(err, MICROVM_E_INVALID, "in the guest: %s",
                 error ? error : "it failed");
    if (err)
        err->os_code = REFUSED;
    return rc;
}

/* Waits for the end. */
static int copy_wait_end(struct copy *copy, microvm_error *err)
{
    struct agent_frame frame;
    int rc = copy_receive(copy, &frame, err);
    if (rc)
        return rc;
    if (frame.type != AGENT_EXIT)
        return mv_fail(err, MICROVM_E_IO, "the guest's agent did not end the copy");
    return copy_ended(&frame, err);
}

/* The agent has said something, or gone, while there is more to send: it has failed. */
static int copy_stopped(struct copy *copy, microvm_error *err)
{
    int rc = copy_wait_end(copy, err);
    return rc ? rc : mv_fail(err, MICROVM_E_IO, "the guest's agent ended it too soon");
}

static int copy_send(void *ctx, const uint8_t *bytes, size_t length, microvm_error *err)
{
    struct copy *copy = ctx;
    intptr_t socket = copy->agent.socket;
    while (length > 0) {
        int rc = copy_look(copy, err);
        if (rc)
            return rc;
        if (copy->agent.length > 0 || mv_socket_wait(socket, 0, 0))
            return copy_stopped(copy, err);
        int64_t n = mv_socket_write(socket, bytes, length);
        if (n == MV_SOCKET_GONE)
            return copy_stopped(copy, err);
        if (n < 0) {
            (void)mv_socket_wait(socket, 1, copy_wait_ms(copy));
            continue;
        }
        bytes += n;
        length -= (size_t)n;
    }
    return 0;
}

/* ---- paths ----------------------------------------------------------------------- */

/* What a source is called inside of a target: the last name of its path, NULL when its
 * contents are meant. *name is to be freed. */
static int name_of(const char *path, char **name, microvm_error *err)
{
    size_t end = strlen(path), begin;
    while (end > 0 && path[end - 1] == '/')
        end--;
    for (begin = end; begin > 0 && path[begin - 1] != '/'; begin--)
        ;
    size_t length = end - begin;
    const char *at = path + begin;
    bool dots =
        (length == 1 && at[0] == '.') || (length == 2 && at[0] == '.' && at[1] == '.');
    *name = NULL;
    if (length == 0 || dots)
        return 0;
    *name = calloc(1, length + 1);
    if (!*name)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "copy: no memory");
    memcpy(*name, at, length);
    return 0;
}

struct request {
    const struct copy *copy;
    const char *verb, *path, *name;
    bool directory, tar;
};

static void put_request(struct agent_writer *w, const void *what)
{
    const struct request *r = what;
    unsigned flags = r->copy->how->flags;
    int64_t left = mv_socket_left_ms(r->copy->how->timeout_ms, r->copy->began_ms);
    bool put = !strcmp(r->verb, "put");
    agent_put(w, "do", r->verb);
    agent_put_number(w, "version", AGENT_VERSION);
    agent_put(w, "path", r->path);
    agent_put_number(w, "timeout_ms", left > 0 ? left : 0);
    if (r->name)
        agent_put(w, "name", r->name);
    if (put)
        agent_put(w, "type", r->directory ? "directory" : "file");
    if (put && !r->name && !r->tar)
        agent_put_number(w, "make", 1);
    if (put && flags & MICROVM_COPY_OWNERS)
        agent_put_number(w, "owners", 1);
    if (!put && flags & MICROVM_COPY_FOLLOW)
        agent_put_number(w, "follow", 1);
}

/* ---- to the guest ---------------------------------------------------------------- */

static int to_open(struct copy *copy, const char *path, struct request *request,
                   char **name, microvm_error *err)
{
    if (copy->how->flags & MICROVM_COPY_TAR) {
        request->directory = request->tar = true;
        return mv_tar_read_open(&copy->tar, copy->how->tar, &copy->source, err);
    }
    int rc = mv_filetree_read_open(&copy->reader, path,
                                   copy->how->flags & MICROVM_COPY_FOLLOW, err);
    if (rc)
        return rc;
    const struct mv_filetree_entry *root = mv_filetree_read_root(copy->reader);
    request->directory = root->type == MV_FILETREE_DIRECTORY;
    copy->total = root->type == MV_FILETREE_FILE ? root->size : 0;
    copy->source = mv_copy_from_tree(copy->reader);
    rc = name_of(path, name, err);
    request->name = *name;
    return rc;
}

static int to_run(struct copy *copy, const char *host_path, const char *guest_path,
                  microvm_error *err)
{
    struct request request = {.copy = copy, .verb = "put", .path = guest_path};
    struct agent_frame reply;
    uint8_t end[AGENT_HEADER_BYTES];
    char *name = NULL;
    int rc = to_open(copy, host_path, &request, &name, err);
    copy->count = &copy->out.count;
    if (!rc)
        rc = mv_agent_request(&copy->agent, put_request, &request,
                              mv_socket_left_ms(copy->how->timeout_ms, copy->began_ms),
                              &reply, err);
    free(name);
    if (rc)
        return rc;
    mv_agent_drop(&copy->agent, &reply);
    copy->out.data = AGENT_INPUT;
    copy->out.send = copy_send;
    copy->out.skipped = copy_skipped;
    copy->out.ctx = copy;
    rc = mv_copy_send(&copy->out, &copy->source, err);
    if (rc)
        return rc;
    agent_header_write(end, AGENT_INPUT, 0);
    rc = copy_send(copy, end, sizeof end, err);
    return rc ? rc : copy_wait_end(copy, err);
}

/* ---- from the guest -------------------------------------------------------------- */

static int from_open(struct copy *copy, const char *guest_path, const char *host_path,
                     const struct agent_frame *reply, microvm_error *err)
{
    const char *type = agent_strings_get(reply->data, reply->length, "type", 0);
    int64_t size =
        agent_strings_number(reply->data, reply->length, "size", 0, 0, INT64_MAX - 9);
    char *name;
    int rc = name_of(guest_path, &name, err);
    if (rc)
        return rc;
    struct mv_filetree_place place = {.path = host_path,
                                      .name = name,
                                      .directory = mv_copy_type_find(type) ==
                                                   MV_FILETREE_DIRECTORY,
                                      .make = true,
                                      .owners = copy->how->flags & MICROVM_COPY_OWNERS};
    copy->total = place.directory || size < 0 ? 0 : (uint64_t)size;
    if (copy->how->flags & MICROVM_COPY_TAR)
        rc = mv_tar_write_open(&copy->tar, copy->how->tar, name, &copy->sink, err);
    else
        rc = mv_filetree_write_open(&copy->writer, &place, err);
    if (!rc && copy->writer)
        copy->sink = mv_copy_to_tree(copy->writer);
    free(name);
    return rc;
}

static int from_run(struct copy *copy, const char *host_path, const char *guest_path,
                    microvm_error *err)
{
    struct request request = {.copy = copy, .verb = "get", .path = guest_path};
    struct agent_frame frame;
    copy->count = &copy->in.count;
    int rc = mv_agent_request(&copy->agent, put_request, &request,
                              mv_socket_left_ms(copy->how->timeout_ms, copy->began_ms),
                              &frame, err);
    if (!rc)
        rc = from_open(copy, guest_path, host_path, &frame, err);
    if (rc)
        return rc;
    copy->in.data = AGENT_OUTPUT;
    copy->in.sink = &copy->sink;
    copy->in.skipped = copy_skipped;
    copy->in.ctx = copy;
    do {
        mv_agent_drop(&copy->agent, &frame);
        rc = copy_receive(copy, &frame, err);
        if (!rc && frame.type == AGENT_EXIT)
            break;
        if (!rc)
            rc = mv_copy_take(&copy->in, &frame, err);
    } while (!rc);
    if (!rc)
        rc = copy_ended(&frame, err);
    if (rc)
        return rc;
    return copy->tar ? mv_tar_end(copy->tar, err)
                     : mv_filetree_write_end(copy->writer, err);
}

/* ---- both ------------------------------------------------------------------------ */

typedef int copy_run(struct copy *copy, const char *host_path, const char *guest_path,
                     microvm_error *err);

static int check(const char *host_path, const char *guest_path, const microvm_copy *how,
                 microvm_error *err)
{
    if (how->size < sizeof *how)
        return mv_fail(err, MICROVM_E_INVALID,
                       "copy: its size field is not set; use MICROVM_COPY_INIT");
    if (!guest_path || !*guest_path ||
        (!(how->flags & MICROVM_COPY_TAR) && (!host_path || !*host_path)))
        return mv_fail(err, MICROVM_E_INVALID, "copy: a path is NULL or empty");
    return 0;
}

static int run_on(intptr_t connection, copy_run *run, const char *host_path,
                  const char *guest_path, const microvm_copy *how, uint64_t began_ms,
                  microvm_error *err)
{
    struct copy *copy = calloc(1, sizeof *copy);
    int rc = copy ? 0 : mv_fail(err, MICROVM_E_NO_MEMORY, "copy: no memory");
    if (!rc) {
        copy->how = how;
        copy->began_ms = began_ms;
        copy->told_ms = mv_socket_now_ms();
        copy->agent.socket = connection;
        rc = run(copy, host_path, guest_path, err);
        if (!rc)
            copy_news(copy, MICROVM_COPY_PROGRESS, NULL);
        mv_filetree_read_close(copy->reader);
        mv_filetree_write_close(copy->writer);
        mv_tar_close(copy->tar);
        free(copy);
    }
    mv_socket_close(connection);
    return rc;
}

static int on(intptr_t connection, copy_run *run, const char *host_path,
              const char *guest_path, const microvm_copy *how, microvm_error *err)
{
    const microvm_copy usual = MICROVM_COPY_INIT;
    how = how ? how : &usual;
    int rc = check(host_path, guest_path, how, err);
    if (rc) {
        mv_socket_close(connection);
        return rc;
    }
    return run_on(connection, run, host_path, guest_path, how, mv_socket_now_ms(), err);
}

static int in(microvm *vm, copy_run *run, const char *host_path, const char *guest_path,
              const microvm_copy *how, microvm_error *err)
{
    const microvm_copy usual = MICROVM_COPY_INIT;
    uint64_t began_ms = mv_socket_now_ms();
    intptr_t connection;
    how = how ? how : &usual;
    int rc = check(host_path, guest_path, how, err);
    if (!rc)
        rc = microvm_connect(vm, MICROVM_AGENT_PORT, how->timeout_ms, &connection, err);
    return rc ? rc : run_on(connection, run, host_path, guest_path, how, began_ms, err);
}

int microvm_copy_to(microvm *vm, const char *host_path, const char *guest_path,
                    const microvm_copy *copy, microvm_error *err)
{
    return in(vm, to_run, host_path, guest_path, copy, err);
}

int microvm_copy_from(microvm *vm, const char *guest_path, const char *host_path,
                      const microvm_copy *copy, microvm_error *err)
{
    return in(vm, from_run, host_path, guest_path, copy, err);
}

int microvm_copy_to_on(intptr_t connection, const char *host_path,
                       const char *guest_path, const microvm_copy *copy,
                       microvm_error *err)
{
    return on(connection, to_run, host_path, guest_path, copy, err);
}

int microvm_copy_from_on(intptr_t connection, const char *guest_path,
                         const char *host_path, const microvm_copy *copy,
                         microvm_error *err)
{
    return on(connection, from_run, host_path, guest_path, copy, err);
}
