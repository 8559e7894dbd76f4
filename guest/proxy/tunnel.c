/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The kernel's news of interfaces (rtnetlink(7)); which one it was is asked again. */
#define _GNU_SOURCE
#include "tunnel.h"

#include <linux/rtnetlink.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct dial_way *tunnel;
static void (*tunnel_down)(void);
static bool was_up;

static void tunnel_heard(struct watch *watch, uint32_t events)
{
    uint8_t news[8192];
    (void)events;
    while (recv(watch->fd, news, sizeof news, 0) > 0)
        continue;
    bool up = dial_way_is_up(tunnel);
    if (was_up && !up)
        tunnel_down();
    was_up = up;
}

bool tunnel_watch(const struct dial_way *way, void (*down)(void))
{
    static struct watch watch;
    const struct sockaddr_nl address = {.nl_family = AF_NETLINK,
                                        .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR |
                                                     RTMGRP_IPV6_IFADDR};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0)
        return false;
    if (bind(fd, (const void *)&address, sizeof address)) {
        (void)close(fd);
        return false;
    }
    tunnel = way;
    tunnel_down = down;
    was_up = dial_way_is_up(way);
    return watch_add(&watch, fd, EPOLLIN, tunnel_heard);
}
