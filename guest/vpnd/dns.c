/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * resolv.conf (resolv.conf(5)): the old one is kept in the daemon's folder, so that it
 * comes back even when this program is killed and started again. A file of an image may
 * be mounted, and cannot be replaced then: it is written in place. A DHCP client writes
 * the file again with each lease: what it writes is what will be put back, and the
 * VPN's name servers take its place at once.
 */
#define _GNU_SOURCE
#include "dns.h"

#include "guest/lib/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SERVERS_MAX = 3 /* resolv.conf(5) */, FILE_MAX = 64 * 1024, TEXT_MAX = 1024 };

static char resolv[PATH_MAX];
static char ours[TEXT_MAX]; /* what it says while the VPN is up; "" otherwise */
static struct watch news = WATCH_NONE;
static char kept[PATH_MAX];    /* the file as it was */
static char nothing[PATH_MAX]; /* is there when there was none */
static struct {
    unsigned long rank;
    char text[64];
} server[SERVERS_MAX];
static unsigned servers;
static char domain[256];

static bool write_file(const char *path, const char *text, size_t size)
{
    char beside[PATH_MAX];
    (void)snprintf(beside, sizeof beside, "%s.vpnd", path);
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    bool well = fd >= 0 && !fchmod(fd, 0644) && write(fd, text, size) == (ssize_t)size;
    if (fd >= 0)
        (void)close(fd);
    if (well && rename(beside, path) == 0)
        return true;
    (void)unlink(beside);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    well = fd >= 0 && write(fd, text, size) == (ssize_t)size;
    if (fd >= 0)
        (void)close(fd);
    return well;
}

/* -1: it is not there. */
static ssize_t read_file(const char *path, char text[FILE_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, text, FILE_MAX);
    if (fd >= 0)
        (void)close(fd);
    return n;
}

static bool is_kept(void)
{
    return access(kept, F_OK) == 0 || access(nothing, F_OK) == 0;
}

static bool put(void)
{
    return write_file(resolv, ours, strlen(ours));
}

static bool keep(void)
{
    char text[FILE_MAX];
    ssize_t n = read_file(resolv, text);
    return n < 0 ? write_file(nothing, "", 0) : write_file(kept, text, (size_t)n);
}

/* Something in its folder has changed, by us too. */
static void news_heard(struct watch *watch, uint32_t events)
{
    char text[FILE_MAX];
    (void)events;
    while (read(watch->fd, text, sizeof text) > 0)
        continue;
    if (!ours[0])
        return;
    ssize_t n = read_file(resolv, text);
    if (n <= 0 || ((size_t)n == strlen(ours) && !memcmp(text, ours, (size_t)n)))
        return; /* ours, or not written yet */
    (void)unlink(nothing);
    if (keep())
        (void)put();
}

static void news_watch(void)
{
    char folder[PATH_MAX];
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    (void)snprintf(folder, sizeof folder, "%s", resolv);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = '\0';
    if (fd >= 0 &&
        inotify_add_watch(fd, slash ? folder : ".", IN_CLOSE_WRITE | IN_MOVED_TO) >= 0)
        (void)watch_add(&news, fd, EPOLLIN, news_heard);
}

void dns_open(const char *path, const char *folder)
{
    if (!realpath(path, resolv))
        (void)snprintf(resolv, sizeof resolv, "%s", path);
    news_watch();
    (void)snprintf(kept, sizeof kept, "%s/resolv.conf", folder);
    (void)snprintf(nothing, sizeof nothing, "%s/resolv.none", folder);
    dns_restore();
}

void dns_begin(void)
{
    servers = 0;
    domain[0] = '\0';
}

/* In the order of their numbers, which is not that of the environment. */
static void server_add(const char *text, unsigned long rank)
{
    char bytes[16];
    unsigned at = 0;
    if (strlen(text) >= sizeof server[0].text ||
        (inet_pton(AF_INET, text, bytes) != 1 && inet_pton(AF_INET6, text, bytes) != 1))
        return;
    while (at < servers && server[at].rank <= rank)
        at++;
    if (at == SERVERS_MAX)
        return;
    servers += servers < SERVERS_MAX;
    memmove(&server[at + 1], &server[at], (servers - at - 1) * sizeof server[0]);
    server[at].rank = rank;
    (void)snprintf(server[at].text, sizeof server[at].text, "%s", text);
}

static void domain_set(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789.-_");
    if (length > 0 && length < sizeof domain && !text[length])
        (void)snprintf(domain, sizeof domain, "%s", text);
}

/* foreign_option_1=dhcp-option DNS 10.8.0.1, or, since OpenVPN 2.6,
 * dns_server_1_address_1=10.8.0.1 and dns_search_domain_1=... */
void dns_take(const char *env)
{
    static const char dns[] = "dhcp-option DNS ", dns6[] = "dhcp-option DNS6 ";
    static const char option[] = "dhcp-option DOMAIN ";
    const char *value = strchr(env, '=');
    if (!value)
        return;
    value++;
    if (!strncmp(env, "foreign_option_", 15)) {
        unsigned long rank = strtoul(env + 15, NULL, 10);
        if (!strncmp(value, dns, sizeof dns - 1))
            server_add(value + sizeof dns - 1, rank);
        else if (!strncmp(value, dns6, sizeof dns6 - 1))
            server_add(value + sizeof dns6 - 1, rank);
        else if (!strncmp(value, option, sizeof option - 1))
            domain_set(value + sizeof option - 1);
    } else if (!strncmp(env, "dns_server_", 11) && strstr(env, "_address_")) {
        const char *second = strstr(env, "_address_") + 9;
        server_add(value,
                   100 * strtoul(env + 11, NULL, 10) + strtoul(second, NULL, 10));
    } else if (!strncmp(env, "dns_search_domain_1=", 20)) {
        domain_set(value);
    }
}

void dns_add(const char *text)
{
    unsigned had = servers;
    size_t length = strlen(domain);
    server_add(text, servers);
    if (servers == had && !strpbrk(text, ":/") &&
        strspn(text, "0123456789.") != strlen(text) &&
        length + strlen(text) + 2 <= sizeof domain)
        (void)snprintf(domain + length, sizeof domain - length, "%s%s",
                       length ? " " : "", text);
}

bool dns_apply(void)
{
    errno = 0;
    if (servers == 0 || (!is_kept() && !keep()))
        return false;
    int n = snprintf(ours, sizeof ours, "# of the VPN, while it is up\n");
    if (domain[0])
        n += snprintf(ours + n, sizeof ours - (size_t)n, "search %s\n", domain);
    for (unsigned i = 0; i < servers; i++)
        n += snprintf(ours + n, sizeof ours - (size_t)n, "nameserver %s\n",
                      server[i].text);
    return put();
}

void dns_restore(void)
{
    char text[FILE_MAX];
    ours[0] = '\0';
    if (access(nothing, F_OK) == 0)
        (void)unlink(resolv);
    ssize_t n = read_file(kept, text);
    if (n >= 0)
        (void)write_file(resolv, text, (size_t)n);
    (void)unlink(nothing);
    (void)unlink(kept);
}
