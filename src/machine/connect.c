/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Connections with the guest, from threads of the application: each begins on the loop,
 * and who wants to wait waits here. A connection is a pair of sockets, one end for the
 * device, the other for the application.
 */
#include "machine/machine.h"

#include "os/error.h"
#include "util/bytes.h"

#include <stdlib.h>

static int connect_none(struct microvm *vm, microvm_error *err)
{
    return mv_fail(err, MICROVM_E_UNSUPPORTED,
                   "vsock: machines of kind %s have no ports", vm->ops->kind);
}

struct connect {
    struct mv_vsock_dial dial;
    struct microvm *vm;
    intptr_t ours, theirs; /* the device's end, the application's */
    bool announce;         /* by event, and this is freed */
    bool done;             /* the machine's lock guards it */
    microvm_error result;
};

/* Its owner may be gone when this returns. */
static void connect_done(struct connect *c)
{
    struct microvm *vm = c->vm;
    if (c->announce) {
        microvm_event event = {.type = MICROVM_EVENT_CONNECT,
                               .state = (int32_t)vm->state,
                               .code = c->result.code,
                               .socket = c->theirs,
                               .port = c->dial.port};
        size_t length = MV_MIN(strlen(c->result.message), sizeof event.message - 1);
        memcpy(event.message, c->result.message, length);
        mv_events_push(&vm->events, event);
        free(c);
        return;
    }
    uv_mutex_lock(&vm->lock);
    c->done = true;
    uv_cond_broadcast(&vm->changed);
    uv_mutex_unlock(&vm->lock);
}

static intptr_t connect_take(struct mv_vsock_dial *dial, uint32_t host_port)
{
    struct connect *c = MV_CONTAINER(dial, struct connect, dial);
    intptr_t ours = c->ours;
    (void)host_port;
    connect_done(c);
    return ours;
}

static void connect_failed(struct mv_vsock_dial *dial, int code, const char *why)
{
    struct connect *c = MV_CONTAINER(dial, struct connect, dial);
    (void)mv_fail(&c->result, code, "vsock: no connection to port %u: %s", dial->port,
                  why);
    mv_socket_close(c->ours);
    connect_done(c);
}

static uint64_t connect_deadline_ns(int64_t timeout_ms)
{
    const int64_t most_ms = INT64_MAX / 1000000 / 2;
    if (timeout_ms < 0 || timeout_ms > most_ms)
        return UINT64_MAX;
    return timeout_ms == 0 ? 0 : uv_hrtime() + (uint64_t)timeout_ms * 1000000;
}

static int connect_make(struct connect *c, struct microvm *vm, microvm_socket_type type,
                        uint32_t port, int64_t timeout_ms, microvm_error *err)
{
    intptr_t pair[2];
    int rc = mv_socket_pair(type, pair, err);
    if (rc)
        return rc;
    *c = (struct connect){
        .dial = {.type = type,
                 .port = port,
                 .deadline_ns = connect_deadline_ns(timeout_ms),
                 .theirs = pair[1],
                 .take = connect_take,
                 .failed = connect_failed},
        .vm = vm,
        .ours = pair[0],
        .theirs = pair[1],
    };
    return 0;
}

struct begin {
    struct connect *connect;
    microvm_error *err;
    int rc;
};

static void connect_begin(void *arg)
{
    struct begin *b = arg;
    struct microvm *vm = b->connect->vm;
    b->rc = vm->ops->connect(vm, &b->connect->dial, b->err);
}

static int connect_start(struct connect *c, microvm_error *err)
{
    struct begin begin = {c, err, 0};
    mv_loop_run(&c->vm->loop, connect_begin, &begin);
    if (begin.rc) {
        mv_socket_close(c->ours);
        mv_socket_close(c->theirs);
    }
    return begin.rc;
}

int mv_machine_connect(struct microvm *vm, microvm_socket_type type, uint32_t port,
                       int64_t timeout_ms, intptr_t *out, microvm_error *err)
{
    struct connect c;
    if (!vm->ops->connect)
        return connect_none(vm, err);
    int rc = connect_make(&c, vm, type, port, timeout_ms, err);
    if (rc || (rc = connect_start(&c, err)))
        return rc;
    uv_mutex_lock(&vm->lock);
    while (!c.done)
        uv_cond_wait(&vm->changed, &vm->lock); /* the loop minds the deadline */
    uv_mutex_unlock(&vm->lock);
    if (c.result.code) {
        mv_socket_close(c.theirs);
        return mv_fail_again(err, &c.result);
    }
    *out = c.theirs;
    return 0;
}

