/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Bells where there is no eventfd: libuv's own wake-up. No hypervisor can write it.
 */
#include "os/bell.h"

#include "os/error.h"

static void bell_woken(uv_async_t *async)
{
    struct mv_bell *bell = async->data;
    if (bell->heard)
        bell->heard(bell->arg);
}

int mv_bell_open(struct mv_bell *bell, struct mv_loop *loop, void (*heard)(void *arg),
                 void *arg, microvm_error *err)
{
    *bell = (struct mv_bell){.fd = -1};
    int rc = uv_async_init(&loop->uv, &bell->uv.async, bell_woken);
    if (rc)
        return mv_fail_uv(err, rc, "waking the device thread");
    bell->heard = heard;
    bell->arg = arg;
    bell->uv.async.data = bell;
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
}

void mv_bell_ring(struct mv_bell *bell)
{
    (void)uv_async_send(&bell->uv.async);
}
