/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The user network where it is left out: a helper process is what it needs.
 */
#include "backing/net_impl.h"

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
