/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The OpenVPN process: started with a profile, heard over its management interface,
 * which it connects to itself, and ended. No shell is in between.
 */
#ifndef VPND_OPENVPN_H
#define VPND_OPENVPN_H

#include <stdbool.h>

struct openvpn_settings {
    const char *program;
    const char *folder; /* of the socket */
    bool scripts, verbose;
    void (*line)(char *line);                  /* of the management interface */
    void (*ended)(int status, bool signalled); /* the process is no more */
};

bool openvpn_open(const struct openvpn_settings *settings);
/* False: errno. */
bool openvpn_start(const char *profile);
bool openvpn_runs(void);
/* A line to it; lost where it does not listen, as it is when it ends. */
void openvpn_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Asks it to end, and ends it when it does not. */
void openvpn_end(void);
/* The last that it printed which sounds like trouble; "" when nothing did. */
const char *openvpn_trouble(void);

#endif
