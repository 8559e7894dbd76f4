/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Names into addresses beside the loop: the C library's resolver waits, so a few
 * threads do nothing but that. It reads /etc/resolv.conf each time: the servers that a
 * VPN has brought count at once.
 */
#ifndef GUEST_NAMES_H
#define GUEST_NAMES_H

#include "guest/lib/loop.h"
#include "proto/proxy.h"

#include <sys/socket.h>

enum { NAMES_ADDRESSES = 8 };

/* One question. The pool's from names_ask until `answered`, unless the asker leaves. */
struct name {
    struct proxy_target target;
    /* On the loop. `error` is getaddrinfo's, 0: `count` addresses are there. */
    void (*answered)(struct name *name);
    void *ctx;
    int error;
    unsigned count;
    struct sockaddr_storage address[NAMES_ADDRESSES];
    socklen_t length[NAMES_ADDRESSES];
    struct name *next;
    struct later later;
};

bool names_open(void);
/* An address as text is not asked for, but answered later, too. NULL: there is no
 * memory, or too many questions wait. */
struct name *names_ask(const struct proxy_target *target,
                       void (*answered)(struct name *name), void *ctx);
/* The asker has gone: `answered` is not called any more. */
void names_leave(struct name *name);
/* After `answered`. */
void names_free(struct name *name);

#endif
