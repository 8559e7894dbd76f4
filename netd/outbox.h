/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Frames on their way to the guest: they are gathered while libslirp has its turn, and
 * go out several to a system call. What the socket does not take waits in order; where
 * there is no more room a frame is lost, as a network may.
 *
 * Of two acknowledgements that wait one behind the other the later says all that the
 * earlier said, and takes its place: a guest that sends a stream is told once for each
 * batch of segments how far it has come.
 */
#ifndef NETD_OUTBOX_H
#define NETD_OUTBOX_H

#include "gate.h"

enum {
    OUTBOX_FRAMES = 64, /* one of them is the place that outbox_place gives */
    OUTBOX_BATCH = 16,
    OUTBOX_LARGE = 8192 /* bytes: worth a system call of its own */
};

struct outbox_frame {
    size_t length;
    uint8_t byte[GATE_FRAME_MAX];
};

struct outbox {
    int socket;        /* of packets, non-blocking */
    bool waits;        /* the socket has no room: outbox_send when it has */
    unsigned at, used; /* of frame: the oldest, how many */
    uint64_t sent, dropped;
    struct outbox_frame frame[OUTBOX_FRAMES];
};

/* Sends a large frame from where it lies, if nothing waits before it: to gather it
 * would cost more than a system call. False: it has to be added. */
bool outbox_direct(struct outbox *box, const uint8_t *frame, size_t length);

/* Where the next frame goes, GATE_FRAME_MAX bytes; never NULL. */
uint8_t *outbox_place(struct outbox *box);

/* The frame that stands there now. */
void outbox_add(struct outbox *box, size_t length);

/* What waits, as far as the socket takes it. */
void outbox_send(struct outbox *box);

#endif
