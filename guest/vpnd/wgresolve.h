/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The addresses of a profile's servers. */
#ifndef VPND_WGRESOLVE_H
#define VPND_WGRESOLVE_H

#include "wgprofile.h"

enum { WGRESOLVE_AGAIN = 2 };

/* What is written as an address. False: some server has a name. */
bool wgresolve_plain(const struct wg_profile *profile,
                     struct wg_prefix endpoint[WG_PEERS_MAX]);
/* In a process of its own, because it waits: prints what wgresolve_read reads. Its exit
 * status: 0; WGRESOLVE_AGAIN, another time it may work; or 1. It has printed why. */
int wgresolve(const struct wg_profile *profile, uint32_t mark);
/* False: that is not what it prints. */
bool wgresolve_read(const char *text, const struct wg_profile *profile,
                    struct wg_prefix endpoint[WG_PEERS_MAX]);

#endif
