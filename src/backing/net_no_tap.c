/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tap interfaces where the system has none that we know.
 */
#include "backing/net_impl.h"
#include "backing/net_watch.h"

#include <unistd.h>

static int tap_absent(const char *what, microvm_error *err)
{
    return mv_fail(err, MICROVM_E_UNSUPPORTED, "net '%s': taps exist on Linux only",
                   what);
}

int mv_net_tap_open(const struct mv_net_config *config, struct mv_loop *loop,
                    const struct mv_log *log, struct mv_net **out, microvm_error *err)
{
    (void)loop;
    (void)log;
    (void)out;
    return tap_absent(config->where, err);
}

int mv_net_tap_from_fd(int fd, struct mv_loop *loop, const char *what,
                       struct mv_net **out, microvm_error *err)
{
    (void)loop;
    (void)out;
    (void)close(fd);
    return tap_absent(what, err);
}
