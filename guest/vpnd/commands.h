/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What each request does, and its answer (proto/vpn.md). */
#ifndef VPND_COMMANDS_H
#define VPND_COMMANDS_H

#include "client.h"

/* `enforce`: requests carry the secret, which is made here, and written into `folder`.
 */
bool commands_open(const char *folder, bool enforce);
client_request commands_request;
client_gone commands_gone;
/* After each turn of the loop: answers those whose time has come. */
void commands_turn(void);
/* Somebody has asked for the end of this program. */
bool commands_shutdown(void);

#endif
