/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The host's end of a vsock device: who listens for connections of the guest, and who
 * wants connections to it.
 *
 * - listeners: ports that the application listens on; each connection waits in a short
 *   backlog as a socket that the application takes
 * - dials: connections to the guest, tried again until their deadline while nobody
 *   listens there yet
 * - doors (vsock_door.h): sockets of the host that programs connect to in order to
 *   reach the guest. One is a UNIX socket in the manner of Firecracker (vsock_uds.c),
 *   where the guest's connections come out, too; others are SOCKS servers
 *   (vsock_socks.c)
 * - connections that the guest makes by way of this computer (outbound.h)
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

/* A connection of the application, and what became of it. */
enum { MV_VSOCK_LINKS = 2048 /* those that live, and as many that were cut off */ };
struct mv_vsock_link {
    intptr_t ours, theirs; /* the device's end, the application's */
    bool live, cut;
};

struct mv_vsock_ports;
struct mv_vsock_door;
struct mv_vsock_socks;
struct mv_outbound;

/* One connection that the host wants. Lives in its owner until `done`. */
struct mv_vsock_dial {
    microvm_socket_type type;
    uint32_t port;
    uint64_t deadline_ns; /* of uv_hrtime: tried again until then; 0: tried once */
    intptr_t theirs;      /* the application's end, of one that is for it; or NONE */
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

struct mv_vsock_ports {
    struct mv_loop *loop;
    struct mv_vsock_user device;
    /* A connection has come to `port`, whose backlog was empty; may be NULL. */
    void (*arrived)(void *ctx, uint32_t port);
    void *ctx;

    struct mv_vsock_listener listener[MV_VSOCK_LISTENERS];
    struct mv_vsock_dial *dials;
    uv_timer_t *timer; /* for what is due; freed when libuv has let go of it */

    struct mv_vsock_link *link; /* `links` of MV_VSOCK_LINKS */
    unsigned links;
    struct mv_vsock_door *doors;
    struct mv_vsock_door *uds;    /* one of them, */
    char path[MV_VSOCK_PATH];     /* when it has a path */
    struct mv_vsock_socks *socks; /* the others */
    struct mv_outbound *outbound; /* who takes the guest's to OUTBOUND_PORT, or NULL */
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

/* A SOCKS server for the guest's inbound proxy; `text` as the setting socks has it.
 * *port is the port that it listens on. */
int mv_vsock_socks_open(struct mv_vsock_ports *ports, const char *text, uint16_t *port,
                        microvm_error *err);
/* The one with that address; connections that are made stay. */
int mv_vsock_socks_close(struct mv_vsock_ports *ports, const char *text,
                         microvm_error *err);

/* -- vsock_links.c -- */

void mv_vsock_link_add(struct mv_vsock_ports *ports, intptr_t ours, intptr_t theirs);
void mv_vsock_link_closed(struct mv_vsock_ports *ports, intptr_t ours, bool cut);
/* The connection of this socket of the application's ended before the guest had ended
 * its side. */
bool mv_vsock_link_was_cut(const struct mv_vsock_ports *ports, intptr_t theirs);

/* -- vsock_uds.c and vsock_socks.c, used by vsock_ports.c -- */

int mv_vsock_uds_open(struct mv_vsock_ports *ports, const char *path,
                      microvm_error *err);
void mv_vsock_uds_close(struct mv_vsock_ports *ports);
/* The guest's connection to `port`, at PATH_port. */
intptr_t mv_vsock_uds_arrived(const struct mv_vsock_ports *ports,
                              microvm_socket_type type, uint32_t port);
void mv_vsock_socks_end(struct mv_vsock_socks *socks);
/* Has the timer look at what is due next. */
void mv_vsock_ports_rearm(struct mv_vsock_ports *ports);

#endif
