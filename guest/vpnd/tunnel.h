/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The tunnel: what it is doing, and what may be asked of it. One at a time. It drives
 * OpenVPN through its management interface, or WireGuard, and answers for it.
 */
#ifndef VPND_TUNNEL_H
#define VPND_TUNNEL_H

#include "proto/vpn.h"

enum tunnel_state {
    TUNNEL_IDLE,
    TUNNEL_CONNECTING,
    TUNNEL_ASKING,  /* the user is to answer `challenge` */
    TUNNEL_WEBAUTH, /* the user is to open `auth_url` */
    TUNNEL_CONNECTED,
    TUNNEL_RECONNECTING,
    TUNNEL_PAUSED,
    TUNNEL_STOPPING,
    TUNNEL_FAILED /* `error` says why */
};

enum {
    TUNNEL_ERROR_MAX = 400,
    TUNNEL_URL_MAX = 1100,   /* OpenVPN's control messages have 1024 bytes */
    TUNNEL_PROFILE_MAX = 140 /* a name */
};

struct tunnel_view {
    enum tunnel_state state;
    unsigned run; /* of a start that began something: each has its own number */
    char profile[TUNNEL_PROFILE_MAX];
    char tun_ip[64];
    char auth_url[TUNNEL_URL_MAX];
    char challenge[TUNNEL_URL_MAX];
    char error[TUNNEL_ERROR_MAX];
};

struct tunnel_settings {
    const char *openvpn, *wg, *wireguard_go; /* programs */
    const char *folder; /* for the socket, and what is to be put back */
    const char *resolv; /* resolv.conf */
    bool scripts;       /* OpenVPN's profiles may run programs */
    bool verbose;       /* what those programs say, on standard error */
};

bool tunnel_open(const struct tunnel_settings *settings);
const struct tunnel_view *tunnel_view(void);
const char *tunnel_state_name(enum tunnel_state state);

/* False: `error` of `why` says what is wrong, and nothing has changed. What runs
 * already with another profile or other credentials, and is not connected, is ended
 * first. */
bool tunnel_start(const struct vpn_request *request, char why[TUNNEL_ERROR_MAX]);
void tunnel_stop(void);
void tunnel_pause(void);
void tunnel_resume(void);
/* Something runs, or is to be started. */
bool tunnel_runs(void);

#endif
