/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The control queue, 5.1.6.5: which frames the driver wants (modes and a table of
 * addresses), its own address, which offloads it takes, and that it has announced
 * itself. A command is copied whole, then looked at; one that is unknown, was not
 * negotiated or has the wrong length is answered with VIRTIO_NET_ERR and changes
 * nothing.
 */
#include "virtio/net_impl.h"

enum { CONTROL_OK = 0, CONTROL_ERR = 1 };
enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_ANNOUNCE = 3, CLASS_GUEST_OFFLOADS = 5 };
enum { RX_PROMISC = 0, RX_ALLMULTI = 1 };
enum { MAC_TABLE_SET = 0, MAC_ADDR_SET = 1 };
enum { ANNOUNCE_ACK = 0 };
enum { GUEST_OFFLOADS_SET = 0 };
enum { CONTROL_HEADER_BYTES = 2 }; /* class, command */

/* -- the filter -- */

void net_filter_reset(struct net_filter *filter)
{
    *filter = (struct net_filter){.promiscuous = true};
}

static bool addresses_have(const struct net_addresses *list, const uint8_t *mac)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (!memcmp(list->mac[i], mac, NET_MAC_BYTES))
            return true;
    }
    return list->all;
}

bool net_filter_wants(const struct net *net, const uint8_t destination[NET_MAC_BYTES])
{
    static const uint8_t broadcast[NET_MAC_BYTES] = {0xff, 0xff, 0xff,
                                                     0xff, 0xff, 0xff};
    const struct net_filter *filter = &net->filter;
    if (filter->promiscuous)
        return true;
    if (destination[0] & 1)
        return filter->all_multicast || !memcmp(destination, broadcast, 6) ||
               addresses_have(&filter->multicast, destination);
    return !memcmp(destination, net->dev.config + NET_CONFIG_MAC, NET_MAC_BYTES) ||
           addresses_have(&filter->unicast, destination);
}

static void addresses_save(const struct net_addresses *list, struct mv_writer *w)
{
    mv_put8(w, list->all);
    mv_put32(w, list->count);
    for (uint32_t i = 0; i < list->count; i++)
        mv_put_bytes(w, list->mac[i], NET_MAC_BYTES);
}

/* More than fit are not believed: then everything of the kind is let in. */
static void addresses_load(struct net_addresses *list, struct mv_reader *r)
{
    list->all = mv_get8(r);
    list->count = mv_get32(r);
    if (list->count > NET_FILTER_MAX) {
        list->count = 0;
        r->failed = true;
    }
    for (uint32_t i = 0; i < list->count; i++)
        mv_get_bytes(r, list->mac[i], NET_MAC_BYTES);
}

void net_filter_save(const struct net_filter *filter, struct mv_writer *w)
{
    mv_put8(w, filter->promiscuous);
    mv_put8(w, filter->all_multicast);
    addresses_save(&filter->unicast, w);
    addresses_save(&filter->multicast, w);
}

void net_filter_load(struct net_filter *filter, struct mv_reader *r)
{
    filter->promiscuous = mv_get8(r);
    filter->all_multicast = mv_get8(r);
    addresses_load(&filter->unicast, r);
    addresses_load(&filter->multicast, r);
}

/* -- commands -- */

/* A command's data, read from front to back. */
struct command {
    const struct mv_chain *chain;
    uint32_t at, left;
};

/* False, and nothing taken, if there are fewer bytes. */
static bool command_take(struct command *c, void *to, uint32_t length)
{
    if (length > c->left)
        return false;
    (void)mv_chain_read(c->chain, c->at, to, length);
    c->at += length;
    c->left -= length;
    return true;
}

static bool control_rx(struct net *net, uint8_t what, struct command *c)
{
    uint8_t on;
    if (!(net->dev.negotiated & NET_F_CTRL_RX) || c->left != 1 ||
        !command_take(c, &on, 1))
        return false;
    if (what == RX_PROMISC)
        net->filter.promiscuous = on != 0;
    else if (what == RX_ALLMULTI)
        net->filter.all_multicast = on != 0;
    else
        return false;
    return true;
}

