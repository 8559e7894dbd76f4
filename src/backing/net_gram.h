/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Frames over a packet socket, for backings that add something to it. First member of
 * their structs.
 */
#ifndef MV_BACKING_NET_GRAM_H
#define MV_BACKING_NET_GRAM_H

#include "backing/net_watch.h"

struct mv_net_gram {
    struct mv_net_watch watch;
    bool ends; /* reading nothing is the peer's end: SOCK_SEQPACKET */
};

/* These two are ops. */
size_t mv_net_gram_receive(struct mv_net *net, const struct mv_span *span,
                           unsigned spans);
bool mv_net_gram_send(struct mv_net *net, const struct mv_span *span, unsigned spans,
                      size_t length);

#endif
