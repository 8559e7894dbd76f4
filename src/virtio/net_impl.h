/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of the network device share: net.c (the device and its life),
 * net_receive.c, net_transmit.c, net_control.c (the control queue and the filter that
 * it sets).
 */
#ifndef MV_VIRTIO_NET_IMPL_H
#define MV_VIRTIO_NET_IMPL_H

#include "backing/net.h"
#include "util/bytes.h"
#include "virtio/devices.h"

/* Feature bits, 5.1.3. HOST_ is what the device accepts, GUEST_ what the driver does.
 */
#define NET_F_CSUM           (1ull << 0)
#define NET_F_GUEST_CSUM     (1ull << 1)
#define NET_F_GUEST_OFFLOADS (1ull << 2) /* CTRL_GUEST_OFFLOADS */
#define NET_F_MTU            (1ull << 3)
#define NET_F_MAC            (1ull << 5)
#define NET_F_GUEST_TSO4     (1ull << 7)
#define NET_F_GUEST_TSO6     (1ull << 8)
#define NET_F_GUEST_ECN      (1ull << 9)
#define NET_F_HOST_TSO4      (1ull << 11)
#define NET_F_HOST_TSO6      (1ull << 12)
#define NET_F_HOST_ECN       (1ull << 13)
#define NET_F_MRG_RXBUF      (1ull << 15)
#define NET_F_STATUS         (1ull << 16)
#define NET_F_CTRL_VQ        (1ull << 17)
#define NET_F_CTRL_RX        (1ull << 18)
#define NET_F_GUEST_ANNOUNCE (1ull << 21)
#define NET_F_CTRL_MAC_ADDR  (1ull << 23)
#define NET_F_GUEST_USO4     (1ull << 54)
#define NET_F_GUEST_USO6     (1ull << 55)
#define NET_F_HOST_USO       (1ull << 56)
#define NET_F_GUEST                                                             \
    (NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | NET_F_GUEST_ECN | \
     NET_F_GUEST_USO4 | NET_F_GUEST_USO6)

enum { NET_RECEIVE = 0, NET_TRANSMIT = 1, NET_CONTROL = 2, NET_QUEUES = 3 };

/* Offsets in the configuration space, 5.1.4. */
enum {
    NET_CONFIG_MAC = 0,
    NET_CONFIG_STATUS = 6,
    NET_CONFIG_MTU = 10,
    NET_CONFIG_BYTES = 12
};
enum { NET_S_LINK_UP = 1, NET_S_ANNOUNCE = 2 };

/* struct virtio_net_hdr, 5.1.6. */
enum {
    NET_HDR_FLAGS = 0,
    NET_HDR_GSO_TYPE = 1,
    NET_HDR_HDR_LEN = 2,
    NET_HDR_GSO_SIZE = 4,
    NET_HDR_CSUM_START = 6,
    NET_HDR_CSUM_OFFSET = 8,
    NET_HDR_NUM_BUFFERS = 10
};
enum { NET_HDR_NEEDS_CSUM = 1 };
enum {
    NET_GSO_NONE = 0,
    NET_GSO_TCPV4 = 1,
    NET_GSO_TCPV6 = 4,
    NET_GSO_UDP_L4 = 5,
    NET_GSO_ECN = 0x80
};

enum {
    NET_MAC_BYTES = 6,
    NET_QUEUE_SIZE =
        256,        /* 384 KiB of what Linux posts: six frames of the largest size */
    NET_BATCH = 16, /* sent before what the loop's others wait for is looked at */
    NET_LARGE =
        1600, /* with its header more than an Ethernet frame: part of a stream */
    /* Header and frame: what a receive must have room for. */
    NET_ROOM = MV_NET_HEADER_BYTES + MV_NET_FRAME_MAX,
    /* Addresses that are compared one by one; with more of them everything of the kind
     * is let in (5.1.6.5.2 allows that). */
    NET_FILTER_MAX = 32
};

struct net_addresses {
    uint32_t count;
    bool all; /* there were too many */
    uint8_t mac[NET_FILTER_MAX][NET_MAC_BYTES];
};

