/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A peer that gets data answers within 10 s, with an empty packet if need be, and
 * handshakes follow each other within 2 minutes where something is sent (WireGuard's
 * paper, 6). So a peer is silent when more than keepalives went to it for a while and
 * nothing came back, or when its last handshake is too old for packets. Ages are
 * measured here, by a clock that does not jump.
 */
#include "wgpeers.h"

#include "wgprofile.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIELDS = 8, /* of a peer; the interface, in the first line, has four */
    HANDSHAKE = 4,
    RECEIVED,
    SENT,
    QUIET_MS = 20000,
    QUIET_BYTES = 300, /* two initiations of a handshake, or nine keepalives */
    OLD_MS = 180000    /* REJECT_AFTER_TIME */
};

struct peer {
    unsigned long long handshake, received, sent;
    int64_t handshake_ms, received_ms; /* when they were seen to change */
};

static struct peer peers[WG_PEERS_MAX];

void wgpeers_begin(void)
{
    memset(peers, 0, sizeof peers);
}

static bool peer_look(struct peer *peer, char *const field[FIELDS], int64_t now_ms)
{
    unsigned long long handshake = strtoull(field[HANDSHAKE], NULL, 10);
    unsigned long long received = strtoull(field[RECEIVED], NULL, 10);
    unsigned long long sent = strtoull(field[SENT], NULL, 10);
    if (handshake != peer->handshake) {
        peer->handshake = handshake;
        peer->handshake_ms = now_ms;
    }
    if (received != peer->received) {
        peer->received = received;
        peer->received_ms = now_ms;
        peer->sent = sent;
    }
    bool quiet =
        now_ms - peer->received_ms >= QUIET_MS && sent >= peer->sent + QUIET_BYTES;
    return handshake && !quiet && now_ms - peer->handshake_ms < OLD_MS;
}

/* Its fields, of those that it has. */
static unsigned line_split(char *line, char *field[FIELDS])
{
    unsigned count = 1;
    field[0] = line;
    for (char *at = line; (at = strchr(at, '\t')) && count < FIELDS; count++) {
        *at++ = '\0';
        field[count] = at;
    }
    return count;
}

bool wgpeers_look(char *text, int64_t now_ms)
{
    char *field[FIELDS];
    unsigned count = 0;
    bool alive = false;
    while (*text && count < WG_PEERS_MAX) {
        size_t length = strcspn(text, "\n");
        char *rest = text + length + (text[length] != '\0');
        text[length] = '\0';
        if (line_split(text, field) == FIELDS)
            alive |= peer_look(&peers[count++], field, now_ms);
        text = rest;
    }
    return alive;
}
