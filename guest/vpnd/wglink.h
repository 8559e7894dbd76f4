/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* WireGuard's interface and routes in the kernel (rtnetlink(7)). Each is an errno, or
 * 0.
 */
#ifndef VPND_WGLINK_H
#define VPND_WGLINK_H

#include "wgprofile.h"

#define WGLINK_NAME "tun0"

/* EOPNOTSUPP: this kernel has no WireGuard. */
int wglink_make(void);
/* Takes away an interface that wglink_make has made, and each way that wglink_keep_way
 * has kept, also those of another run of this program. */
void wglink_remove(void);

int wglink_address(const struct wg_prefix *address);
int wglink_up(unsigned mtu);
/* Into the interface; one of no bits as two of one, which leave the old one as it is.
 */
int wglink_route(const struct wg_prefix *to);
/* The way to a server as it is now, before routes into the interface cover it. */
int wglink_keep_way(const struct wg_prefix *server);

#endif
