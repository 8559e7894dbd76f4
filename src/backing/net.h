/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What stands behind a network device: Ethernet frames go in and come out, straight
 * from and into guest memory. One file for each: net_tap.c, net_stream.c (frames with a
 * length before them over a stream socket), net_gram.c (datagram sockets), net_fd.c
 * (looks at a descriptor and takes one of these), net_callback.c (the application).
 *
 * Threads: everything here is called on the machine's loop, or before it has a thread,
 * and so is everything a backing calls. Nobody waits, nobody allocates after open.
 *
 * A frame is at most MV_NET_FRAME_MAX bytes, from the destination address on, without
 * the frame check sequence. Where a backing says `header`, a struct virtio_net_hdr of
 * MV_NET_HEADER_BYTES (virtio 1.2, 5.1.6) stands before each frame in both directions
 * and carries the offloads that were agreed; otherwise frames are complete: checksums
 * computed, no larger than the link's MTU allows.
 *
 * What a peer sends is as hostile as what a guest sends: a backing checks every length
 * before it believes it, and a frame that is too long or too short is dropped and
 * counted, never cut.
 */
#ifndef MV_BACKING_NET_H
#define MV_BACKING_NET_H

#include "core/config.h"
#include "core/log.h"
#include "os/loop.h"
#include "util/span.h"

#include <stdbool.h>

struct mv_net;

enum {
    MV_NET_HEADER_BYTES = 12, /* virtio_net_hdr with num_buffers */
    MV_NET_FRAME_MIN = 14,    /* two addresses and a type */
    MV_NET_RUNTS = 64,        /* frames that are dropped in one call of receive */
    /* What TCP segmentation hands over at once, and the largest MTU: 65535 bytes of
     * packet behind an Ethernet header with a VLAN tag. */
    MV_NET_FRAME_MAX = 65535 + 18
};

/* What one side may leave to the other. All of them need `header`. */
enum {
    MV_NET_CSUM = 1u << 0, /* checksums of TCP and UDP not computed */
    MV_NET_TSO4 = 1u << 1, /* TCP segments larger than the MTU */
    MV_NET_TSO6 = 1u << 2,
    MV_NET_ECN = 1u << 3, /* such segments with ECN */
    MV_NET_USO = 1u << 4, /* UDP datagrams of the same size in one frame, v4 and v6 */
    MV_NET_OFFLOADS = MV_NET_CSUM | MV_NET_TSO4 | MV_NET_TSO6 | MV_NET_ECN | MV_NET_USO
};

struct mv_net_ops {
    const char *name; /* "tap": for messages */

    /* Moves the next frame into the spans, which hold at least MV_NET_FRAME_MAX bytes
     * (and the header's): its length in bytes, header included, or 0 when none waits.
     * A frame that is not to be had whole is dropped in here; after MV_NET_RUNTS of
     * them it is 0, too, so that others have their turn. */
    size_t (*receive)(struct mv_net *net, const struct mv_span *span, unsigned spans);

    /* Takes one frame of `length` bytes (header included; the frame itself has
     * MV_NET_FRAME_MIN to MV_NET_FRAME_MAX). True: it is sent, copied, or dropped where
     * a network would drop it, when commit has returned, if there is one; what the
     * spans point to is the caller's again then. False: there is no room; user.writable
     * follows when there is. span[0] is the header, all of it, in memory of ours,
     * checked, and is copied; what comes after lies in guest memory and can change
     * while it is looked at. At most 257 spans. */
    bool (*send)(struct mv_net *net, const struct mv_span *span, unsigned spans,
                 size_t length);

    /* After every few sends. NULL: each was carried out at once. */
    void (*commit)(struct mv_net *net);

    /* On: user.readable is called from the loop whenever frames wait, again and again
     * while they do (so receive need not be called until it says 0). Off, which is how
     * it begins: never. Costs a system call or two: not for every frame. */
    void (*listen)(struct mv_net *net, bool on);

    /* The driver's offloads for what it receives changed: a subset of
     * receive_offloads, 0 after a reset. NULL where receive_offloads is 0. */
    void (*set_offloads)(struct mv_net *net, unsigned offloads);

    /* Not listening any more; frees the memory, a little later where handles of the
     * loop must be closed first. */
    void (*close)(struct mv_net *net);
};

/* The device's end; each is called on the loop, never from within ops. */
struct mv_net_user {
    void (*readable)(void *device);
    void (*writable)(void *device);
    /* net->link has changed: the cable was pulled or plugged in. */
    void (*link_changed)(void *device);
    void *device;
};

/* The machine, which hears of the link after the device; on the loop, as above. */
struct mv_net_owner {
    void (*link_changed)(void *owner);
    void *owner;
};

/* First member of every backing's struct. What is not marked otherwise is fixed when
 * open returns. */
struct mv_net {
    const struct mv_net_ops *ops;
    struct mv_net_user user;   /* the device's to fill; zero: it has no device yet */
    struct mv_net_owner owner; /* the machine's to fill; zero: nobody */
    bool header;
    bool prompt;            /* a stream that is sent is answered before send returns */
    unsigned send_offloads; /* MV_NET_*: what send can take */
    unsigned receive_offloads; /* what receive can be asked to give */
    unsigned held; /* frames that receive has without asking the system: commit's */
    uint16_t mtu;  /* bytes of packet, to be told to the guest; 0: not told */
    /* The backing's to change. While it is down, send drops and receive gives nothing.
     */
    bool link;
    /* Counters: the device's, but for what the backing has to drop itself. */
    _Atomic uint64_t received_frames, received_bytes, received_drops;
    _Atomic uint64_t sent_frames, sent_bytes, sent_drops;
};

/* Opens the backing that config->kind says. On the loop, or before it has a thread. The
 * message of a failure begins with "net '<what>'" and says what to do. */
int mv_net_open(const struct mv_net_config *config, struct mv_loop *loop,
                const struct mv_log *log, struct mv_net **out, microvm_error *err);

/* For backings: the cable is pulled or plugged in. Not from within ops. */
void mv_net_set_link(struct mv_net *net, bool up);

#endif
