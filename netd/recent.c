/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Datagrams and questions, each with the time until which they count.
 */
#include "recent.h"

#include <string.h>

enum {
    /* As long as libslirp keeps a flow that is quiet (SO_EXPIRE), and some more than it
     * waits for an answer of DNS (SO_EXPIREFAST: 10 s). */
    SENDER_MS = 240 * 1000,
    QUESTION_MS = 15 * 1000
};

/* One end of a datagram. */
struct end {
    const struct mv_address *address;
    uint16_t port;
};

static bool sender_is(const struct recent_sender *sender, struct end sends,
                      struct end guest)
{
    return sender->port == sends.port && sender->guest_port == guest.port &&
           !memcmp(&sender->address, sends.address, sizeof sender->address) &&
           !memcmp(&sender->guest, guest.address, sizeof sender->guest);
}

void recent_sent(struct recent *recent, const struct packet *packet, uint64_t now_ms)
{
    struct recent_sender *place = &recent->sender[0];
    const struct end from = {&packet->from, packet->from_port};
    const struct end to = {&packet->to, packet->to_port};
    for (unsigned i = 0; i < RECENT_SENDERS; i++) {
        struct recent_sender *sender = &recent->sender[i];
        if (sender_is(sender, from, to)) {
            place = sender;
            break;
        }
        if (sender->until_ms < place->until_ms)
            place = sender;
    }
    *place = (struct recent_sender){.address = packet->from,
                                    .guest = packet->to,
                                    .port = packet->from_port,
                                    .guest_port = packet->to_port,
                                    .until_ms = now_ms + SENDER_MS};
}

void recent_forget(struct recent *recent, uint16_t guest_port)
{
    for (unsigned i = 0; i < RECENT_SENDERS; i++) {
        if (recent->sender[i].guest_port == guest_port)
            recent->sender[i].until_ms = 0;
    }
}

bool recent_is_answer(const struct recent *recent, const struct packet *packet,
                      uint64_t now_ms)
{
    const struct end to = {&packet->to, packet->to_port};
    const struct end from = {&packet->from, packet->from_port};
    for (unsigned i = 0; i < RECENT_SENDERS; i++) {
        const struct recent_sender *sender = &recent->sender[i];
        if (sender_is(sender, to, from))
            return sender->until_ms > now_ms;
    }
    return false;
}

void recent_asked(struct recent *recent, const struct dns_question *question,
                  uint16_t guest_port, uint64_t now_ms)
{
    struct recent_question *place =
        &recent->question[recent->asked++ % RECENT_QUESTIONS];
    place->id = question->id;
    place->guest_port = guest_port;
    place->until_ms = now_ms + QUESTION_MS;
    memcpy(place->name, question->name, strlen(question->name) + 1);
}

bool recent_answered(struct recent *recent, const struct dns_question *question,
                     uint16_t guest_port, uint64_t now_ms)
{
    for (unsigned i = 0; i < RECENT_QUESTIONS; i++) {
        struct recent_question *asked = &recent->question[i];
        if (asked->until_ms > now_ms && asked->id == question->id &&
            asked->guest_port == guest_port && !strcmp(asked->name, question->name)) {
            asked->until_ms = 0;
            return true;
        }
    }
    return false;
}
