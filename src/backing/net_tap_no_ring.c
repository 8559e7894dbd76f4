/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Stands where the build has no liburing: there never is a ring, so nothing but the
 * first two is ever called.
 */
#include "backing/net_tap_ring.h"

#include "util/assert.h"

struct mv_tap_ring *mv_tap_ring_open(int fd)
{
    (void)fd;
    return NULL;
}

void mv_tap_ring_close(struct mv_tap_ring *ring)
{
    MV_ASSERT(!ring);
}

bool mv_tap_ring_add(struct mv_tap_ring *ring, const struct mv_span *span,
                     unsigned spans, size_t length)
{
    (void)span, (void)spans, (void)length;
    MV_ASSERT(ring);
    return false;
}

bool mv_tap_ring_send(struct mv_tap_ring *ring, unsigned *refused)
{
    (void)refused;
    MV_ASSERT(ring);
    return false;
}

unsigned mv_tap_ring_held(const struct mv_tap_ring *ring)
{
    MV_ASSERT(ring);
    return 0;
}

size_t mv_tap_ring_receive(struct mv_tap_ring *ring, const struct mv_span *span,
                           unsigned spans)
{
    (void)span, (void)spans;
    MV_ASSERT(ring);
    return 0;
}
