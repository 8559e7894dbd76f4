/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Nothing leaves this guest but through the tunnel: rules of the kernel's routing
 * (ip-rule(8)), which stay when this program ends, however it ends. What passes
 * otherwise:
 *
 * - OpenVPN's and WireGuard's own sockets, by their mark: they go to the server;
 * - questions for names (port 53) of root's programs, while the server's address is
 *   looked for;
 * - what needs no route: packet sockets of root (a DHCP client's), sockets bound to an
 *   interface, to its neighbours;
 * - an interface that comes while no daemon runs.
 */
#ifndef VPND_GATE_H
#define VPND_GATE_H

#include <stdbool.h>

enum { GATE_MARK = 0x76706e64 };

/* Closes it. Where the kernel has no rules, that is said, and `if_possible` goes on
 * with the gate open. False: errno. */
bool gate_close(const char *tunnel, bool if_possible);
bool gate_is_closed(void);
/* Of no effect while the gate does not exist. Interfaces have come or gone: */
void gate_links(void);
/* Somebody begins to look for the server's name, or has ended that. */
void gate_names(bool open);

#endif