int mv_machine_connect_begin(struct microvm *vm, microvm_socket_type type,
                             uint32_t port, int64_t timeout_ms, intptr_t *out,
                             microvm_error *err)
{
    if (!vm->ops->connect)
        return connect_none(vm, err);
    struct connect *c = malloc(sizeof *c);
    if (!c)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "vsock: no memory");
    int rc = connect_make(c, vm, type, port, timeout_ms, err);
    if (rc) {
        free(c);
        return rc;
    }
    intptr_t theirs = c->theirs;
    c->announce = true;
    rc = connect_start(c, err);
    if (rc) {
        free(c);
        return rc;
    }
    *out = theirs; /* c may be gone: its end may have come */
    return 0;
}

/* -- the other way -- */

struct listen {
    struct microvm *vm;
    microvm_socket_type type;
    uint32_t port;
    intptr_t *out;
    microvm_error *err;
    int rc;
};

/* Where the guest reports (report.c). */
static int listen_taken(uint32_t port, microvm_error *err)
{
    return port == MICROVM_AGENT_PORT
               ? mv_fail(err, MICROVM_E_INVALID,
                         "vsock: port %u of the host is where guests say that they are "
                         "ready, see microvm_wait_ready",
                         port)
               : 0;
}

static void listen_begin(void *arg)
{
    struct listen *l = arg;
    l->rc = l->vm->ops->listen(l->vm, l->type, l->port, l->err);
}

int mv_machine_listen(struct microvm *vm, microvm_socket_type type, uint32_t port,
                      microvm_error *err)
{
    struct listen l = {.vm = vm, .type = type, .port = port, .err = err};
    if (!vm->ops->connect)
        return connect_none(vm, err);
    if (listen_taken(port, err))
        return MICROVM_E_INVALID;
    mv_loop_run(&vm->loop, listen_begin, &l);
    return l.rc;
}

static void listen_end(void *arg)
{
    struct listen *l = arg;
    l->rc = l->vm->ops->unlisten(l->vm, l->port, l->err);
}

int mv_machine_unlisten(struct microvm *vm, uint32_t port, microvm_error *err)
{
    struct listen l = {.vm = vm, .port = port, .err = err};
    if (!vm->ops->connect)
        return connect_none(vm, err);
    if (listen_taken(port, err))
        return MICROVM_E_INVALID;
    mv_loop_run(&vm->loop, listen_end, &l);
    return l.rc;
}

static void accept_try(void *arg)
{
    struct listen *l = arg;
    l->rc = l->vm->ops->accept(l->vm, l->port, l->out, l->err);
}

void mv_machine_arrived(struct microvm *vm, uint32_t port)
{
    if (port == MICROVM_AGENT_PORT) {
        mv_report_arrived(vm);
        return;
    }
    microvm_event event = {
        .type = MICROVM_EVENT_ARRIVED, .state = (int32_t)vm->state, .port = port};
    mv_events_push_once(&vm->events, event);
    uv_mutex_lock(&vm->lock);
    vm->arrivals++;
    uv_cond_broadcast(&vm->changed);
    uv_mutex_unlock(&vm->lock);
}

/* What has arrived is counted before it is looked for, so that none is missed. */
int mv_machine_accept(struct microvm *vm, uint32_t port, int64_t timeout_ms,
                      intptr_t *out, microvm_error *err)
{
    struct listen l = {.vm = vm, .port = port, .out = out, .err = err};
    uint64_t since_ns = uv_hrtime();
    if (!vm->ops->connect)
        return connect_none(vm, err);
    if (listen_taken(port, err))
        return MICROVM_E_INVALID;
    for (;;) {
        uv_mutex_lock(&vm->lock);
        unsigned seen = vm->arrivals;
        bool over = mv_machine_is_over(vm), in_time = true;
        uv_mutex_unlock(&vm->lock);
        mv_loop_run(&vm->loop, accept_try, &l);
        if (l.rc)
            return l.rc > 0 ? 0 : l.rc;
        if (over)
            return mv_fail(err, MICROVM_E_NOT_RUNNING,
                           "vsock: the machine has ended; nobody connects to port %u",
                           port);
        uv_mutex_lock(&vm->lock);
        while (vm->arrivals == seen && !mv_machine_is_over(vm) && in_time)
            in_time = mv_machine_sleep(vm, timeout_ms, since_ns);
        uv_mutex_unlock(&vm->lock);
        if (!in_time)
            return mv_fail(err, MICROVM_E_TIMEOUT,
                           "vsock: nobody has connected to port %u in %lld ms", port,
                           (long long)timeout_ms);
    }
}
