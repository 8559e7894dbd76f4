/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Choosing a network backing, and telling of its link. The MTU that the user gives
 * stands before the backing's own.
 */
#include "backing/net_impl.h"

int mv_net_open(const struct mv_net_config *config, struct mv_loop *loop,
                const struct mv_log *log, struct mv_net **out, microvm_error *err)
{
    mv_net_open_fn *open = NULL;
    struct mv_net *net;
    switch ((enum mv_net_kind)config->kind) {
    case MV_NET_USER:
        open = mv_net_user_open;
        break;
    case MV_NET_TAP:
        open = mv_net_tap_open;
        break;
    case MV_NET_UNIXSTREAM:
        open = mv_net_stream_open;
        break;
    case MV_NET_UNIXGRAM:
        open = mv_net_gram_open;
        break;
    case MV_NET_FD:
        open = mv_net_fd_open;
        break;
    case MV_NET_CALLBACK:
        open = mv_net_callback_open;
        break;
    }
    int rc = open(config, loop, log, &net, err);
    if (rc)
        return rc;
    if (config->mtu)
        net->mtu = config->mtu;
    *out = net;
    return 0;
}

void mv_net_set_link(struct mv_net *net, bool up)
{
    if (net->link == up)
        return;
    net->link = up;
    if (net->user.link_changed)
        net->user.link_changed(net->user.device);
    if (net->owner.link_changed)
        net->owner.link_changed(net->owner.owner);
}
