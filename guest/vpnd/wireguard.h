/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A tunnel of WireGuard's, from a profile: the kernel's, or, where that has none,
 * wireguard-go's (as wg-quick does). One at a time. There is no process to ask what
 * becomes of it: handshakes and counters are looked at, by `wg`.
 */
#ifndef VPND_WIREGUARD_H
#define VPND_WIREGUARD_H

#include "wgprofile.h"

struct wireguard_settings {
    const char *wg, *wireguard_go;     /* programs */
    void (*connected)(const char *ip); /* a handshake has happened, again perhaps */
    void (*silent)(void);              /* no peer is heard any more; it tries on */
    /* There is no tunnel, nor anything that is left of it. */
    void (*failed)(const char *what);
};

void wireguard_open(const struct wireguard_settings *settings);
/* False: `why`. */
bool wireguard_start(const char *path, char why[PROFILE_WHY_MAX]);
bool wireguard_runs(void);
/* Takes everything away at once, and tells nothing. */
void wireguard_end(void);

#endif
