/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The kinds of network backings, for net.c, which chooses among them. What the host's
 * operating system does not have says UNSUPPORTED.
 */
#ifndef MV_BACKING_NET_IMPL_H
#define MV_BACKING_NET_IMPL_H

#include "backing/net.h"

typedef int mv_net_open_fn(const struct mv_net_config *config, struct mv_loop *loop,
                           const struct mv_log *log, struct mv_net **out,
                           microvm_error *err);

mv_net_open_fn mv_net_user_open, mv_net_tap_open, mv_net_stream_open, mv_net_gram_open,
    mv_net_fd_open, mv_net_callback_open;

#endif
