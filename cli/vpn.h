/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The VPN gateway as a named machine: asking its daemon, and `microvm vpn up`.
 */
#ifndef CLI_VPN_H
#define CLI_VPN_H

#include "cli.h"

#include <microvm/runtime.h>

/* One question, of a command that wants nothing more. *answer is to be freed either
 * way; false after a message. */
bool vpn_ask_plain(const char *name, const char *command, microvm_vpn_answer *answer);

/* The daemon, for who stays with it and hears signals meanwhile (cancel.h). As long as
 * its connection lasts, it is the same daemon. */
struct vpn_link {
    const char *name; /* the machine's */
    int fd;           /* -1: not connected */
    bool lost;        /* a connection has ended: another daemon may be there now */
    bool gone;        /* the machine has ended */
    microvm_error err;
};
/* False, without a message: a signal came (cancel_asked), the machine has gone, or
 * link->err says why. The guest may take `wait_ms` to listen. *answer is to be freed
 * either way. */
bool vpn_link_ask(struct vpn_link *link, const microvm_vpn_request *request,
                  int64_t wait_ms, microvm_vpn_answer *answer);
void vpn_link_close(struct vpn_link *link);

/* A guest's text without what moves our terminal. Returns `out`. */
const char *vpn_plain(const char *text, char *out, size_t size);

/* vpn_up.c: the exit status. */
int vpn_up(const struct args *args, const char *profile);

#endif
