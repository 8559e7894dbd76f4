/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A rate limit: bytes and operations a second, each a token bucket. A bucket is kept as
 * one point in time, the one at which all that was taken so far would be paid for at
 * its rate. While that lies at most the burst ahead of now, there is something in the
 * bucket; nothing is to be refilled, so a limit needs no timer while nobody waits.
 *
 * Whoever finds something in the bucket may take as much as he needs, more than there
 * is, too: the debt is paid by those who come after, who wait. So a request is never
 * cut for the limit's sake, and a burst smaller than a request does no harm.
 *
 * Pure: the caller has the clock. Not for several threads at once.
 */
#ifndef MV_UTIL_LIMIT_H
#define MV_UTIL_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

enum {
    /* Waiting is done with timers of a millisecond, which come late: with less than
     * this at hand the rate would fall behind. */
    MV_LIMIT_BURST_LEAST_MS = 10,
    MV_LIMIT_BURST_MS = 100, /* where nobody says otherwise */
    MV_LIMIT_BURST_MOST_MS = 3600 * 1000
};
#define MV_LIMIT_RATE_MOST                                    \
    (1ull << 50) /* a second; keeps the arithmetic in 64 bits \
                  */

/* What a user asks for. */
struct mv_limit_rates {
    uint64_t bytes, ops; /* a second; 0: no limit */
    uint32_t burst_ms;   /* so many of either rate at once; 0: MV_LIMIT_BURST_MS */
};

struct mv_bucket {
    uint64_t rate;     /* a second; 0: never empty */
    uint64_t burst_ns; /* how far paid_ns may run ahead */
    uint64_t paid_ns;
    uint64_t rest; /* of the last division: what a nanosecond is too coarse for */
};

/* Zeroed: no limit. */
struct mv_limit {
    struct mv_bucket bytes, ops;
};

/* From now on; both buckets are full. What lies outside of the limits above is moved to
 * the nearest of them. */
void mv_limit_set(struct mv_limit *limit, const struct mv_limit_rates *rates);

static inline bool mv_limit_on(const struct mv_limit *limit)
{
    return limit->bytes.rate || limit->ops.rate;
}

/* How long to wait until the next operation may go; 0: it may now. */
uint64_t mv_limit_wait_ns(const struct mv_limit *limit, uint64_t now_ns);

/* One operation that moves so many bytes goes, or a batch of them. */
void mv_limit_take(struct mv_limit *limit, uint64_t now_ns, uint32_t ops,
                   uint32_t bytes);

#endif
