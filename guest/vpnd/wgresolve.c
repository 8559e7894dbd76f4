/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A line for each name: which peer's it is, and its address. */
#define _GNU_SOURCE
#include "wgresolve.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool wgresolve_plain(const struct wg_profile *profile,
                     struct wg_prefix endpoint[WG_PEERS_MAX])
{
    bool all = true;
    for (unsigned i = 0; i < profile->peers; i++) {
        if (profile->peer[i].host[0])
            all &= wgprofile_prefix(profile->peer[i].host, &endpoint[i]);
    }
    return all;
}

/* Nothing is sent: the kernel looks for a way. */
static bool has_way(const struct addrinfo *to, uint32_t mark)
{
    int fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (mark)
        (void)setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark);
    bool well = connect(fd, to->ai_addr, to->ai_addrlen) == 0;
    (void)close(fd);
    return well;
}

static int resolve(const char *host, unsigned index, uint32_t mark)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
    struct addrinfo *all, *best;
    char ip[64];
    int rc = getaddrinfo(host, "9", &hints, &all);
    if (rc) {
        dprintf(STDOUT_FILENO, "the Endpoint's name '%.80s' is not found: %s\n", host,
                gai_strerror(rc));
        return rc == EAI_AGAIN ? WGRESOLVE_AGAIN : 1;
    }
    for (best = all; best->ai_next && !has_way(best, mark);)
        best = best->ai_next;
    if (!has_way(best, mark))
        best = all;
    rc = getnameinfo(best->ai_addr, best->ai_addrlen, ip, sizeof ip, NULL, 0,
                     NI_NUMERICHOST);
    dprintf(STDOUT_FILENO, "%u %s\n", index, rc ? gai_strerror(rc) : ip);
    freeaddrinfo(all);
    return rc ? 1 : 0;
}

int wgresolve(const struct wg_profile *profile, uint32_t mark)
{
    struct wg_prefix address;
    int rc = 0;
    for (unsigned i = 0; i < profile->peers && !rc; i++) {
        const char *host = profile->peer[i].host;
        if (*host && !wgprofile_prefix(host, &address))
            rc = resolve(host, i, mark);
    }
    return rc;
}

bool wgresolve_read(const char *text, const struct wg_profile *profile,
                    struct wg_prefix endpoint[WG_PEERS_MAX])
{
    while (*text) {
        char ip[64], *end;
        unsigned long index = strtoul(text, &end, 10);
        size_t length = strcspn(end, "\n");
        if (end == text || index >= profile->peers || *end != ' ' || length > sizeof ip)
            return false;
        (void)snprintf(ip, sizeof ip, "%.*s", (int)length - 1, end + 1);
        if (!wgprofile_prefix(ip, &endpoint[index]))
            return false;
        text = end + length + (end[length] != '\0');
    }
    return true;
}
