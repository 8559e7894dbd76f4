/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The host's stack acknowledges a stream while it takes it: behind the frames of a
 * stream stand as many reads, which find the acknowledgements. They go to memory of
 * ours first, because the buffers of a guest that each of them might need in the worst
 * case, 64 KiB, are more than a guest has; an acknowledgement is copied quickly. What
 * of that memory no large frame ever came to is never touched.
 */
#include "backing/net_tap_ring.h"

#include "util/assert.h"
#include "util/bytes.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

enum {
    RING_FRAMES = 16, /* in one call; more would keep the rest of the loop waiting */
    RING_SPANS = 512, /* twice what the longest chain has, and 16 of Linux's 19 */
    RING_ANSWERS = 8,
    RING_ENTRIES = 32,
    /* With its header more than an Ethernet frame: part of a stream. */
    RING_LARGE = 1600,
    /* A byte more than any that is taken: one that was cut is too long. */
    RING_FRAME = MV_NET_HEADER_BYTES + MV_NET_FRAME_MAX + 1
};

struct mv_tap_ring {
    struct io_uring ring;
    int fd;
    unsigned frames, spans, large; /* put in */
    uint16_t first[RING_FRAMES + 1];
    struct mv_span span[RING_SPANS];
    uint8_t header[RING_FRAMES][MV_NET_HEADER_BYTES];
    unsigned given, taken; /* of the answers, in the order in which they came */
    int nothing;           /* what a read said last that found none */
    /* Of an answer that came: which read it was, for one before it may have found none,
     * and its bytes. */
    unsigned which[RING_ANSWERS];
    size_t length[RING_ANSWERS];
    uint8_t answer[RING_ANSWERS][RING_FRAME];
};

/* -- sending -- */

bool mv_tap_ring_add(struct mv_tap_ring *ring, const struct mv_span *span,
                     unsigned spans, size_t length)
{
    unsigned n = ring->frames;
    if (n == RING_FRAMES || spans > RING_SPANS - ring->spans)
        return false;
    MV_ASSERT(span[0].length == MV_NET_HEADER_BYTES);
    struct mv_span *to = ring->span + ring->spans;
    memcpy(ring->header[n], span[0].base, MV_NET_HEADER_BYTES);
    memcpy(to, span, spans * sizeof *span);
    to[0].base = ring->header[n];
    ring->first[n] = (uint16_t)ring->spans;
    ring->spans += spans;
    ring->frames++;
    ring->large += length >= RING_LARGE;
    ring->first[ring->frames] = (uint16_t)ring->spans;
    return true;
}

/* The frames' places in the ring come first, then the answers'. Each is told by its
 * number. */
static unsigned ring_prepare(struct mv_tap_ring *ring)
{
    unsigned reads = mv_tap_ring_held(ring) ? 0 : MV_MIN(ring->large, RING_ANSWERS);
    for (unsigned i = 0; i < ring->frames; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
        const struct iovec *iov = (const void *)(ring->span + ring->first[i]);
        unsigned count = (unsigned)ring->first[i + 1] - ring->first[i];
        io_uring_prep_writev2(sqe, ring->fd, iov, count, 0, RWF_NOWAIT);
        io_uring_sqe_set_data64(sqe, i);
    }
    for (unsigned i = 0; i < reads; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
        io_uring_prep_read(sqe, ring->fd, ring->answer[i], RING_FRAME, 0);
        sqe->rw_flags = RWF_NOWAIT;
        io_uring_sqe_set_data64(sqe, RING_FRAMES + i);
    }
    if (reads)
        ring->given = ring->taken = 0;
    return ring->frames + reads;
}

static bool ring_submit(struct mv_tap_ring *ring, unsigned count)
{
    while (count > 0) {
        int n = io_uring_submit_and_wait(&ring->ring, count);
        if (n <= 0 && n != -EINTR)
            return false;
        count -= n > 0 ? (unsigned)n : 0;
    }
    return true;
}

static void ring_complete(struct mv_tap_ring *ring, const struct io_uring_cqe *cqe,
                          unsigned *refused)
{
    uint64_t number = io_uring_cqe_get_data64(cqe);
    if (number < RING_FRAMES) {
        *refused += cqe->res < 0;
    } else if (cqe->res > 0) {
        ring->which[ring->taken] = (unsigned)number - RING_FRAMES;
        ring->length[ring->taken++] = (size_t)cqe->res;
    } else {
        ring->nothing = cqe->res;
    }
}

bool mv_tap_ring_send(struct mv_tap_ring *ring, unsigned *refused)
{
    struct io_uring_cqe *cqe;
    unsigned left = ring_prepare(ring);
    bool ok = ring_submit(ring, left);
    *refused = ok ? 0 : ring->frames;
    while (ok && left > 0) {
        int rc = io_uring_wait_cqe(&ring->ring, &cqe);
        if (rc == -EINTR)
            continue;
        ok = rc == 0;
        if (!ok)
            break;
        ring_complete(ring, cqe, refused);
        io_uring_cqe_seen(&ring->ring, cqe);
        left--;
    }
    ring->frames = ring->spans = ring->large = 0;
    return ok;
}

/* -- answers -- */

unsigned mv_tap_ring_held(const struct mv_tap_ring *ring)
{
    return ring->taken - ring->given;
}

size_t mv_tap_ring_receive(struct mv_tap_ring *ring, const struct mv_span *span,
                           unsigned spans)
{
    const uint8_t *from = ring->answer[ring->which[ring->given]];
    size_t length = ring->length[ring->given++], done = 0;
    for (unsigned i = 0; i < spans && done < length; i++) {
        size_t n = MV_MIN(span[i].length, length - done);
        memcpy(span[i].base, from + done, n);
        done += n;
    }
    return length;
}

/* -- open and close -- */

void mv_tap_ring_close(struct mv_tap_ring *ring)
{
    if (!ring)
        return;
    io_uring_queue_exit(&ring->ring);
    free(ring);
}

/* RWF_NOWAIT is what keeps the kernel from finishing later, and taps know it since
 * Linux 5.11: asked for an answer, they have one, or say that they would have to wait.
 */
static bool ring_can(struct mv_tap_ring *ring)
{
    unsigned refused;
    ring->large = 1;
    return mv_tap_ring_send(ring, &refused) &&
           (ring->taken || ring->nothing == -EAGAIN);
}

struct mv_tap_ring *mv_tap_ring_open(int fd)
{
    struct mv_tap_ring *ring = calloc(1, sizeof *ring);
    if (!ring)
        return NULL;
    if (io_uring_queue_init(RING_ENTRIES, &ring->ring, 0)) {
        free(ring);
        return NULL;
    }
    ring->fd = fd;
    if (!ring_can(ring)) {
        mv_tap_ring_close(ring);
        return NULL;
    }
    return ring;
}
