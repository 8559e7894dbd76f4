/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A WireGuard profile, in the format of wg-quick(8): what it may say here, and what it
 * says. Nothing in it runs a program or names a file. A key that is not known is
 * refused: the next version of wg-quick may know it. Pure.
 */
#ifndef VPND_WGPROFILE_H
#define VPND_WGPROFILE_H

#include "profile.h"

#include <stdint.h>

enum {
    WG_KEY_MAX = 45, /* 32 bytes in base64 */
    WG_HOST_MAX = 254,
    WG_ADDRESSES_MAX = 8,
    WG_SERVERS_MAX = 8,
    WG_PEERS_MAX = 32,
    WG_ALLOWED_MAX = 2048, /* of all peers */
    /* More than wgprofile_write writes of any profile. */
    WG_CONFIG_MAX = WG_ALLOWED_MAX * 64 + WG_PEERS_MAX * 512 + 512
};

struct wg_prefix {
    int family;
    uint8_t bits;
    uint8_t bytes[16]; /* of an address; of what is allowed, without its host's part */
};

struct wg_peer {
    char key[WG_KEY_MAX], shared[WG_KEY_MAX]; /* "": none */
    char host[WG_HOST_MAX]; /* "": it has no endpoint; an address or a name */
    uint16_t port, keepalive_s;
    unsigned first, allowed; /* of wg_profile.allowed */
};

struct wg_profile {
    char key[WG_KEY_MAX];
    struct wg_prefix address[WG_ADDRESSES_MAX], allowed[WG_ALLOWED_MAX];
    char server[WG_SERVERS_MAX][WG_HOST_MAX]; /* a name server, or a domain */
    struct wg_peer peer[WG_PEERS_MAX];
    unsigned addresses, servers, peers;
    uint32_t mark;
    uint16_t mtu, port; /* 0: as it comes */
    bool no_routes;
};

/* It is one of WireGuard's, though it may be wrong. */
bool wgprofile_is(const char *text, size_t size);
/* False: `why` names the line and the key. Of what is taken some peer has an endpoint.
 */
bool wgprofile_read(const char *text, size_t size, struct wg_profile *out,
                    char why[PROFILE_WHY_MAX]);
/* What has been read is all that there must be. */
bool wgprofile_whole(const struct wg_profile *profile, char why[PROFILE_WHY_MAX]);
/* The address in `text`, alone or with "/BITS". */
bool wgprofile_prefix(const char *text, struct wg_prefix *out);
bool wgprofile_covers(const struct wg_prefix *prefix, const struct wg_prefix *address);
/* The address as text. Returns `ip`. */
const char *wgprofile_ip(const struct wg_prefix *address, char ip[64]);

/* For `wg setconf` (wg(8)): `endpoint` has an address for each peer that has a host;
 * `mark` is put in place of the profile's when it is not 0. The length. */
size_t wgprofile_write(const struct wg_profile *profile,
                       const struct wg_prefix endpoint[WG_PEERS_MAX], uint32_t mark,
                       char out[WG_CONFIG_MAX]);

#endif
