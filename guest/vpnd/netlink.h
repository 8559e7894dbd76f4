/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages to the kernel about links, addresses, routes and rules (rtnetlink(7)). */
#ifndef VPND_NETLINK_H
#define VPND_NETLINK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

struct netlink {
    struct nlmsghdr header;
    union {
        struct fib_rule_hdr rule;
        struct ifinfomsg link;
        struct ifaddrmsg address;
        struct rtmsg route;
    };
    uint8_t attributes[256];
};

void netlink_begin(struct netlink *m, int type, int flags, size_t body);
void netlink_put(struct netlink *m, int type, const void *data, size_t size);
void netlink_put32(struct netlink *m, int type, uint32_t value);

/* The kernel's word to it: 0, or an errno. Each message that it sends before that, for
 * a question, goes to `fn`, which may be NULL. */
int netlink_send(const struct netlink *m,
                 void (*fn)(const struct nlmsghdr *answer, void *data), void *data);

/* An attribute of `size` bytes at least, behind a body of `body` bytes; NULL: it is not
 * there. */
const void *netlink_find(const struct nlmsghdr *answer, size_t body, int type,
                         size_t size);

#endif
