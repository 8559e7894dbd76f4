/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Frames between the application and a network device whose backing is "callback".
 */
#include "backing/net_callback.h"
#include "backing/net_user.h"
#include "machine/machine.h"

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
