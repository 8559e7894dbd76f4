/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A lock, news under it, and who holds it. */
#include "runtime/runtime.h"

int mv_shared_open(struct mv_shared *shared)
{
    if (uv_mutex_init(&shared->lock))
        return -1;
    if (uv_cond_init(&shared->changed)) {
        uv_mutex_destroy(&shared->lock);
        return -1;
    }
    shared->count = 1;
    return 0;
}

bool mv_shared_leave(struct mv_shared *shared)
{
    uv_mutex_lock(&shared->lock);
    bool last = --shared->count == 0;
    uv_mutex_unlock(&shared->lock);
    if (!last)
        return false;
    uv_cond_destroy(&shared->changed);
    uv_mutex_destroy(&shared->lock);
    return true;
}
