/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The user network as its owner sees it: a backing like the others, and a helper
 * process that can be asked for things.
 */
#ifndef MV_BACKING_NET_USER_H
#define MV_BACKING_NET_USER_H

#include "backing/net.h"

/* Is it one of ours? Any thread. */
bool mv_net_is_user(const struct mv_net *net);

/* Opens ("8080:80", "127.0.0.1:5353:53/udp") or closes a forward from the host to the
 * guest. Any thread but the loop's; waits for the helper's answer, at most seconds. */
int mv_net_user_forward(struct mv_net *net, const char *text, bool add,
                        microvm_error *err);

/* What the policy has refused, helpers that are gone included as far as they were
 * asked. As above. */
struct mv_net_user_stats {
    uint64_t refused_connections, refused_names, refused_answers, refused_frames;
};
void mv_net_user_stats(struct mv_net *net, struct mv_net_user_stats *out);

/* Ends the helper, where it has not ended by itself, and starts another one with the
 * same settings and with the forwards that are open. As above; the link is up when it
 * succeeds, and down when it does not. */
int mv_net_user_restart(struct mv_net *net, microvm_error *err);

#endif
