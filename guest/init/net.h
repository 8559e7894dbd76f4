/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The guest's network: net.c. */
#ifndef GUEST_INIT_NET_H
#define GUEST_INIT_NET_H

/* What cannot be done is said. */
void net_open(void);

#endif
