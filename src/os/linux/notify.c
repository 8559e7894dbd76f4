/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Pollable flags on Linux: eventfds.
 */
#include "os/notify.h"

#include "os/error.h"

#include <sys/eventfd.h>
#include <unistd.h>

int mv_notify_open(struct mv_notify *notify, microvm_error *err)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return mv_fail_os(err, "eventfd");
    *notify = (struct mv_notify){.handle = fd, .write = fd};
    return 0;
}

void mv_notify_close(struct mv_notify *notify)
{
    if (notify->handle >= 0)
        (void)close((int)notify->handle);
    *notify = (struct mv_notify)MV_NOTIFY_CLOSED;
}

void mv_notify_signal(struct mv_notify *notify)
{
    uint64_t one = 1;
    ssize_t n = write((int)notify->write, &one, sizeof one);
    (void)n; /* full means signalled */
}

bool mv_notify_clear(struct mv_notify *notify)
{
    uint64_t count;
    return read((int)notify->handle, &count, sizeof count) > 0;
}