/* Which frames the driver wants. */
struct net_filter {
    bool promiscuous; /* as it is until a driver says otherwise */
    bool all_multicast;
    struct net_addresses unicast, multicast;
};

/* A receive buffer that was popped and is not used yet. */
struct net_buffer {
    uint16_t head;
    uint16_t spans;
    uint32_t bytes;
};

/*
 * The window: the next receive buffers, popped and waiting for frames, so that they are
 * parsed once however many frames it takes to use them up. In the order of the queue;
 * stop puts back what is left, so the window is no state.
 */
enum { NET_WINDOW_SPANS = 2 * NET_QUEUE_SIZE };
struct net_window {
    struct net_buffer buffer[NET_QUEUE_SIZE];
    struct mv_span span[NET_WINDOW_SPANS];
    unsigned first, buffers;    /* of buffer: where it begins, how many */
    unsigned first_span, spans; /* of span */
    uint32_t bytes;
    bool full;        /* the next buffer has too many spans for what is left of span */
    bool listening;   /* to the backing */
    uint64_t read_ns; /* when frames were last asked for */
    bool limited;     /* the next frame must wait for its time (mv_vdev_wait) */
    /* The length, header included, of a frame longer than the window: held_room bytes
     * of it lie there, the rest in spill, until the driver adds buffers. 0: none. */
    size_t held, held_room;
    uint8_t spill[NET_ROOM];
};

struct net {
    struct mv_vdev dev;
    struct mv_net *backing;
    uint8_t mac[NET_MAC_BYTES]; /* after a reset */
    unsigned filled;            /* chains of the guest's that commit gives back */
    bool unplugged;             /* by the user: frames are lost both ways */
    bool sent_large;            /* since answers were last looked for */
    bool announce;              /* it has moved: tell the driver when it starts */
    bool offloads_chosen;       /* by the driver: else it takes what was negotiated */
    uint64_t offloads;          /* NET_F_GUEST_*: what it takes now */
    struct net_filter filter;
    struct mv_limit limit[2]; /* by queue: NET_RECEIVE, NET_TRANSMIT */
    struct net_window window;
};

static inline struct net *net_of(struct mv_vdev *dev)
{
    return MV_CONTAINER(dev, struct net, dev);
}

/* Whether a frame may move on queue q now; else net_waited comes when it may. */
static inline bool net_limit_ok(struct net *net, unsigned q)
{
    if (!mv_limit_on(&net->limit[q]))
        return true;
    uint64_t wait_ns = mv_limit_wait_ns(&net->limit[q], uv_hrtime());
    if (wait_ns)
        mv_vdev_wait(&net->dev, wait_ns);
    return wait_ns == 0;
}

static inline void net_limit_take(struct net *net, unsigned q, size_t bytes)
{
    if (mv_limit_on(&net->limit[q]))
        mv_limit_take(&net->limit[q], uv_hrtime(), 1, (uint32_t)bytes);
}

/* net_receive.c */
void net_receive_kick(struct net *net);
void net_receive_ready(void *device); /* mv_net_user's readable */
/* Frames that came as the answer to what was just sent; signals nothing. */
void net_receive_answers(struct net *net);
void net_receive_stop(struct net *net);

/* net_transmit.c */
void net_transmit_commit(struct net *net);
void net_transmit_kick(struct net *net);
void net_transmit_ready(void *device); /* mv_net_user's writable */

/* net_control.c */
void net_control_kick(struct net *net);
bool net_filter_wants(const struct net *net, const uint8_t destination[NET_MAC_BYTES]);
void net_filter_reset(struct net_filter *filter);
void net_filter_save(const struct net_filter *filter, struct mv_writer *w);
void net_filter_load(struct net_filter *filter, struct mv_reader *r);

/* net.c */
/* What the driver takes from now on. */
void net_set_offloads(struct net *net, uint64_t offloads);
/* Tells the driver of the link and of a pending announcement, if that is news. */
void net_update_status(struct net *net);

#endif
