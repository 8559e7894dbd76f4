/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is made of a profile: the text that `wg setconf` wants (wg(8)), with addresses
 * where names were; which address is one of a prefix, and whether a profile has all
 * that it needs. */
#include "wgprofile.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* At least so often, or a tunnel that nobody uses is not told from one that is lost
 * (wgpeers.c). */
enum { KEEPALIVE_S = 25, MTU_MIN6 = 1280 };

bool wgprofile_covers(const struct wg_prefix *prefix, const struct wg_prefix *address)
{
    unsigned whole = prefix->bits / 8u, rest = prefix->bits % 8u;
    if (prefix->family != address->family ||
        memcmp(prefix->bytes, address->bytes, whole) != 0)
        return false;
    return !rest || !((prefix->bytes[whole] ^ address->bytes[whole]) >> (8 - rest));
}

const char *wgprofile_ip(const struct wg_prefix *address, char ip[64])
{
    (void)inet_ntop(address->family, address->bytes, ip, 64);
    return ip;
}

static bool whole_fails(char why[PROFILE_WHY_MAX], const char *what)
{
    (void)snprintf(why, PROFILE_WHY_MAX, "%s", what);
    return false;
}

bool wgprofile_whole(const struct wg_profile *p, char why[PROFILE_WHY_MAX])
{
    bool endpoint = false, ipv6 = false;
    for (unsigned i = 0; i < p->peers; i++)
        endpoint |= p->peer[i].host[0] != '\0';
    for (unsigned i = 0; i < p->addresses; i++)
        ipv6 |= p->address[i].family == AF_INET6;
    if (!p->key[0])
        return whole_fails(why, "[Interface] has no PrivateKey");
    if (!p->addresses)
        return whole_fails(why, "[Interface] has no Address");
    if (!endpoint)
        return whole_fails(why,
                           "no [Peer] has an Endpoint: there is nobody to connect to");
    if (ipv6 && p->mtu && p->mtu < MTU_MIN6)
        return whole_fails(why, "MTU is below 1280, and there is an IPv6 address");
    return true;
}

struct writer {
    char *at;
    size_t left;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *w,
                                                      const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(w->at, w->left, format, args);
    va_end(args);
    size_t length = n > 0 && (size_t)n < w->left ? (size_t)n : 0;
    w->at += length;
    w->left -= length;
}

static void peer_write(struct writer *w, const struct wg_profile *profile,
                       const struct wg_peer *peer, const struct wg_prefix *endpoint)
{
    char ip[64];
    unsigned keepalive_s = peer->keepalive_s;
    put(w, "[Peer]\nPublicKey=%s\n", peer->key);
    if (peer->shared[0])
        put(w, "PresharedKey=%s\n", peer->shared);
    for (unsigned i = 0; i < peer->allowed; i++) {
        const struct wg_prefix *p = &profile->allowed[peer->first + i];
        put(w, "%s%s/%u", i ? "," : "AllowedIPs=", wgprofile_ip(p, ip), p->bits);
    }
    if (peer->allowed)
        put(w, "\n");
    if (!peer->host[0])
        return;
    put(w, endpoint->family == AF_INET6 ? "Endpoint=[%s]:%u\n" : "Endpoint=%s:%u\n",
        wgprofile_ip(endpoint, ip), peer->port);
    put(w, "PersistentKeepalive=%u\n",
        keepalive_s && keepalive_s < KEEPALIVE_S ? keepalive_s : KEEPALIVE_S);
}

size_t wgprofile_write(const struct wg_profile *profile,
                       const struct wg_prefix endpoint[WG_PEERS_MAX], uint32_t mark,
                       char out[WG_CONFIG_MAX])
{
    struct writer w = {out, WG_CONFIG_MAX};
    put(&w, "[Interface]\nPrivateKey=%s\n", profile->key);
    if (profile->port)
        put(&w, "ListenPort=%u\n", profile->port);
    if (mark || profile->mark)
        put(&w, "FwMark=0x%x\n", mark ? mark : profile->mark);
    for (unsigned i = 0; i < profile->peers; i++)
        peer_write(&w, profile, &profile->peer[i], &endpoint[i]);
    return WG_CONFIG_MAX - w.left;
}
