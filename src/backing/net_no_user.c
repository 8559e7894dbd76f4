/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The user network where it is left out: a helper process is what it needs.
 */
#include "backing/net_impl.h"
#include "backing/net_user.h"

int mv_net_user_open(const struct mv_net_config *config, struct mv_loop *loop,
                     const struct mv_log *log, struct mv_net **out, microvm_error *err)
{
    (void)config;
    (void)loop;
    (void)log;
    (void)out;
    return mv_fail(err, MICROVM_E_UNSUPPORTED,
                   "net 'user': not in this build; use tap=NAME, unixstream=PATH "
                   "(passt), unixgram=PATH or none");
}

bool mv_net_is_user(const struct mv_net *net)
{
    (void)net;
    return false;
}

int mv_net_user_forward(struct mv_net *net, const char *text, bool add,
                        microvm_error *err)
{
    (void)net, (void)add;
    return mv_fail(err, MICROVM_E_UNSUPPORTED, "publish '%s': not in this build", text);
}

void mv_net_user_stats(struct mv_net *net, struct mv_net_user_stats *out)
{
    (void)net;
    *out = (struct mv_net_user_stats){0};
}

int mv_net_user_restart(struct mv_net *net, microvm_error *err)
{
    (void)net;
    return mv_fail(err, MICROVM_E_UNSUPPORTED, "net 'user': not in this build");
}
