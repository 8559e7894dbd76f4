/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Bells on Linux: an eventfd that the loop polls and that KVM can write as ioeventfd.
 */
#include "os/bell.h"

#include "os/error.h"

#include <sys/eventfd.h>
#include <unistd.h>

static void bell_readable(uv_poll_t *poll, int status, int events)
{
    struct mv_bell *bell = poll->data;
    uint64_t count;
    (void)status;
    (void)events;
    if (read((int)bell->fd, &count, sizeof count) == sizeof count)
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
