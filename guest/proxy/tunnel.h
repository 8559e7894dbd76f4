/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Tells when the tunnel's interface goes: what went through it can go nowhere else. */
#ifndef GUEST_TUNNEL_H
#define GUEST_TUNNEL_H

#include "dial.h"

/* `down` is called when the interface is not up any more. */
bool tunnel_watch(const struct dial_way *way, void (*down)(void));

#endif
