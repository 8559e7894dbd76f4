/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Pollable flags on Windows: manual-reset events.
 */
#include "os/notify.h"

#include "os/error.h"

#include <windows.h>

int mv_notify_open(struct mv_notify *notify, microvm_error *err)
{
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!event)
        return mv_fail_os(err, "CreateEvent");
    *notify = (struct mv_notify){.handle = (intptr_t)event, .write = (intptr_t)event};
    return 0;
}

void mv_notify_close(struct mv_notify *notify)
{
    if (notify->handle != -1)
        (void)CloseHandle((HANDLE)notify->handle);
    *notify = (struct mv_notify)MV_NOTIFY_CLOSED;
}

void mv_notify_signal(struct mv_notify *notify)
{
    (void)SetEvent((HANDLE)notify->write);
}

bool mv_notify_clear(struct mv_notify *notify)
{
    bool was = WaitForSingleObject((HANDLE)notify->handle, 0) == WAIT_OBJECT_0;
    (void)ResetEvent((HANDLE)notify->handle);
    return was;
}
