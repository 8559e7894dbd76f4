/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The kernel says that some interface has changed; which, and how, is asked again. */
#define _GNU_SOURCE
#include "link.h"

#include "gate.h"
#include "guest/lib/loop.h"

#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/rtnetlink.h>

static const char *link_name;
static void (*link_changed)(bool up);
static bool was_up;

bool link_is_up(void)
{
    struct ifreq request = {.ifr_flags = 0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)snprintf(request.ifr_name, sizeof request.ifr_name, "%s", link_name);
    bool up = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0 &&
              (request.ifr_flags & IFF_UP);
    if (fd >= 0)
        (void)close(fd);
    return up;
}

static void link_heard(struct watch *watch, uint32_t events)
{
    uint8_t news[8192];
    (void)events;
    while (recv(watch->fd, news, sizeof news, 0) > 0)
        continue;
    gate_links();
    bool up = link_is_up();
    if (up != was_up)
        link_changed(up);
    was_up = up;
}

bool link_watch(const char *name, void (*changed)(bool up))
{
    static struct watch watch;
    const struct sockaddr_nl address = {.nl_family = AF_NETLINK,
                                        .nl_groups = RTMGRP_LINK};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0)
        return false;
    if (bind(fd, (const void *)&address, sizeof address)) {
        (void)close(fd);
        return false;
    }
    link_name = name;
    link_changed = changed;
    was_up = link_is_up();
    return watch_add(&watch, fd, EPOLLIN, link_heard);
}
