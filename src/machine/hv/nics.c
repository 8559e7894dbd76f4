/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The machine's network devices: backing and device for each, its name, its address.
 */
#include "machine/hv/hv_machine.h"

#include "backing/net_callback.h"
#include "backing/net_user.h"
#include "util/bytes.h"

#include <stdio.h>

enum { MAC_BYTES = 6 };

/* FNV-1a, 64 bits (RFC 9923); the text's end counts, too. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    const uint64_t prime = 0x100000001b3;
    for (; text && *text; text++)
        hash = (hash ^ (uint8_t)*text) * prime;
    return hash * prime;
}

/* An address that stays the same from start to start, and differs between machines by
 * name, between devices of one, and between places of the same host, for machines that
 * have no name. The first byte says: locally administered, of one station. */
static void nic_derive_mac(const struct hv_machine *m, const struct mv_net_config *net,
                           const char *id, uint8_t mac[MAC_BYTES])
{
    const uint64_t basis = 0xcbf29ce484222325;
    uint64_t hash = hash_text(basis, m->base.config.name);
    hash = hash_text(hash, id);
    hash = hash_text(hash, net->where);
    mac[0] = 0x52;
    for (unsigned i = 1; i < MAC_BYTES; i++)
        mac[i] = (uint8_t)(hash >> (8 * i));
}

/* The first user network has the machine's forwards. */
static int nic_open(struct hv_machine *m, struct mv_net_config config,
                    struct microvm_nic *nic, microvm_error *err)
{
    const struct mv_config *all = &m->base.config;
    struct mv_net_user_config user = {
        .program = all->netd, .forward = &all->publish, .rule = &all->egress};
    for (unsigned i = 0; i < m->nics; i++) {
        if (mv_net_is_user(m->nic[i].net))
            user.forward = NULL;
    }
    config.user = &user;
    return mv_net_open(&config, &m->base.loop, &m->base.log, &nic->net, err);
}

static void nic_link_changed(void *owner)
{
    mv_nic_link_changed(owner);
}

int hv_nics_add(struct hv_machine *m, const struct mv_net_config *config,
                microvm_nic **out, microvm_error *err)
{
    struct mv_vdev_host host = hv_slots_host(m);
    struct microvm_nic *nic = &m->nic[m->nics];
    struct mv_limit_rates rates;
    *nic = (struct microvm_nic){.vm = &m->base};
    (void)mv_config_net_name(config->id, m->nics, nic->id);
    if (config->has_mac)
        memcpy(nic->mac, config->mac, sizeof nic->mac);
    else
        nic_derive_mac(m, config, nic->id, nic->mac);
    int rc = nic_open(m, *config, nic, err);
    if (!rc)
        rc = mv_net_device_open(&host, nic->net, nic->id, nic->mac, &nic->dev, err);
    if (rc)
        return rc;
    nic->net->owner = (struct mv_net_owner){nic_link_changed, nic};
    if (mv_config_limit_of(&m->base.config, MV_LIMIT_NET, nic->id, NULL, &rates))
        mv_net_device_set_limit(nic->dev, &rates);
    rc = hv_slots_add_nic(m, nic, err);
    if (rc)
        return rc;
    m->nics++;
    if (out)
        *out = nic;
    return 0;
}

int hv_nics_find(struct hv_machine *m, const char *id, microvm_nic **out,
                 microvm_error *err)
{
    for (unsigned i = 0; i < m->nics; i++) {
        if (!id || !strcmp(m->nic[i].id, id)) {
            *out = &m->nic[i];
            return 0;
        }
    }
    if (!id || !m->nics)
        return mv_fail(err, MICROVM_E_INVALID, "net: this machine has no such device");
    return mv_fail(err, MICROVM_E_INVALID, "net: this machine has no device '%s'", id);
}

bool hv_nics_at(struct hv_machine *m, unsigned index, microvm_nic **out)
{
    if (index >= m->nics)
        return false;
    *out = &m->nic[index];
    return true;
}

int hv_nics_find_user(struct hv_machine *m, microvm_nic **out, microvm_error *err)
{
    for (unsigned i = 0; i < m->nics; i++) {
        if (mv_net_is_user(m->nic[i].net)) {
            *out = &m->nic[i];
            return 0;
        }
    }
    return mv_fail(err, MICROVM_E_UNSUPPORTED,
                   "publish: this machine has no user network; say net=user");
}

void hv_nics_end(struct hv_machine *m)
{
    for (unsigned i = 0; i < m->nics; i++) {
        if (mv_net_is_callback(m->nic[i].net))
            mv_net_callback_end(m->nic[i].net);
    }
}

void hv_nics_stats(const struct hv_machine *m, microvm_stats *out)
{
    for (unsigned i = 0; i < m->nics; i++) {
        struct mv_net *net = m->nic[i].net;
        out->net_received_bytes += net->received_bytes;
        out->net_received_frames += net->received_frames;
        out->net_received_drops += net->received_drops;
        out->net_sent_bytes += net->sent_bytes;
        out->net_sent_frames += net->sent_frames;
        out->net_sent_drops += net->sent_drops;
    }
}
