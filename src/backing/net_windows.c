/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The backings on descriptors, which Windows does not have: there the application
 * itself carries the frames (net_callback.c).
 */
#include "backing/net_impl.h"

static int absent(const char *kind, microvm_error *err)
{
    return mv_fail(err, MICROVM_E_UNSUPPORTED,
                   "net '%s': not on Windows; there is callback", kind);
}

int mv_net_tap_open(const struct mv_net_config *config, struct mv_loop *loop,
                    const struct mv_log *log, struct mv_net **out, microvm_error *err)
{
    (void)config;
    (void)loop;
    (void)log;
    (void)out;
    return absent("tap", err);
}

int mv_net_stream_open(const struct mv_net_config *config, struct mv_loop *loop,
                       const struct mv_log *log, struct mv_net **out,
                       microvm_error *err)
{
    (void)config;
    (void)loop;
    (void)log;
    (void)out;
    return absent("unixstream", err);
}

int mv_net_gram_open(const struct mv_net_config *config, struct mv_loop *loop,
                     const struct mv_log *log, struct mv_net **out, microvm_error *err)
{
    (void)config;
    (void)loop;
    (void)log;
    (void)out;
    return absent("unixgram", err);
}

int mv_net_fd_open(const struct mv_net_config *config, struct mv_loop *loop,
                   const struct mv_log *log, struct mv_net **out, microvm_error *err)
{
    (void)config;
    (void)loop;
    (void)log;
    (void)out;
    return absent("fd", err);
}
