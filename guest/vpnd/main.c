/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * vpnd: the VPN of this guest, for the host (proto/vpn.md). One thread that never waits
 * for anybody; OpenVPN is a process of its own. It ends when it is asked to, or by
 * SIGTERM, and takes the tunnel down before it goes.
 */
#define _GNU_SOURCE
#include "client.h"
#include "commands.h"
#include "gate.h"
#include "guest/lib/timer.h"
#include "store.h"
#include "tunnel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

enum { BACKLOG = 128, END_MS = 5000, PLACES = 4 };

static const char usage[] =
    "Usage: vpnd [OPTIONS]\n\n"
    "Connects this guest to VPNs, as the host asks.\n\n"
    "  -l, --listen PLACE     where: vsock:PORT or tcp:ADDR:PORT, up to four times\n"
    "                         (vsock:1025)\n"
    "  -d, --profiles FOLDER  where profiles are kept (/var/lib/vpnd/profiles)\n"
    "  -r, --run FOLDER       for sockets and the secret (/run/vpnd)\n"
    "  -e, --openvpn PROGRAM  (/usr/sbin/openvpn)\n"
    "      --wg PROGRAM       (/usr/bin/wg)\n"
    "      --wireguard-go PROGRAM  (/usr/bin/wireguard-go), where the kernel has no\n"
    "                         WireGuard\n"
    "      --resolv-conf FILE gets the VPN's name servers (/etc/resolv.conf)\n"
    "  -a, --auth             requests must carry the secret, which the first who asks\n"
    "                         for it gets\n"
    "  -o, --only             nothing leaves this guest but through the VPN, and to its\n"
    "                         server; it stays so when vpnd ends\n"
    "      --only=if-possible and where the kernel cannot do that, it goes on without,\n"
    "                         after a warning\n"
    "      --allow-scripts    profiles may run programs, and name other files\n"
    "  -v, --verbose          what OpenVPN says\n"
    "  -h, --help             this text\n\n"
    "Example: vpnd --listen tcp:127.0.0.1:1025 --auth\n";

static bool ending;

static void fail(const char *what)
{
    (void)fprintf(stderr, "vpnd: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void wrong(const char *what, const char *value)
{
    (void)fprintf(stderr, "vpnd: %s '%s'; see vpnd --help\n", what, value);
    exit(2);
}

/* ---- where it listens ------------------------------------------------------------ */

static int listen_on(const char *place, const void *address, socklen_t length)
{
    const int on = 1;
    int family = ((const struct sockaddr *)address)->sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        fail(place);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, address, length) || listen(fd, BACKLOG))
        fail(place);
    return fd;
}

static uint32_t port_of(const char *text, const char *place)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value > UINT32_MAX - 1)
        wrong("no port in", place);
    return (uint32_t)value;
}

static int listen_tcp(const char *text, const char *place)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    int length = colon ? (int)(colon - text) : 0;
    if (length < 1 || length >= (int)sizeof host)
        wrong("a place is vsock:PORT or tcp:ADDR:PORT, not", place);
    (void)snprintf(host, sizeof host, "%.*s", length, text);
    uint32_t port = port_of(colon + 1, place);
    if (port > UINT16_MAX)
        wrong("no port in", place);
    address.sin_port = htons((uint16_t)port);
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        wrong("no IPv4 address in", place);
    return listen_on(place, &address, sizeof address);
}

static void listen_at(const char *place)
{
    int fd = -1;
    if (!strncmp(place, "vsock:", 6)) {
        const struct sockaddr_vm address = {.svm_family = AF_VSOCK,
                                            .svm_cid = VMADDR_CID_ANY,
                                            .svm_port = port_of(place + 6, place)};
        fd = listen_on(place, &address, sizeof address);
    } else if (!strncmp(place, "tcp:", 4)) {
        fd = listen_tcp(place + 4, place);
    } else {
        wrong("a place is vsock:PORT or tcp:ADDR:PORT, not", place);
    }
    if (!clients_listen(fd, commands_request, commands_gone))
        fail(place);
}

/* ---- the program ----------------------------------------------------------------- */

struct options {
    const char *listen[PLACES];
    unsigned places;
    const char *profiles;
    bool auth;
    bool only;        /* nothing leaves but through the tunnel */
    bool if_possible; /* and where the kernel has no rules for that, it is said */
    struct tunnel_settings tunnel;
};

