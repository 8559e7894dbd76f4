/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helper processes where there are none yet.
 */
#include "os/helper.h"

bool mv_helper_find(const char *name, char path[MV_HELPER_PATH])
{
    (void)name;
    path[0] = '\0';
    return false;
}

int mv_helper_start(struct mv_helper *helper, const char *path, const intptr_t *socket,
                    unsigned sockets, microvm_error *err)
{
    (void)helper, (void)socket, (void)sockets;
    return mv_fail(err, MICROVM_E_UNSUPPORTED,
                   "starting '%s': helper processes are not in this build", path);
}

int mv_program_run(char *const *argv, int fd, int input, int output,
                   int (*go_on)(void *ctx, microvm_error *err), void *ctx, int *status,
                   microvm_error *err)
{
    (void)fd, (void)input, (void)output, (void)go_on, (void)ctx, (void)status;
    return mv_fail(err, MICROVM_E_UNSUPPORTED,
                   "running '%s': other programs are not in this build", argv[0]);
}

bool mv_helper_ended(struct mv_helper *helper)
{
    (void)helper;
    return true;
}

void mv_helper_stop(struct mv_helper *helper)
{
    (void)helper;
}
