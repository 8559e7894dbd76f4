/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A connection to a target, which may be a name: its addresses are tried one after the
 * other, each for a few seconds. Sockets are bound to the tunnel's interface while it
 * is up; whether there is a way without it is the user's word.
 */
#ifndef GUEST_DIAL_H
#define GUEST_DIAL_H

#include "guest/lib/loop.h"
#include "names.h"

/* How targets are reached. */
struct dial_way {
    const char *interface; /* the tunnel's; NULL: whatever the routes say */
    bool only;             /* never without it */
};

struct dial {
    struct watch watch; /* its first member */
    const struct dial_way *way;
    struct name *name;
    unsigned at;     /* the address that is being tried */
    int64_t next_ms; /* when the next is tried */
    bool bound;      /* to the interface */
    enum socks_status worst;
    /* The socket, non-blocking; or -1 and why there is none. Called once, later. */
    void (*done)(struct dial *dial, int fd, enum socks_status status);
};

/* The interface is there, up, and has an address. */
bool dial_way_is_up(const struct dial_way *way);
/* False: it cannot begin, and *status says why. */
bool dial_begin(struct dial *dial, const struct dial_way *way,
                const struct proxy_target *target,
                void (*done)(struct dial *dial, int fd, enum socks_status status),
                enum socks_status *status);
/* `done` is not called any more. */
void dial_end(struct dial *dial);
/* The time has come: the next address. */
void dial_expire(struct dial *dial, int64_t now_ms);

#endif
