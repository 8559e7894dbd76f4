/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Network device, virtio 1.2, 5.1: one pair of queues and a control queue between the
 * driver and a backing (backing/net.h). What the device offers follows from what the
 * backing can do: checksums and segmentation only where frames carry a header that the
 * backing understands. The payload is never copied here.
 *
 * Nothing is in flight once stop returns: the receive window goes back to the queue and
 * a transmit chain is pushed before the next is popped. The state is the queues', the
 * configuration, the filter and the driver's choice of offloads.
 *
 * Absent on purpose: several queue pairs (one loop thread serves them all), VLAN
 * filtering (the guest does it), hashes and receive-side scaling, which need several
 * queues, UDP fragmentation (UFO: obsolete, and Linux emulates it).
 */
#include "virtio/net_impl.h"

#define NET_FEATURES                                                              \
    (NET_F_MAC | NET_F_MRG_RXBUF | NET_F_STATUS | NET_F_CTRL_VQ | NET_F_CTRL_RX | \
     NET_F_GUEST_ANNOUNCE | NET_F_CTRL_MAC_ADDR)

enum { NET_ID = 1 };

/* How the features of both directions are named at the seam. */
static const struct {
    unsigned offload;
    uint64_t host, guest; /* all of them */
} net_offloads[] = {
    {MV_NET_CSUM, NET_F_CSUM, NET_F_GUEST_CSUM},
    {MV_NET_TSO4, NET_F_HOST_TSO4, NET_F_GUEST_TSO4},
    {MV_NET_TSO6, NET_F_HOST_TSO6, NET_F_GUEST_TSO6},
    {MV_NET_ECN, NET_F_HOST_ECN, NET_F_GUEST_ECN},
    {MV_NET_USO, NET_F_HOST_USO, NET_F_GUEST_USO4 | NET_F_GUEST_USO6},
};

static uint64_t net_features_of(const struct mv_net *backing)
{
    uint64_t features = NET_FEATURES;
    for (unsigned i = 0; i < MV_ARRAY_LEN(net_offloads); i++) {
        if (backing->send_offloads & net_offloads[i].offload)
            features |= net_offloads[i].host;
        if (backing->receive_offloads & net_offloads[i].offload)
            features |= net_offloads[i].guest;
    }
    if (backing->receive_offloads)
        features |= NET_F_GUEST_OFFLOADS;
    if (backing->mtu)
        features |= NET_F_MTU;
    return features;
}

void net_set_offloads(struct net *net, uint64_t offloads)
{
    struct mv_net *backing = net->backing;
    unsigned wanted = 0;
    net->offloads = offloads;
    if (!backing->receive_offloads)
        return;
    for (unsigned i = 0; i < MV_ARRAY_LEN(net_offloads); i++) {
        if ((offloads & net_offloads[i].guest) == net_offloads[i].guest)
            wanted |= net_offloads[i].offload;
    }
    if (!(wanted & MV_NET_CSUM))
        wanted = 0; /* 5.1.3.1: the others stand on it */
    backing->ops->set_offloads(backing, wanted & backing->receive_offloads);
}

void net_update_status(struct net *net)
{
    uint16_t status = mv_net_device_has_link(&net->dev) ? NET_S_LINK_UP : 0;
    uint8_t raw[2];
    if (net->announce && net->dev.negotiated & NET_F_GUEST_ANNOUNCE)
        status |= NET_S_ANNOUNCE;
    mv_store16(raw, status);
    if (memcmp(raw, net->dev.config + NET_CONFIG_STATUS, sizeof raw))
        mv_vdev_set_config(&net->dev, NET_CONFIG_STATUS, raw, sizeof raw);
}

static void net_link_changed(void *device)
{
    net_update_status(net_of(device));
}

/* -- the device -- */

static void net_kick(struct mv_vdev *dev, unsigned q)
{
    if (q == NET_RECEIVE)
        net_receive_kick(net_of(dev));
    else if (q == NET_TRANSMIT)
        net_transmit_kick(net_of(dev));
    else
        net_control_kick(net_of(dev));
}

static int net_start(struct mv_vdev *dev)
{
    struct net *net = net_of(dev);
    net_set_offloads(net, net->offloads_chosen ? net->offloads
                                               : dev->negotiated & NET_F_GUEST);
    net_update_status(net);
    return 0;
}

