/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Network devices as the application sees them: frames, where the backing is
 * "callback"; the helper, where it is "user"; the event when what is behind one goes.
 */
#include "backing/net_callback.h"
#include "backing/net_user.h"
#include "machine/machine.h"

#include <stdio.h>

static int nic_check(const microvm_nic *nic, microvm_error *err)
{
    if (mv_net_is_callback(nic->net))
        return 0;
    return mv_fail(err, MICROVM_E_UNSUPPORTED,
                   "net '%s': its frames go to %s; the application has them with the "
                   "backing callback",
                   nic->id, nic->net->ops->name);
}

int mv_nic_send(microvm_nic *nic, const void *frame, size_t length, int64_t timeout_ms,
                microvm_error *err)
{
    int rc = nic_check(nic, err);
    return rc ? rc : mv_net_callback_send(nic->net, frame, length, timeout_ms, err);
}

int64_t mv_nic_receive(microvm_nic *nic, void *frame, size_t capacity,
                       int64_t timeout_ms, microvm_error *err)
{
    int rc = nic_check(nic, err);
    return rc ? rc
              : mv_net_callback_receive(nic->net, frame, capacity, timeout_ms, err);
}

intptr_t mv_nic_handle(const microvm_nic *nic)
{
    return mv_net_is_callback(nic->net) ? mv_net_callback_handle(nic->net) : -1;
}

int mv_nic_forward(microvm_nic *nic, const char *text, bool add, microvm_error *err)
{
    return mv_net_user_forward(nic->net, text, add, err);
}

int mv_nic_restart(microvm_nic *nic, microvm_error *err)
{
    if (!mv_net_is_user(nic->net))
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "net '%s': what is behind it is %s, which is not ours to "
                       "restart; that can be done with the backing user",
                       nic->id, nic->net->ops->name);
    uv_mutex_lock(&nic->vm->lock);
    bool over = mv_machine_is_over(nic->vm);
    uv_mutex_unlock(&nic->vm->lock);
    if (over)
        return mv_fail(err, MICROVM_E_NOT_RUNNING, "net '%s': the machine has ended",
                       nic->id);
    return mv_net_user_restart(nic->net, err);
}

void mv_nic_stats(microvm_nic *nic, microvm_stats *out)
{
    struct mv_net_user_stats stats;
    if (!mv_net_is_user(nic->net))
        return;
    mv_net_user_stats(nic->net, &stats);
    out->net_refused_connections += stats.refused_connections;
    out->net_refused_names += stats.refused_names;
    out->net_refused_answers += stats.refused_answers;
    out->net_refused_frames += stats.refused_frames;
}

const char *mv_nic_backing(const microvm_nic *nic)
{
    return nic->net->ops->name;
}

uint16_t mv_nic_mtu(const microvm_nic *nic)
{
    return nic->net->mtu;
}

void mv_nic_link_changed(microvm_nic *nic)
{
    bool up = nic->net->link, user = mv_net_is_user(nic->net);
    microvm_event event = {.type = MICROVM_EVENT_LINK,
                           .code = up ? MICROVM_OK : MICROVM_E_IO};
    uv_mutex_lock(&nic->vm->lock);
    event.state = (int32_t)nic->vm->state;
    uv_mutex_unlock(&nic->vm->lock);
    if (up)
        (void)snprintf(event.message, sizeof event.message, "net '%s': the link is up",
                       nic->id);
    else
        (void)snprintf(event.message, sizeof event.message,
                       "net '%s': %s is gone, and the link is down%s", nic->id,
                       user ? "microvm-netd" : "the peer",
                       user ? " until it is restarted" : "");
    mv_events_push(&nic->vm->events, event);
}
