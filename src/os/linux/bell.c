/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Bells on Linux: an eventfd that the loop polls and that KVM can write as ioeventfd.
 *
 * An eventfd that is polled by level has to be read each time, a system call for each
 * ring. Polled by edge each write is an event of its own, and the count means nothing
 * (it takes centuries to fill). libuv polls by level and has no word for the other, so
 * once the descriptor is in its epoll set the bell changes how it is polled there. That
 * relies on what every libuv of the versions named below does: it stores the descriptor
 * as the event's data, and leaves a registration alone until its handle is started or
 * stopped. With a later one the bell is read.
 */
#include "os/bell.h"

#include "os/error.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { UV_LOOKED_AT = 1 << 16 | 52 << 8 }; /* 1.52.0: the first that was not */

/* Called when the descriptor has been heard once, so it is registered. */
static bool bell_set_edge(const struct mv_bell *bell)
{
    struct epoll_event event = {EPOLLIN | EPOLLET, {.fd = (int)bell->fd}};
    return uv_version() < UV_LOOKED_AT &&
           epoll_ctl(uv_backend_fd(bell->uv.poll.loop), EPOLL_CTL_MOD, (int)bell->fd,
                     &event) == 0;
}

static void bell_readable(uv_poll_t *poll, int status, int events)
{
    struct mv_bell *bell = poll->data;
    uint64_t count;
    (void)status;
    (void)events;
    if (!bell->edge) {
        if (read((int)bell->fd, &count, sizeof count) != sizeof count)
            return;
        bell->edge = bell_set_edge(bell);
    }
    bell->heard(bell->arg);
}

int mv_bell_open(struct mv_bell *bell, struct mv_loop *loop, void (*heard)(void *arg),
                 void *arg, microvm_error *err)
{
    *bell = (struct mv_bell){.heard = heard, .arg = arg, .fd = -1};
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return mv_fail_os(err, "eventfd");
    int rc = uv_poll_init(&loop->uv, &bell->uv.poll, fd);
    if (rc) {
        (void)close(fd);
        bell->heard = NULL;
        return mv_fail_uv(err, rc, "polling an eventfd");
    }
    bell->fd = fd;
    bell->uv.poll.data = bell;
    (void)uv_poll_start(&bell->uv.poll, UV_READABLE, bell_readable);
    return 0;
}

static void bell_closed(uv_handle_t *handle)
{
    struct mv_bell *bell = handle->data;
    if (bell->closed)
        bell->closed(bell->arg);
}

void mv_bell_close(struct mv_bell *bell)
{
    if (!bell->heard)
        return;
    bell->heard = NULL;
    uv_close(&bell->uv.handle, bell_closed);
    (void)close((int)bell->fd);
    bell->fd = -1;
}

void mv_bell_ring(struct mv_bell *bell)
{
    uint64_t one = 1;
    /* Fails only when the count is full, and then the bell rings already. */
    ssize_t n = write((int)bell->fd, &one, sizeof one);
    (void)n;
}
