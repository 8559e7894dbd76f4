/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The VPN gateway as a named machine: asking its daemon, and `microvm vpn up`.
 */
#ifndef CLI_VPN_H
#define CLI_VPN_H

#include "cli.h"

#include <microvm/runtime.h>

/* One question. *answer is to be freed either way; false after a message. The guest may
 * take `wait_ms` to listen. */
bool vpn_ask(const char *name, const microvm_vpn_request *request, int64_t wait_ms,
             microvm_vpn_answer *answer);
/* The same of a command that wants nothing more. */
bool vpn_ask_plain(const char *name, const char *command, microvm_vpn_answer *answer);

/* A guest's text without what moves our terminal. Returns `out`. */
const char *vpn_plain(const char *text, char *out, size_t size);

/* vpn_up.c: the exit status. */
int vpn_up(const struct args *args, const char *profile);

#endif