static void net_commit(struct mv_vdev *dev)
{
    net_transmit_commit(net_of(dev));
}

static void net_waited(struct mv_vdev *dev)
{
    net_receive_ready(dev);
    net_transmit_ready(dev);
}

static void net_stop(struct mv_vdev *dev)
{
    net_receive_stop(net_of(dev));
}

static void net_reset(struct mv_vdev *dev)
{
    struct net *net = net_of(dev);
    uv_mutex_lock(&dev->config_lock);
    memcpy(dev->config + NET_CONFIG_MAC, net->mac, sizeof net->mac);
    uv_mutex_unlock(&dev->config_lock);
    net_filter_reset(&net->filter);
    net->announce = net->offloads_chosen = false;
    net_set_offloads(net, 0);
    net_update_status(net);
}

static void net_close(struct mv_vdev *dev)
{
    struct net *net = net_of(dev);
    if (net->backing)
        net->backing->ops->close(net->backing);
}

static void net_save(const struct mv_vdev *dev, struct mv_writer *w)
{
    const struct net *net = (const void *)dev; /* its first member */
    net_filter_save(&net->filter, w);
    mv_put8(w, net->offloads_chosen);
    mv_put64(w, net->offloads);
    mv_put8(w, net->unplugged);
}

/* A guest that was moved announces itself, so that switches learn where it is now. */
static int net_load(struct mv_vdev *dev, struct mv_reader *r, uint32_t version,
                    microvm_error *err)
{
    struct net *net = net_of(dev);
    struct net_filter filter;
    (void)err;
    net_filter_load(&filter, r);
    bool chosen = mv_get8(r);
    uint64_t offloads = mv_get64(r);
    bool unplugged = version >= 2 ? mv_get8(r) : net->unplugged;
    if (r->failed)
        return 0;
    net->filter = filter;
    net->offloads_chosen = chosen;
    net->offloads = offloads & NET_F_GUEST;
    net->unplugged = unplugged;
    net->announce = true;
    return 0;
}

static const struct mv_vdev_class net_class = {
    .name = "virtio-net",
    .id = NET_ID,
    .queues = NET_QUEUES,
    .queue_size = NET_QUEUE_SIZE,
    .config_size = NET_CONFIG_BYTES,
    .live_size = NET_CONFIG_STATUS + 2, /* and the MAC, which the driver may set */
    .state_version = 2,                 /* 2: the cable */
    .close = net_close,
    .kick = net_kick,
    .start = net_start,
    .commit = net_commit,
    .waited = net_waited,
    .stop = net_stop,
    .reset = net_reset,
    .save = net_save,
    .load = net_load,
};

int mv_net_device_open(const struct mv_vdev_host *host, struct mv_net *backing,
                       const char *name, const uint8_t mac[6], struct mv_vdev **out,
                       microvm_error *err)
{
    struct mv_vdev *dev;
    int rc = mv_vdev_open(&net_class, sizeof(struct net), name, host, &dev, err);
    if (rc) {
        backing->ops->close(backing);
        return rc;
    }
    struct net *net = net_of(dev);
    net->backing = backing;
    memcpy(net->mac, mac, sizeof net->mac);
    memcpy(dev->config + NET_CONFIG_MAC, mac, sizeof net->mac);
    mv_store16(dev->config + NET_CONFIG_MTU, backing->mtu);
    dev->features |= net_features_of(backing);
    net_filter_reset(&net->filter);
    backing->user = (struct mv_net_user){net_receive_ready, net_transmit_ready,
                                         net_link_changed, dev};
    net_update_status(net);
    *out = dev;
    return 0;
}

void mv_net_device_set_limit(struct mv_vdev *dev, const struct mv_limit_rates *rates)
{
    struct net *net = net_of(dev);
    mv_limit_set(&net->limit[NET_RECEIVE], rates);
    mv_limit_set(&net->limit[NET_TRANSMIT], rates);
    if (dev->life == MV_VDEV_LIVE)
        net_waited(dev); /* what waited for the old one */
}

void mv_net_device_set_link(struct mv_vdev *dev, bool up)
{
    struct net *net = net_of(dev);
    net->unplugged = !up;
    net_update_status(net);
}

bool mv_net_device_has_link(struct mv_vdev *dev)
{
    struct net *net = net_of(dev);
    return net->backing->link && !net->unplugged;
}
