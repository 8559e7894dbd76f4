/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Token buckets as points in time: the header says how.
 */
#include "util/limit.h"

#include "util/bytes.h"

#define NS_PER_S  1000000000ull
#define NS_PER_MS 1000000ull

static struct mv_bucket bucket_full(uint64_t rate, uint32_t burst_ms)
{
    uint64_t ms = burst_ms ? burst_ms : (uint64_t)MV_LIMIT_BURST_MS;
    ms = MV_MAX(ms, (uint64_t)MV_LIMIT_BURST_LEAST_MS);
    ms = MV_MIN(ms, (uint64_t)MV_LIMIT_BURST_MOST_MS);
    return (struct mv_bucket){.rate = MV_MIN(rate, MV_LIMIT_RATE_MOST),
                              .burst_ns = ms * NS_PER_MS};
}

void mv_limit_set(struct mv_limit *limit, const struct mv_limit_rates *rates)
{
    limit->bytes = bucket_full(rates->bytes, rates->burst_ms);
    limit->ops = bucket_full(rates->ops, rates->burst_ms);
}

static uint64_t bucket_wait_ns(const struct mv_bucket *bucket, uint64_t now_ns)
{
    if (!bucket->rate || bucket->paid_ns <= now_ns)
        return 0;
    uint64_t ahead = bucket->paid_ns - now_ns;
    return ahead > bucket->burst_ns ? ahead - bucket->burst_ns : 0;
}

uint64_t mv_limit_wait_ns(const struct mv_limit *limit, uint64_t now_ns)
{
    uint64_t bytes = bucket_wait_ns(&limit->bytes, now_ns);
    uint64_t ops = bucket_wait_ns(&limit->ops, now_ns);
    return MV_MAX(bytes, ops);
}

/* tokens * 10^9 is below 2^62 and the rest below 2^50. A sum of times that does not fit
 * means for ever, and takes several operations of 4 GiB at a byte a second. */
static void bucket_take(struct mv_bucket *bucket, uint64_t now_ns, uint32_t tokens)
{
    if (!bucket->rate)
        return;
    uint64_t from = MV_MAX(bucket->paid_ns, now_ns);
    uint64_t cost = tokens * NS_PER_S + bucket->rest;
    bucket->rest = cost % bucket->rate;
    if (__builtin_add_overflow(from, cost / bucket->rate, &bucket->paid_ns))
        bucket->paid_ns = UINT64_MAX;
}

void mv_limit_take(struct mv_limit *limit, uint64_t now_ns, uint32_t ops,
                   uint32_t bytes)
{
    bucket_take(&limit->bytes, now_ns, bytes);
    bucket_take(&limit->ops, now_ns, ops);
}
