/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The guest's network as the kernel's command line gives it (proto/boot.md): loopback,
 * and one interface with an IPv4 address, a way out and name servers. IPv6 is the
 * kernel's own work (router advertisements). There is no DHCP client: the user
 * network's addresses are known before the guest starts; a network that needs one has
 * its own.
 */
#include "net.h"

#include "system.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SERVERS_MAX = 3, PARAMETER_BYTES = 256 };

struct setting {
    struct in_addr address, mask, gateway;
    bool routed;
    const char *server[SERVERS_MAX];
    unsigned servers;
};

static const char interface[] = "eth0";

static bool link_up(int fd, const char *name)
{
    struct ifreq request = {0};
    (void)strcpy(request.ifr_name, name);
    if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        return false;
    request.ifr_flags |= IFF_UP;
    return ioctl(fd, SIOCSIFFLAGS, &request) == 0;
}

static bool set_address(int fd, unsigned long what, struct in_addr address)
{
    struct ifreq request = {0};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = address};
    (void)strcpy(request.ifr_name, interface);
    memcpy(&request.ifr_addr, &in, sizeof in);
    return ioctl(fd, (int)what, &request) == 0;
}

static bool add_route(int fd, struct in_addr gateway)
{
    struct sockaddr_in any = {.sin_family = AF_INET}, to = any;
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
    to.sin_addr = gateway;
    memcpy(&route.rt_dst, &any, sizeof any);
    memcpy(&route.rt_genmask, &any, sizeof any);
    memcpy(&route.rt_gateway, &to, sizeof to);
    return ioctl(fd, SIOCADDRT, &route) == 0;
}

static bool parse_prefix(char *text, struct setting *setting)
{
    char *end, *slash = strchr(text, '/');
    if (!slash)
        return false;
    *slash = '\0';
    unsigned long bits = strtoul(slash + 1, &end, 10);
    if (end == slash + 1 || *end || bits < 1 || bits > 32)
        return false;
    setting->mask.s_addr = htonl(UINT32_MAX << (32 - bits));
    return inet_pton(AF_INET, text, &setting->address) == 1;
}

/* ADDRESS/PREFIX[,GATEWAY[,SERVER]...] */
static bool parse(char *text, struct setting *setting)
{
    char *next = text, *word = strsep(&next, ",");
    struct in_addr server;
    if (!parse_prefix(word, setting))
        return false;
    word = strsep(&next, ",");
    setting->routed = word && *word;
    if (setting->routed && inet_pton(AF_INET, word, &setting->gateway) != 1)
        return false;
    while ((word = strsep(&next, ",")) && setting->servers < SERVERS_MAX) {
        if (inet_pton(AF_INET, word, &server) != 1)
            return false;
        setting->server[setting->servers++] = word;
    }
    return true;
}

/* An image's own resolv.conf is of another place, and often a link to nowhere. */
static void write_servers(const struct setting *setting)
{
    static const char path[] = "/etc/resolv.conf";
    (void)unlink(path);
    FILE *file = fopen(path, "we");
    if (!file) {
        system_say("%s: %s", path, strerror(errno));
        return;
    }
    for (unsigned i = 0; i < setting->servers; i++)
        (void)fprintf(file, "nameserver %s\n", setting->server[i]);
    if (fclose(file))
        system_say("%s: %s", path, strerror(errno));
}

static bool apply(int fd, const struct setting *setting)
{
    return set_address(fd, SIOCSIFADDR, setting->address) &&
           set_address(fd, SIOCSIFNETMASK, setting->mask) && link_up(fd, interface) &&
           (!setting->routed || add_route(fd, setting->gateway));
}

void net_open(void)
{
    char text[PARAMETER_BYTES];
    struct setting setting = {.routed = false};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return; /* a kernel without a network */
    (void)link_up(fd, "lo");
    if (system_parameter("microvm.net", text, sizeof text)) {
        if (!parse(text, &setting))
            system_say("microvm.net=: not ADDRESS/PREFIX,GATEWAY,SERVER");
        else if (!apply(fd, &setting))
            system_say("%s: %s", interface, strerror(errno));
        else if (setting.servers)
            write_servers(&setting);
    }
    (void)close(fd);
}