static void only_read(const char *value, struct options *o)
{
    if (value && strcmp(value, "if-possible") != 0)
        wrong("--only, or --only=if-possible, not", value);
    o->only = true;
    o->if_possible = value;
}

static void options_read(int argc, char **argv, struct options *o)
{
    enum { RESOLV = 256, SCRIPTS, WG, WIREGUARD_GO };
    static const struct option known[] = {
        {"listen", required_argument, NULL, 'l'},
        {"profiles", required_argument, NULL, 'd'},
        {"run", required_argument, NULL, 'r'},
        {"openvpn", required_argument, NULL, 'e'},
        {"wg", required_argument, NULL, WG},
        {"wireguard-go", required_argument, NULL, WIREGUARD_GO},
        {"resolv-conf", required_argument, NULL, RESOLV},
        {"auth", no_argument, NULL, 'a'},
        {"only", optional_argument, NULL, 'o'},
        {"allow-scripts", no_argument, NULL, SCRIPTS},
        {"verbose", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    int c;
    while ((c = getopt_long(argc, argv, "l:d:r:e:aovh", known, NULL)) != -1) {
        if (c == 'l' && o->places == PLACES)
            wrong("more places than four:", optarg);
        else if (c == 'l')
            o->listen[o->places++] = optarg;
        else if (c == 'd')
            o->profiles = optarg;
        else if (c == 'r')
            o->tunnel.folder = optarg;
        else if (c == 'e')
            o->tunnel.openvpn = optarg;
        else if (c == WG)
            o->tunnel.wg = optarg;
        else if (c == WIREGUARD_GO)
            o->tunnel.wireguard_go = optarg;
        else if (c == RESOLV)
            o->tunnel.resolv = optarg;
        else if (c == 'a')
            o->auth = true;
        else if (c == 'o')
            only_read(optarg, o);
        else if (c == SCRIPTS)
            o->tunnel.scripts = true;
        else if (c == 'v')
            o->tunnel.verbose = true;
        else if (c == 'h')
            exit(fputs(usage, stdout) < 0);
        else
            exit(2); /* getopt has said why */
    }
    if (optind < argc)
        wrong("unknown word", argv[optind]);
}

static void signal_heard(struct watch *watch, uint32_t events)
{
    struct signalfd_siginfo info;
    (void)events;
    (void)!read(watch->fd, &info, sizeof info);
    ending = true;
}

static void signals_watch(void)
{
    static struct watch watch;
    sigset_t set;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0 || !watch_add(&watch, fd, EPOLLIN, signal_heard))
        fail("it cannot watch signals");
}

static void turn(int64_t most_ms)
{
    int64_t wait_ms = timers_wait_ms();
    loop_turn(wait_ms < 0 || (most_ms >= 0 && most_ms < wait_ms) ? most_ms : wait_ms);
    timers_run();
    commands_turn();
}

int main(int argc, char **argv)
{
    struct options o = {.profiles = "/var/lib/vpnd/profiles",
                        .tunnel = {.openvpn = "/usr/sbin/openvpn",
                                   .wg = "/usr/bin/wg",
                                   .wireguard_go = "/usr/bin/wireguard-go",
                                   .folder = "/run/vpnd",
                                   .resolv = "/etc/resolv.conf"}};
    options_read(argc, argv, &o);
    if (!o.places)
        o.listen[o.places++] = "vsock:1025";
    (void)umask(077);
    if (!loop_open())
        fail("it cannot start");
    signals_watch();
    if (!store_open(o.profiles, o.tunnel.scripts))
        fail(o.profiles);
    if (!tunnel_open(&o.tunnel))
        fail(o.tunnel.folder);
    if (o.only && !gate_close("tun0", o.if_possible))
        fail("--only");
    if (!commands_open(o.tunnel.folder, o.auth))
        fail(o.tunnel.folder);
    for (unsigned i = 0; i < o.places; i++)
        listen_at(o.listen[i]);
    while (!ending && !commands_shutdown())
        turn(-1);
    tunnel_stop();
    int64_t until_ms = loop_now_ms() + END_MS;
    while ((tunnel_runs() || clients_busy()) && loop_now_ms() < until_ms)
        turn(until_ms - loop_now_ms());
    clients_close();
    return 0;
}
