/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Watches on Linux: an epoll set of our own, edge-triggered, which libuv's loop polls
 * as one descriptor. libuv's own handles are level-triggered, so that changing one's
 * mind costs two system calls each time. A socket is added once and taken out before it
 * is closed, because a child process may still hold the same socket.
 */
#include "os/watch.h"

#include "os/error.h"
#include "util/bytes.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { BATCH = 64 };

struct mv_watch_set {
    uv_poll_t poll;
    int fd;
    void (*turned)(void *ctx);
    void *ctx;
    struct epoll_event batch[BATCH]; /* being reported: [at, count) are left */
    int at, count;
};

static unsigned watch_events(uint32_t events)
{
    unsigned out = 0;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        out |= MV_WATCH_READ;
    if (events & (EPOLLOUT | EPOLLERR))
        out |= MV_WATCH_WRITE;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        out |= MV_WATCH_END;
    if (events & (EPOLLHUP | EPOLLERR))
        out |= MV_WATCH_GONE;
    return out;
}

/* At most one batch: the loop's other handles have their turn in between, and comes
 * back at once when more is ready. */
static void watch_ready(uv_poll_t *poll, int status, int events)
{
    struct mv_watch_set *set = poll->data;
    (void)status;
    (void)events;
    set->count = epoll_wait(set->fd, set->batch, BATCH, 0);
    for (set->at = 0; set->at < set->count;) {
        struct epoll_event *event = &set->batch[set->at++];
        struct mv_watch *watch = event->data.ptr;
        if (watch)
            watch->ready(watch, watch_events(event->events));
    }
    set->count = set->at = 0;
    set->turned(set->ctx);
}

int mv_watch_open(struct mv_loop *loop, void (*turned)(void *ctx), void *ctx,
                  struct mv_watch_set **out, microvm_error *err)
{
    struct mv_watch_set *set = calloc(1, sizeof *set);
    if (!set)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "sockets: no memory to watch them");
    set->turned = turned;
    set->ctx = ctx;
    set->fd = epoll_create1(EPOLL_CLOEXEC);
    if (set->fd < 0) {
        int rc = mv_fail_os(err, "epoll");
        free(set);
        return rc;
    }
    int rc = uv_poll_init(&loop->uv, &set->poll, set->fd);
    if (rc) {
        (void)close(set->fd);
        free(set);
        return mv_fail_uv(err, rc, "polling an epoll set");
    }
    set->poll.data = set;
    (void)uv_poll_start(&set->poll, UV_READABLE, watch_ready);
    *out = set;
    return 0;
}

static void watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void mv_watch_close(struct mv_watch_set *set)
{
    if (!set)
        return;
    uv_close((uv_handle_t *)&set->poll, watch_closed);
    (void)close(set->fd);
}

static int watch_control(struct mv_watch *watch, struct mv_watch_set *set,
                         int operation)
{
    struct epoll_event event = {.events = EPOLLET, .data = {.ptr = watch}};
    if (watch->wanted & MV_WATCH_READ)
        event.events |= EPOLLIN | EPOLLRDHUP;
    if (watch->wanted & MV_WATCH_WRITE)
        event.events |= EPOLLOUT;
    return epoll_ctl(set->fd, operation, (int)watch->socket, &event);
}

int mv_watch_add(struct mv_watch_set *set, struct mv_watch *watch, intptr_t socket)
{
    watch->socket = socket;
    watch->wanted = MV_WATCH_READ;
    if (watch_control(watch, set, EPOLL_CTL_ADD))
        return -1;
    watch->set = set;
    return 0;
}

void mv_watch_remove(struct mv_watch *watch)
{
    struct mv_watch_set *set = watch->set;
    if (!set)
        return;
    (void)epoll_ctl(set->fd, EPOLL_CTL_DEL, (int)watch->socket, NULL);
    for (int i = set->at; i < set->count; i++) {
        if (set->batch[i].data.ptr == watch)
            set->batch[i].data.ptr = NULL;
    }
    watch->set = NULL;
}

/* What is wanted already is reported by itself: that is what edges are. */
static void watch_want(struct mv_watch *watch, unsigned wanted)
{
    if (!watch->set || watch->wanted == wanted)
        return;
    watch->wanted = wanted;
    (void)watch_control(watch, watch->set, EPOLL_CTL_MOD);
}

void mv_watch_again(struct mv_watch *watch, unsigned events)
{
    watch_want(watch, watch->wanted | events);
}

void mv_watch_mute(struct mv_watch *watch, unsigned events)
{
    watch_want(watch, watch->wanted & ~events);
}
