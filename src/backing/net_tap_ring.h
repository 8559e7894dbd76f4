/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Several frames to a tap, and the answers to them, in one system call: io_uring. A tap
 * never makes its writer wait, so all of it is done when the call returns, and nothing
 * is ever in flight.
 */
#ifndef MV_BACKING_NET_TAP_RING_H
#define MV_BACKING_NET_TAP_RING_H

#include "backing/net.h"

struct mv_tap_ring;

/* NULL: there is no io_uring here, or none that can do this. */
struct mv_tap_ring *mv_tap_ring_open(int fd);
void mv_tap_ring_close(struct mv_tap_ring *ring); /* accepts NULL */

/* Puts a frame in, as mv_net_ops.send has it; the guest's memory is read by send.
 * False: it is full, and has to be sent first. */
bool mv_tap_ring_add(struct mv_tap_ring *ring, const struct mv_span *span,
                     unsigned spans, size_t length);
/* Sends what was put in, and takes as many answers as there are by then; *refused is
 * how many of the frames were lost. False: the kernel did not take them all (no
 * memory), and the ring is to be closed. */
bool mv_tap_ring_send(struct mv_tap_ring *ring, unsigned *refused);

/* Answers that were taken and not given away. */
unsigned mv_tap_ring_held(const struct mv_tap_ring *ring);
/* Copies the next one, whose length it returns, into the spans, which have room for a
 * frame of the largest size. */
size_t mv_tap_ring_receive(struct mv_tap_ring *ring, const struct mv_span *span,
                           unsigned spans);

#endif
