/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Watches by libuv's poll handles, one for each socket: what was reported is not polled
 * for before it is asked for again. That a peer has closed both directions cannot be
 * told from its end of writing here; a write will tell.
 */
#include "os/watch.h"

#include "os/error.h"

#include <stdlib.h>

struct mv_watch_set {
    struct mv_loop *loop;
    void (*turned)(void *ctx);
    void *ctx;
};

/* Apart from its watch, whose memory may go before libuv has let go of the handle. */
struct watch_poll {
    uv_poll_t uv;
    struct mv_watch *watch;
};

static void watch_ready(uv_poll_t *uv, int status, int events);

static void watch_want(struct mv_watch *watch, unsigned wanted)
{
    struct watch_poll *poll = watch->poll;
    int events = 0;
    if (!watch->set || watch->wanted == wanted)
        return;
    watch->wanted = wanted;
    if (wanted & MV_WATCH_READ)
        events |= UV_READABLE;
    if (wanted & MV_WATCH_WRITE)
        events |= UV_WRITABLE;
    if (events)
        (void)uv_poll_start(&poll->uv, events, watch_ready);
    else
        (void)uv_poll_stop(&poll->uv);
}

static void watch_ready(uv_poll_t *uv, int status, int events)
{
    struct watch_poll *poll = uv->data;
    struct mv_watch *watch = poll->watch;
    struct mv_watch_set *set = watch->set;
    unsigned out = 0;
    if (status < 0)
        events = UV_READABLE | UV_WRITABLE;
    if (events & UV_READABLE)
        out |= MV_WATCH_READ;
    if (events & UV_WRITABLE)
        out |= MV_WATCH_WRITE;
    mv_watch_mute(watch, out);
    watch->ready(watch, out);
    set->turned(set->ctx);
}

int mv_watch_open(struct mv_loop *loop, void (*turned)(void *ctx), void *ctx,
                  struct mv_watch_set **out, microvm_error *err)
{
    struct mv_watch_set *set = calloc(1, sizeof *set);
    if (!set)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "sockets: no memory to watch them");
    *set = (struct mv_watch_set){loop, turned, ctx};
    *out = set;
    return 0;
}

void mv_watch_close(struct mv_watch_set *set)
{
    free(set);
}

static void watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

int mv_watch_add(struct mv_watch_set *set, struct mv_watch *watch, intptr_t socket)
{
    struct watch_poll *poll = calloc(1, sizeof *poll);
    if (!poll)
        return -1;
    if (uv_poll_init_socket(&set->loop->uv, &poll->uv, (uv_os_sock_t)socket)) {
        free(poll);
        return -1;
    }
    poll->uv.data = poll;
    poll->watch = watch;
    watch->set = set;
    watch->socket = socket;
    watch->poll = poll;
    watch->wanted = 0;
    watch_want(watch, MV_WATCH_READ);
    return 0;
}

void mv_watch_remove(struct mv_watch *watch)
{
    struct watch_poll *poll = watch->poll;
    if (!watch->set)
        return;
    uv_close((uv_handle_t *)&poll->uv, watch_closed);
    watch->set = NULL;
    watch->poll = NULL;
}

void mv_watch_again(struct mv_watch *watch, unsigned events)
{
    watch_want(watch, watch->wanted | events);
}

void mv_watch_mute(struct mv_watch *watch, unsigned events)
{
    watch_want(watch, watch->wanted & ~events);
}
