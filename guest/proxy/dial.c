/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _GNU_SOURCE
#include "dial.h"

#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    EACH_MS = 8000, /* then the next address, if there is one */
    SCOPE_LINK = 0x20
};

/* "fe80...1 02 40 20 80 tun0": address, index, length, scope, flags, name. */
static bool has_address6(const char *interface)
{
    char name[IF_NAMESIZE];
    unsigned scope;
    bool found = false;
    FILE *file = fopen("/proc/net/if_inet6", "re");
    while (file && !found &&
           fscanf(file, "%*32s %*x %*x %x %*x %15s", &scope, name) == 2)
        found = scope != SCOPE_LINK && !strcmp(name, interface);
    if (file)
        (void)fclose(file);
    return found;
}

/* Before it has an address, a connection would go into it with that of another
 * interface, and wait in vain. */
bool dial_way_is_up(const struct dial_way *way)
{
    struct ifreq request = {.ifr_flags = 0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    (void)strncpy(request.ifr_name, way->interface, sizeof request.ifr_name - 1);
    bool up = !ioctl(fd, SIOCGIFFLAGS, &request) && request.ifr_flags & IFF_UP &&
              (!ioctl(fd, SIOCGIFADDR, &request) || has_address6(way->interface));
    (void)close(fd);
    return up;
}

static enum socks_status status_of(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return SOCKS_REFUSED;
    case ENETUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL:
        return SOCKS_NETWORK_UNREACHABLE;
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ETIMEDOUT:
        return SOCKS_HOST_UNREACHABLE;
    case ENODEV:
    case EPERM:
    case EACCES:
        return SOCKS_NOT_ALLOWED;
    default:
        return SOCKS_FAILURE;
    }
}

static void dial_done(struct dial *dial, int fd, enum socks_status status)
{
    names_free(dial->name);
    dial->name = NULL;
    dial->done(dial, fd, status);
}

/* A socket on its way to the address; -1 and errno. */
static int dial_socket(struct dial *dial, unsigned at)
{
    const struct sockaddr *to = (const void *)&dial->name->address[at];
    const struct dial_way *way = dial->way;
    const int on = 1;
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (dial->bound && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, way->interface,
                                  (socklen_t)strlen(way->interface))) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    if (!connect(fd, to, dial->name->length[at]) || errno == EINPROGRESS)
        return fd;
    int error = errno;
    (void)close(fd);
    errno = error;
    return -1;
}

static void dial_heard(struct watch *watch, uint32_t events);

/* The first address from `at` on that lets itself be tried. */
static void dial_next(struct dial *dial)
{
    for (; dial->at < dial->name->count; dial->at++) {
        int fd = dial_socket(dial, dial->at);
        if (fd < 0) {
            dial->worst = status_of(errno);
            continue;
        }
        dial->next_ms = loop_now_ms() + EACH_MS;
        if (watch_add(&dial->watch, fd, EPOLLOUT, dial_heard))
            return;
        watch_close(&dial->watch);
    }
    dial_done(dial, -1, dial->worst);
}

static void dial_heard(struct watch *watch, uint32_t events)
{
    struct dial *dial = (struct dial *)(void *)watch;
    int error = 0;
    socklen_t length = sizeof error;
    (void)events;
    (void)getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) {
        dial->worst = status_of(error);
        watch_close(watch);
        dial->at++;
        dial_next(dial);
        return;
    }
    int fd = watch_keep(watch);
    dial_done(dial, fd, SOCKS_OK);
}

static void dial_answered(struct name *name)
{
    struct dial *dial = name->ctx;
    if (name->error || name->count == 0) {
        dial_done(dial, -1,
                  name->error == EAI_NONAME ? SOCKS_HOST_UNREACHABLE : SOCKS_FAILURE);
        return;
    }
    dial_next(dial);
}

bool dial_begin(struct dial *dial, const struct dial_way *way,
                const struct proxy_target *target,
                void (*done)(struct dial *dial, int fd, enum socks_status status),
                enum socks_status *status)
{
    *dial = (struct dial){
        .watch = WATCH_NONE, .way = way, .done = done, .worst = SOCKS_FAILURE};
    dial->bound = way->interface && dial_way_is_up(way);
    if (way->only && !dial->bound) {
        *status = SOCKS_NOT_ALLOWED; /* before the name is asked for, too */
        return false;
    }
    dial->name = names_ask(target, dial_answered, dial);
    *status = SOCKS_FAILURE;
    return dial->name;
}

void dial_end(struct dial *dial)
{
    /* Without a socket the name may be with a thread. */
    if (dial->name && dial->watch.fd < 0)
        names_leave(dial->name);
    else if (dial->name)
        names_free(dial->name);
    dial->name = NULL;
    watch_close(&dial->watch);
}

void dial_expire(struct dial *dial, int64_t now_ms)
{
    if (dial->watch.fd < 0 || now_ms < dial->next_ms)
        return;
    dial->worst = SOCKS_HOST_UNREACHABLE;
    watch_close(&dial->watch);
    dial->at++;
    dial_next(dial);
}
