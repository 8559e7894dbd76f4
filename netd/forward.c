/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a forward's text says. No name is looked up, and nothing opened.
 */
#include "forward.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool forward_port(const char *text, uint16_t *port)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    bool digit = *text >= '0' && *text <= '9';
    *port = htons((uint16_t)n);
    return digit && !*end && n > 0 && n <= 65535;
}

static bool forward_address(struct forward *f, char *text, uint16_t host_port,
                            uint16_t guest_port)
{
    size_t n = strlen(text);
    if (*text == '[' && n > 1 && text[n - 1] == ']') {
        text[n - 1] = '\0';
        text++;
    }
    f->host.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = host_port};
    f->guest.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = guest_port};
    f->bytes = sizeof f->host.v4;
    if (inet_pton(AF_INET, *text ? text : "127.0.0.1", &f->host.v4.sin_addr) == 1)
        return true;
    f->host.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = host_port};
    f->guest.v6 =
        (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = guest_port};
    f->bytes = sizeof f->host.v6;
    f->v6 = true;
    return inet_pton(AF_INET6, text, &f->host.v6.sin6_addr) == 1;
}

const char *forward_parse(struct forward *f, const char *text)
{
    char copy[128], *slash;
    uint16_t host_port, guest_port;
    memset(f, 0, sizeof *f);
    if (strlen(text) >= sizeof copy)
        return "it is too long";
    memcpy(copy, text, strlen(text) + 1);
    slash = strrchr(copy, '/');
    if (slash && strcmp(slash, "/udp") && strcmp(slash, "/tcp"))
        return "what follows '/' is neither udp nor tcp";
    if (slash) {
        f->udp = slash[1] == 'u';
        *slash = '\0';
    }
    char *guest = strrchr(copy, ':');
    if (!guest)
        return "it is not [ADDR:]HOST:GUEST[/udp]";
    *guest++ = '\0';
    char *host = strrchr(copy, ':');
    char nowhere[] = "";
    char *address = host ? copy : nowhere;
    if (host)
        *host++ = '\0';
    if (!forward_port(guest, &guest_port) ||
        !forward_port(host ? host : copy, &host_port))
        return "a port is none of 1 to 65535";
    return forward_address(f, address, host_port, guest_port) ? NULL
                                                              : "that is no address";
}

uint16_t forward_guest_port(const struct forward *f)
{
    return ntohs(f->v6 ? f->guest.v6.sin6_port : f->guest.v4.sin_port);
}

void forward_show(const struct forward *f, char at[FORWARD_AT_MAX])
{
    char host[INET6_ADDRSTRLEN] = "";
    const void *address = f->v6 ? (const void *)&f->host.v6.sin6_addr
                                : (const void *)&f->host.v4.sin_addr;
    (void)inet_ntop(f->host.any.sa_family, address, host, sizeof host);
    (void)snprintf(at, FORWARD_AT_MAX, f->v6 ? "[%s]:%u/%s" : "%s:%u/%s", host,
                   ntohs(f->v6 ? f->host.v6.sin6_port : f->host.v4.sin_port),
                   f->udp ? "udp" : "tcp");
}
