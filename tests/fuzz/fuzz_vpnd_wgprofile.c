/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * WireGuard profiles. What is taken stays within its limits, and what is written for wg
 * says the same again when it is read, but for what wg does not know. Whatever wg says
 * of peers can be looked at.
 */
#include "fuzz.h"

#include "guest/vpnd/wgpeers.h"
#include "guest/vpnd/wgprofile.h"
#include "util/assert.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void check_limits(const struct wg_profile *p)
{
    unsigned allowed = 0;
    MV_ASSERT(p->addresses > 0 && p->addresses <= WG_ADDRESSES_MAX);
    MV_ASSERT(p->peers > 0 && p->peers <= WG_PEERS_MAX && p->servers <= WG_SERVERS_MAX);
    MV_ASSERT(strlen(p->key) == WG_KEY_MAX - 1);
    for (unsigned i = 0; i < p->peers; i++) {
        const struct wg_peer *peer = &p->peer[i];
        MV_ASSERT(strlen(peer->key) == WG_KEY_MAX - 1 && peer->first == allowed);
        MV_ASSERT(strlen(peer->host) < WG_HOST_MAX && !peer->host[0] == !peer->port);
        MV_ASSERT(!strpbrk(peer->host, " \t\n/=[]#"));
        allowed += peer->allowed;
    }
    MV_ASSERT(allowed <= WG_ALLOWED_MAX);
    for (unsigned i = 0; i < allowed; i++)
        MV_ASSERT(p->allowed[i].bits <= (p->allowed[i].family == AF_INET ? 32 : 128) &&
                  wgprofile_covers(&p->allowed[i], &p->allowed[i]));
}

/* wg's text has no Address: it is put back. */
static void check_written(const struct wg_profile *p)
{
    static char text[WG_CONFIG_MAX + 64];
    static struct wg_profile again;
    static const char address[] = "[Interface]\nAddress=10.0.0.1\n";
    struct wg_prefix endpoint[WG_PEERS_MAX];
    char why[PROFILE_WHY_MAX];
    for (unsigned i = 0; i < p->peers; i++)
        MV_ASSERT(wgprofile_prefix(i % 2 ? "192.0.2.1" : "fd00::1", &endpoint[i]));
    size_t skip = sizeof "[Interface]\n" - 1, begun = sizeof address - 1 - skip;
    size_t length = wgprofile_write(p, endpoint, 0, text + begun);
    MV_ASSERT(length < WG_CONFIG_MAX && strlen(text + begun) == length);
    memcpy(text, address, sizeof address - 1);
    MV_ASSERT(wgprofile_read(text, begun + length, &again, why));
    MV_ASSERT(again.peers == p->peers && again.mark == p->mark &&
              again.port == p->port);
    MV_ASSERT(!strcmp(again.key, p->key));
    for (unsigned i = 0; i < p->peers; i++) {
        MV_ASSERT(!strcmp(again.peer[i].key, p->peer[i].key));
        MV_ASSERT(!strcmp(again.peer[i].shared, p->peer[i].shared));
        MV_ASSERT(again.peer[i].port == p->peer[i].port);
    }
    MV_ASSERT(!memcmp(again.allowed, p->allowed, sizeof p->allowed));
}

/* What `wg show` says of peers. */
static void check_dump(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    MV_ASSERT(text);
    memcpy(text, data, size);
    text[size] = '\0';
    wgpeers_begin();
    (void)wgpeers_look(text, 1000);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wg_profile profile;
    char why[PROFILE_WHY_MAX] = "";
    char *copy = malloc(size ? size : 1);
    MV_ASSERT(copy);
    memcpy(copy, data, size);
    if (wgprofile_read(copy, size, &profile, why)) {
        MV_ASSERT(wgprofile_is(copy, size));
        check_limits(&profile);
        check_written(&profile);
    } else {
        MV_ASSERT(strlen(why) > 0);
    }
    free(copy);
    check_dump(data, size);
    return 0;
}
