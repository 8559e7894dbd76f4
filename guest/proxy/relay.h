/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Two connected sockets whose bytes go over to each other. The end of one direction is
 * passed on while the other goes on; when both have ended, or one socket fails, both
 * are closed. What a socket does not take is kept, and nothing more is read for it
 * until it is out: so a relay that waits costs its two sockets and no buffer.
 */
#ifndef GUEST_RELAY_H
#define GUEST_RELAY_H

#include "guest/lib/loop.h"

#include <stddef.h>

struct relay_side {
    struct watch watch; /* its first member */
    struct relay *relay;
    uint8_t *held; /* for this socket; NULL: nothing */
    size_t at, length;
    bool whole; /* a buffer of the size that is kept */
    bool read_ended, write_ended;
};

struct relay {
    struct relay_side side[2];
    bool closed;
    void (*ended)(struct relay *relay); /* the sockets are closed already */
    struct later later;
};

/* Takes the sockets, which are non-blocking. `ended` is called later, never from
 * inside. Of a relay that could not be made they are closed, too. */
void relay_open(struct relay *relay, int one, int other,
                void (*ended)(struct relay *relay));
/* Before the next turn: bytes that were read from `one` already. */
void relay_first(struct relay *relay, const uint8_t *bytes, size_t length);
/* Both sockets fail at once, so that nobody takes what it has for all. */
void relay_abort(struct relay *relay);

#endif
