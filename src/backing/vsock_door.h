/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A socket of the host that programs connect to in order to reach the guest. Each
 * caller first says where it wants to go, in the door's own manner (vsock_uds.c,
 * vsock_socks.c); then its socket is the connection, handed to the device as it is, so
 * that nobody stands between it and the guest. What comes behind its words is left in
 * the socket until then.
 */
#ifndef MV_BACKING_VSOCK_DOOR_H
#define MV_BACKING_VSOCK_DOOR_H

#include "backing/vsock_ports.h"

struct mv_vsock_door;

/* Somebody who has connected and is not connected to the guest yet. */
struct mv_vsock_caller {
    struct mv_vsock_dial dial; /* first member */
    struct mv_watch watch;
    struct mv_vsock_door *door;
    intptr_t socket;   /* MV_SOCKET_NONE: the place is free */
    uint64_t limit_ns; /* to have said where to by */
    uint64_t look_ns;  /* when what it says is looked at again; 0: when there is news */
    int64_t seen;      /* bytes that are there and not enough */
    bool dialling;
    uint8_t phase;                 /* the manner's; 0 at first */
    uint8_t first[MV_VSOCK_FIRST]; /* for dial.first */
};

/* A door's manner. */
struct mv_vsock_manner {
    /* What stands at the beginning of what the caller has said: how many bytes were
     * understood, 0 when more are needed, -1 to show it the door. After
     * mv_vsock_door_dial nothing more is heard. */
    int (*hear)(struct mv_vsock_caller *caller, const uint8_t *bytes, size_t length);
    /* The guest has taken it; false: the caller has gone. */
    bool (*taken)(struct mv_vsock_caller *caller, uint32_t host_port);
    /* It has not; may be NULL. The socket is closed afterwards. */
    void (*failed)(struct mv_vsock_caller *caller);
    size_t most;          /* bytes that are ever needed at once */
    unsigned callers;     /* at a time; others wait in the system's backlog */
    uint64_t patience_ns; /* with a guest that does not listen yet */
};

struct mv_vsock_door {
    const struct mv_vsock_manner *manner;
    struct mv_vsock_ports *ports;
    struct mv_vsock_door *next;
    intptr_t socket; /* that listens; the owner's to close */
    struct mv_watch watch;
    bool waits; /* callers are in the backlog, and no place for them is free */
    struct mv_watch_set *watches;
    struct mv_vsock_caller *caller;
};

enum { MV_VSOCK_HEARD_MOST = 520 }; /* of any manner's `most` */

/* The socket listens already. */
int mv_vsock_door_open(struct mv_vsock_door *door, struct mv_vsock_ports *ports,
                       const struct mv_vsock_manner *manner, intptr_t socket,
                       microvm_error *err);
/* Callers that are not connected yet are dropped. Accepts one that was not opened. */
void mv_vsock_door_close(struct mv_vsock_door *door);
/* Where the caller goes: its dial's port, and dial.first if there is any. */
void mv_vsock_door_dial(struct mv_vsock_caller *caller);

/* -- for vsock_ports.c -- */

/* Callers that have said nothing for too long lose their place, others get one. */
void mv_vsock_door_serve(struct mv_vsock_door *door, uint64_t now_ns);
/* When that is to be done next; UINT64_MAX: never. */
uint64_t mv_vsock_door_due(const struct mv_vsock_door *door, uint64_t now_ns);

#endif