/* One half of the table: a count and so many addresses. */
static bool control_addresses(struct command *c, struct net_addresses *list)
{
    uint8_t raw[4];
    *list = (struct net_addresses){.all = false};
    if (!command_take(c, raw, sizeof raw))
        return false;
    uint32_t count = mv_load32(raw);
    if (count > c->left / NET_MAC_BYTES)
        return false;
    if (count > NET_FILTER_MAX) {
        list->all = true;
        c->at += count * NET_MAC_BYTES;
        c->left -= count * NET_MAC_BYTES;
        return true;
    }
    list->count = count;
    return command_take(c, list->mac, count * NET_MAC_BYTES);
}

static bool control_mac(struct net *net, uint8_t what, struct command *c)
{
    struct net_addresses unicast, multicast;
    uint8_t mac[NET_MAC_BYTES];
    uint64_t features = net->dev.negotiated;
    if (what == MAC_TABLE_SET && features & NET_F_CTRL_RX) {
        if (!control_addresses(c, &unicast) || !control_addresses(c, &multicast) ||
            c->left)
            return false;
        net->filter.unicast = unicast;
        net->filter.multicast = multicast;
        return true;
    }
    if (what == MAC_ADDR_SET && features & NET_F_CTRL_MAC_ADDR) {
        if (c->left != sizeof mac || !command_take(c, mac, sizeof mac))
            return false;
        uv_mutex_lock(&net->dev.config_lock); /* no news: the driver says it */
        memcpy(net->dev.config + NET_CONFIG_MAC, mac, sizeof mac);
        uv_mutex_unlock(&net->dev.config_lock);
        return true;
    }
    return false;
}

static bool control_announce(struct net *net, uint8_t what, const struct command *c)
{
    if (!(net->dev.negotiated & NET_F_GUEST_ANNOUNCE) || what != ANNOUNCE_ACK ||
        c->left)
        return false;
    net->announce = false;
    net_update_status(net);
    return true;
}

static bool control_offloads(struct net *net, uint8_t what, struct command *c)
{
    uint8_t raw[8];
    if (!(net->dev.negotiated & NET_F_GUEST_OFFLOADS) || what != GUEST_OFFLOADS_SET ||
        c->left != sizeof raw || !command_take(c, raw, sizeof raw))
        return false;
    uint64_t offloads = mv_load64(raw);
    if (offloads & ~(net->dev.negotiated & NET_F_GUEST))
        return false;
    net->offloads_chosen = true;
    net_set_offloads(net, offloads);
    return true;
}

static bool control_command(struct net *net, const struct mv_chain *chain)
{
    uint8_t header[CONTROL_HEADER_BYTES];
    if (mv_chain_read(chain, 0, header, sizeof header) < sizeof header)
        return false;
    struct command c = {chain, sizeof header,
                        chain->read_bytes - (uint32_t)sizeof header};
    switch (header[0]) {
    case CLASS_RX:
        return control_rx(net, header[1], &c);
    case CLASS_MAC:
        return control_mac(net, header[1], &c);
    case CLASS_ANNOUNCE:
        return control_announce(net, header[1], &c);
    case CLASS_GUEST_OFFLOADS:
        return control_offloads(net, header[1], &c);
    }
    return false;
}

static bool control_serve(struct mv_vdev *dev, unsigned q, const struct mv_chain *chain)
{
    if (chain->write_bytes == 0) {
        mv_vdev_fail(dev, "a control command without room for its answer");
        return false;
    }
    uint8_t ack = control_command(net_of(dev), chain) ? CONTROL_OK : CONTROL_ERR;
    (void)mv_chain_write(chain, 0, &ack, 1);
    mv_vq_push(&dev->vq[q], chain->head, 1);
    return true;
}

void net_control_kick(struct net *net)
{
    mv_vdev_serve(&net->dev, NET_CONTROL, control_serve);
}
