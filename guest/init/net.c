/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The guest's network as the kernel's command line gives it (proto/boot.md): loopback,
 * and one interface with an IPv4 address, a way out and name servers. IPv6 is the
 * kernel's own work (router advertisements).
 *
 * There is no DHCP client in here. The user network's addresses are known before the
 * guest starts; for others the kernel asks (ip=dhcp), or the image's own client does,
 * beside everything else and for as long as the guest runs.
 */
#include "net.h"

#include "launch.h"
#include "system.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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

/* ---- DHCP ------------------------------------------------------------------------ */

static bool has_address(int fd)
{
    struct ifreq request = {0};
    (void)strcpy(request.ifr_name, interface);
    return ioctl(fd, SIOCGIFADDR, &request) == 0;
}

/* What the kernel was told when it asked: lines of resolv.conf, and others. */
static void take_kernels_servers(void)
{
    static char text[SERVERS_MAX][INET_ADDRSTRLEN];
    struct setting setting = {.routed = false};
    char line[128];
    FILE *file = fopen("/proc/net/pnp", "re");
    while (file && setting.servers < SERVERS_MAX && fgets(line, sizeof line, file))
        if (sscanf(line, "nameserver %15s", text[setting.servers]) == 1) {
            setting.server[setting.servers] = text[setting.servers];
            setting.servers++;
        }
    if (file)
        (void)fclose(file);
    if (setting.servers)
        write_servers(&setting);
}

/* The first client that there is. What they say goes nowhere. */
static void start_client(void)
{
    static char udhcpc[] = "udhcpc", dhcpcd[] = "dhcpcd", dhclient[] = "dhclient";
    static char stay[] = "-f", on[] = "-i", stay_too[] = "-B", debug[] = "-d";
    static char eth[] = "eth0", path[] = "PATH=" LAUNCH_PATH;
    static char *const clients[][5] = {
        {udhcpc, stay, on, eth}, {dhcpcd, stay_too, eth}, {dhclient, debug, eth}};
    static char *const env[] = {path, NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    bool started = false;
    for (unsigned i = 0; !started && i < sizeof clients / sizeof clients[0]; i++) {
        struct launch_failure failure;
        const struct launch launch = {
            .argv = clients[i], .env = env, .fd = {null, null, null}};
        started = launch_run(&launch, &failure) > 0;
    }
    (void)close(null);
    if (!started)
        system_say("microvm.net=dhcp: the image has no DHCP client (udhcpc, dhcpcd, "
                   "dhclient); ip=dhcp has the kernel ask, if it can");
}

static void open_dhcp(int fd)
{
    if (has_address(fd))
        return;
    if (link_up(fd, interface))
        start_client();
    else
        system_say("%s: %s", interface, strerror(errno));
}

void net_open(void)
{
    char text[PARAMETER_BYTES];
    struct setting setting = {.routed = false};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return; /* a kernel without a network */
    (void)link_up(fd, "lo");
    take_kernels_servers();
    if (system_parameter("microvm.net", text, sizeof text)) {
        if (!strcmp(text, "dhcp"))
            open_dhcp(fd);
        else if (!parse(text, &setting))
            system_say("microvm.net=: neither dhcp nor ADDRESS/PREFIX,GATEWAY,SERVER");
        else if (!apply(fd, &setting))
            system_say("%s: %s", interface, strerror(errno));
        else if (setting.servers)
            write_servers(&setting);
    }
    (void)close(fd);
}
