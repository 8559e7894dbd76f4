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

bool mv_helper_ended(struct mv_helper *helper)
{
    (void)helper;
    return true;
}

void mv_helper_stop(struct mv_helper *helper)
{
    (void)helper;
}
