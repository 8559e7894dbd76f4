/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Both ends of a vsock device without a VM: the guest's as packets in virtqueues, the
 * host's as sockets. For tests and the fuzz target, so without cmocka.
 */
#ifndef TESTS_LIB_VSOCKRIG_H
#define TESTS_LIB_VSOCKRIG_H

#include "vrig.h"

#include "backing/vsock.h"
#include "virtio/devices.h"
#include "virtio/vsock_packet.h"

enum {
    VSOCK_CID = 7,
    VSOCK_LISTENS = 1000, /* the host takes every connection to this port */
    VSOCK_HOST_ENDS = 64, /* the application's ends of connections, newest last */
    VSOCK_RX_BUFFERS = 256,
    VSOCK_RX_BYTES = 4096 - 320, /* as Linux has them */
    VSOCK_PAYLOAD = 64 << 10
};

/* What a dial points to here is its microvm_socket_type. */
struct vsockrig {
    struct vrig rig;
    struct mv_vsock_user user;
    intptr_t end[VSOCK_HOST_ENDS]; /* MV_SOCKET_NONE: closed by the test */
    unsigned ends;
    microvm_socket_type takes;                 /* at VSOCK_LISTENS; 0: every type */
    unsigned refusals, lost, readies, answers; /* what the host's end was told */
    unsigned closed, cut; /* sockets, and those that were cut off */
    bool unwanted;        /* an answered dial is given no socket */
    struct mv_span first; /* with a stream that is */
    uint32_t answered_port;
    struct mv_vsock_header response; /* to the last vsockrig_connect */

    uint64_t tx_gpa, rx_gpa;
    uint64_t rx_buffer[VSOCK_RX_BUFFERS]; /* by head */
};

/* Opens the device; start: with a driver and all receive buffers. */
void vsockrig_open(struct vsockrig *v, enum vrig_transport transport);
void vsockrig_start(struct vsockrig *v, uint64_t features, unsigned rx_buffers);
void vsockrig_close(struct vsockrig *v);
/* Another device with the same host's end, which the driver knows nothing of. */
void vsockrig_replace(struct vsockrig *v);

/* A header as a good guest writes it, of the connection between these ports. */
struct mv_vsock_header vsockrig_header(uint16_t op, uint32_t guest_port,
                                       uint32_t host_port);
/* The same of a SOCK_SEQPACKET connection. */
struct mv_vsock_header vsockrig_message(uint16_t op, uint32_t guest_port,
                                        uint32_t host_port);
/* Puts a packet into the tx queue and kicks; the loop turns. */
void vsockrig_send(struct vsockrig *v, const struct mv_vsock_header *header,
                   const void *data, uint32_t length);
/* The same without kick and turn; false: the queue is full. */
bool vsockrig_add(struct vsockrig *v, const struct mv_vsock_header *header,
                  const void *data, uint32_t length);
/* Takes back what the device has used of the tx queue. */
unsigned vsockrig_reap(struct vsockrig *v);
/* The next packet for the guest and its payload, up to VSOCK_RX_BYTES; false: none. The
 * buffer is posted again unless `keep`. */
bool vsockrig_receive(struct vsockrig *v, struct mv_vsock_header *header, uint8_t *data,
                      bool keep);
void vsockrig_post(struct vsockrig *v, unsigned buffers, uint32_t bytes);

/* Sends REQUEST to VSOCK_LISTENS from this port and takes the RESPONSE; the
 * application's end. MV_SOCKET_NONE: it was no RESPONSE. */
intptr_t vsockrig_connect(struct vsockrig *v, uint32_t guest_port, uint32_t buf_alloc);
intptr_t vsockrig_connect_type(struct vsockrig *v, uint16_t type, uint32_t guest_port,
                               uint32_t buf_alloc);

#endif
