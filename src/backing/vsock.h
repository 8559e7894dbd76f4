/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The two ends of a vsock device: connections are between a port of the guest and a
 * connected socket of the host of the same type, stream or SOCK_SEQPACKET, which is the
 * device's from the moment it is handed over. Who listens on the host's side, and who
 * connects from there, is the business of the host's end (vsock_ports.h); how packets
 * and credit work is the device's (virtio/vsock.c). Everything is called on the loop.
 */
#ifndef MV_BACKING_VSOCK_H
#define MV_BACKING_VSOCK_H

#include "os/socket.h"

enum { MV_VSOCK_FIRST = 272 }; /* more than any request of proto/proxy.h */

/* What became of a dial. */
enum mv_vsock_answer {
    MV_VSOCK_REFUSED, /* the guest says no: nobody listens on that port */
    MV_VSOCK_LOST     /* the guest's driver has gone */
};

/* The host's end, as the device sees it. */
struct mv_vsock_host {
    /* The guest's port `from` connects to `port`: a connected, non-blocking socket of
     * that type, or MV_SOCKET_NONE: nobody is there. */
    intptr_t (*arrived)(void *ctx, microvm_socket_type type, uint32_t port,
                        uint32_t from);
    /* The guest has taken the dial; it comes from `host_port`. The socket, which the
     * device takes over; MV_SOCKET_NONE: not wanted any more. *first, which is empty:
     * up to MV_VSOCK_FIRST bytes that the guest gets before the socket's, of a stream;
     * they are copied. */
    intptr_t (*answered)(void *ctx, void *dial, uint32_t host_port,
                         struct mv_span *first);
    void (*refused)(void *ctx, void *dial, enum mv_vsock_answer answer);
    /* There is a driver that can be dialled. */
    void (*ready)(void *ctx);
    /* The device closes the socket, now. cut: before the guest had ended its side (it
     * has reset the connection, or its driver or the machine has gone), or before all
     * that it had sent was given on. NULL is allowed. Where the guest has ended its
     * direction first, and did not close both at once, the device has ended the
     * socket's writing before, all being given on (mv_socket_end_write). */
    void (*closed)(void *ctx, intptr_t socket, bool cut);
    void *ctx;
};

/* The device's end, as the host's sees it. */
enum mv_vsock_dialling {
    MV_VSOCK_DIALLED, /* answered or refused comes later, never from inside */
    MV_VSOCK_NOT_YET, /* no driver: ready will come */
    MV_VSOCK_FULL,    /* the device has no place for another connection */
    MV_VSOCK_UNABLE   /* the driver has no sockets of that type */
};
struct mv_vsock_user {
    enum mv_vsock_dialling (*dial)(void *device, microvm_socket_type type,
                                   uint32_t port, void *dial);
    /* Forgets a dial that has not been answered. */
    void (*hang_up)(void *device, void *dial);
    void *device;
};

#endif
