/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The host's end of a vsock device: who listens for connections of the guest, and who
 * wants connections to it.
 *
 * - listeners: ports that the application listens on; each connection waits in a short
 *   backlog as a socket that the application takes
 * - dials: connections to the guest, tried again until their deadline while nobody
 *   listens there yet
 * - uds: a UNIX socket in the manner of Firecracker (vsock_uds.c): "CONNECT PORT" in,
 *   PATH_PORT out
 *
 * All on the loop.
 */
#ifndef MV_BACKING_VSOCK_PORTS_H
#define MV_BACKING_VSOCK_PORTS_H

#include "backing/vsock.h"
#include "os/watch.h"

enum {
    MV_VSOCK_LISTENERS = 64, /* ports */
    MV_VSOCK_BACKLOG = 64,   /* connections that wait to be accepted, of each */
    MV_VSOCK_CALLERS = 64,   /* of the UNIX socket, before they have said CONNECT */
    MV_VSOCK_PATH = 108      /* what a UNIX socket's address holds */
};

struct mv_vsock_ports;

/* One connection that the host wants. Lives in its owner until `done`. */
struct mv_vsock_dial {
    microvm_socket_type type;
    uint32_t port;
    uint64_t deadline_ns; /* of uv_hrtime: tried again until then; 0: tried once */
    struct mv_span first; /* what the guest gets before the socket's bytes; valid until
                             the loop's turn in which `take` was called has ended */
    /* It is established: the socket that the device shall have. MV_SOCKET_NONE: not
     * wanted any more. */
    intptr_t (*take)(struct mv_vsock_dial *dial, uint32_t host_port);
    /* It will not be. `why` continues a sentence. */
    void (*failed)(struct mv_vsock_dial *dial, int code, const char *why);

    /* The ports'. */
    struct mv_vsock_dial *next;
    bool asked;   /* the device has it */
    bool wanted;  /* it is in the list */
    bool refused; /* once at least */
    unsigned tries;
    uint64_t due_ns; /* when something is to be done: the next try, or the end of one */
};

struct mv_vsock_listener {
    bool open;
    microvm_socket_type type;
    uint32_t port;
    unsigned first, count;
    intptr_t backlog[MV_VSOCK_BACKLOG];
};

/* Somebody who has connected to the UNIX socket. */
struct mv_vsock_caller {
    struct mv_vsock_dial dial; /* after CONNECT; first member */
    struct mv_watch watch;
    struct mv_vsock_ports *ports;
    intptr_t socket;
    uint64_t limit_ns; /* to have said CONNECT by */
    bool dialling;
};

struct mv_vsock_ports {
    struct mv_loop *loop;
    struct mv_vsock_user device;
    /* A connection has come to `port`, whose backlog was empty; may be NULL. */
    void (*arrived)(void *ctx, uint32_t port);
    void *ctx;

    struct mv_vsock_listener listener[MV_VSOCK_LISTENERS];
    struct mv_vsock_dial *dials;
    uv_timer_t *timer; /* for what is due; freed when libuv has let go of it */

    char path[MV_VSOCK_PATH]; /* of the UNIX socket; "": there is none */
    intptr_t uds;
    struct mv_watch uds_watch;
    bool uds_waits; /* callers are in the backlog, and no place for them is free */
    struct mv_watch_set *watches;
    struct mv_vsock_caller *caller; /* MV_VSOCK_CALLERS */
};

/* `path` NULL: no UNIX socket. */
int mv_vsock_ports_open(struct mv_vsock_ports *ports, struct mv_loop *loop,
                        const char *path, microvm_error *err);
/* Dials that are left fail first. The device is closed already. */
void mv_vsock_ports_close(struct mv_vsock_ports *ports);
/* What the device is opened with; `device` is filled in when it is open. */
struct mv_vsock_host mv_vsock_ports_host(struct mv_vsock_ports *ports);
/* The machine has ended: all dials fail, nothing is taken any more. */
void mv_vsock_ports_end(struct mv_vsock_ports *ports);

/* A port has one listener, which takes connections of one type. */
int mv_vsock_listen(struct mv_vsock_ports *ports, microvm_socket_type type,
                    uint32_t port, microvm_error *err);
int mv_vsock_unlisten(struct mv_vsock_ports *ports, uint32_t port, microvm_error *err);
/* 1: *out is the oldest connection that waits; 0: none does. */
int mv_vsock_accept(struct mv_vsock_ports *ports, uint32_t port, intptr_t *out,
                    microvm_error *err);

/* Begins; take or failed is called later, never from inside. */
void mv_vsock_dial(struct mv_vsock_ports *ports, struct mv_vsock_dial *dial);
/* Neither take nor failed is called any more. */
void mv_vsock_dial_cancel(struct mv_vsock_ports *ports, struct mv_vsock_dial *dial);

/* -- vsock_uds.c, used by vsock_ports.c -- */

int mv_vsock_uds_open(struct mv_vsock_ports *ports, const char *path,
                      microvm_error *err);
void mv_vsock_uds_close(struct mv_vsock_ports *ports);
/* The guest's connection to `port`, at PATH_port. */
intptr_t mv_vsock_uds_arrived(const struct mv_vsock_ports *ports,
                              microvm_socket_type type, uint32_t port);
/* Callers that have said nothing for too long lose their place, others get one. */
void mv_vsock_uds_serve(struct mv_vsock_ports *ports, uint64_t now_ns);
/* When that is to be done next; UINT64_MAX: never. */
uint64_t mv_vsock_uds_due(const struct mv_vsock_ports *ports, uint64_t now_ns);
/* Has the timer look at what is due next. */
void mv_vsock_ports_rearm(struct mv_vsock_ports *ports);

#endif
