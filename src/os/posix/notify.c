/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Pollable flags where there is no eventfd: a pipe with at most a few bytes in it.
 */
#include "os/notify.h"

#include "os/error.h"

#include <fcntl.h>
#include <unistd.h>

int mv_notify_open(struct mv_notify *notify, microvm_error *err)
{
    int fd[2];
    if (pipe(fd))
        return mv_fail_os(err, "pipe");
    for (int i = 0; i < 2; i++) {
        (void)fcntl(fd[i], F_SETFD, FD_CLOEXEC);
        (void)fcntl(fd[i], F_SETFL, O_NONBLOCK);
    }
    *notify = (struct mv_notify){.handle = fd[0], .write = fd[1]};
    return 0;
}

void mv_notify_close(struct mv_notify *notify)
{
    if (notify->handle >= 0) {
        (void)close((int)notify->handle);
        (void)close((int)notify->write);
    }
    *notify = (struct mv_notify)MV_NOTIFY_CLOSED;
}

void mv_notify_signal(struct mv_notify *notify)
{
    ssize_t n = write((int)notify->write, "", 1);
    (void)n; /* full means signalled */
}

bool mv_notify_clear(struct mv_notify *notify)
{
    char drop[64];
    bool was = false;
    while (read((int)notify->handle, drop, sizeof drop) > 0)
        was = true;
    return was;
}
