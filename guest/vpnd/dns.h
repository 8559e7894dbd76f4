/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The name servers that a VPN brings, in resolv.conf while it is up; before and after,
 * what was there. Who asks for names reads that file each time (guest/proxy/names.h).
 */
#ifndef VPND_DNS_H
#define VPND_DNS_H

#include <stdbool.h>

/* Puts back what a killed daemon has left. */
void dns_open(const char *resolv, const char *folder);
/* Between dns_begin and dns_apply: NAME=VALUE of the interface's environment. */
void dns_begin(void);
void dns_take(const char *env);
/* The next name server, or a domain to search in. */
void dns_add(const char *text);
/* False: it brings none, or the file cannot be written (errno). */
bool dns_apply(void);
void dns_restore(void);

#endif
