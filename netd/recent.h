/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the gate remembers for some time: who has sent the guest a datagram by a
 * forward, and so may be answered whatever the policy says; and what our DNS was asked,
 * so that nothing counts as its answer that nobody asked for. Both are of fixed size,
 * the oldest goes. Pure, but for the clock it is given.
 */
#ifndef NETD_RECENT_H
#define NETD_RECENT_H

#include "dns.h"
#include "packet.h"

enum {
    RECENT_SENDERS = 256,
    RECENT_QUESTIONS = 256 /* at a time; their answers take milliseconds */
};

struct recent_sender {
    struct mv_address address, guest;
    uint16_t port, guest_port;
    uint64_t until_ms;
};

struct recent_question {
    uint16_t id, guest_port;
    uint64_t until_ms;
    char name[DNS_NAME_MAX];
};

struct recent {
    struct recent_sender sender[RECENT_SENDERS];
    struct recent_question question[RECENT_QUESTIONS];
    unsigned asked; /* how often, so where the next one goes */
};

/* A datagram for the guest. */
void recent_sent(struct recent *recent, const struct packet *packet, uint64_t now_ms);
/* A forward is closed: who has come to this port is not answered any more. */
void recent_forget(struct recent *recent, uint16_t guest_port);
/* May it answer? To whom it was sent, from where. */
bool recent_is_answer(const struct recent *recent, const struct packet *packet,
                      uint64_t now_ms);

/* The guest asks, from this port. */
void recent_asked(struct recent *recent, const struct dns_question *question,
                  uint16_t guest_port, uint64_t now_ms);
/* Was that asked, and not answered yet? It is now. */
bool recent_answered(struct recent *recent, const struct dns_question *question,
                     uint16_t guest_port, uint64_t now_ms);

#endif
