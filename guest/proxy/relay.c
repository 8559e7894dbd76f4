/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One buffer for all that is being moved. */
#define _GNU_SOURCE
#include "relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    PIECE = 256 * 1024,
    PIECES = 8, /* of one turn: then the others have theirs */
    SPARES = 32,
    SMALL = 16 * 1024 /* of who might have to wait without one */
};

/* What is being moved now. A socket that does not take all of it gets the buffer itself
 * to keep, and another takes its place: a few are kept, since fresh pages cost a guest
 * as much as what is moved in them. Beyond those, what is left over is copied. */
static uint8_t first_buffer[PIECE], *buffer = first_buffer;
static uint8_t *spare[SPARES];
static unsigned spares, made;

static bool spare_left(void)
{
    return spares > 0 || made < SPARES;
}

static uint8_t *spare_take(void)
{
    if (spares > 0)
        return spare[--spares];
    uint8_t *memory = malloc(PIECE);
    made += memory != NULL;
    return memory;
}

static void held_free(struct relay_side *side)
{
    if (side->held && side->whole)
        spare[spares++] = side->held;
    else
        free(side->held);
    side->held = NULL;
}

static struct relay_side *other_of(struct relay *relay, struct relay_side *side)
{
    return &relay->side[side == &relay->side[0]];
}

static void relay_later(struct later *later)
{
    struct relay *relay =
        (struct relay *)(void *)((char *)later - offsetof(struct relay, later));
    relay->ended(relay);
}

static void relay_close(struct relay *relay)
{
    if (relay->closed)
        return;
    relay->closed = true;
    for (unsigned i = 0; i < 2; i++) {
        watch_close(&relay->side[i].watch);
        held_free(&relay->side[i]);
    }
    loop_later(&relay->later, relay_later);
}

void relay_abort(struct relay *relay)
{
    const struct linger at_once = {.l_onoff = 1};
    for (unsigned i = 0; i < 2; i++)
        (void)setsockopt(relay->side[i].watch.fd, SOL_SOCKET, SO_LINGER, &at_once,
                         sizeof at_once);
    relay_close(relay);
}

static bool again(void)
{
    return errno == EAGAIN || errno == EINTR;
}

/* Bytes taken; -1: the socket takes none any more. */
static ssize_t side_send(struct relay_side *to, const uint8_t *bytes, size_t length)
{
    ssize_t n = send(to->watch.fd, bytes, length, MSG_NOSIGNAL);
    return n >= 0 ? n : again() ? 0 : -1;
}

/* What it has not taken waits. */
static bool side_hold(struct relay_side *to, const uint8_t *bytes, size_t done,
                      size_t length)
{
    to->whole = bytes == buffer && spare_left();
    uint8_t *memory = to->whole ? spare_take() : malloc(length - done);
    if (!memory)
        return false;
    if (to->whole) {
        to->held = buffer;
        to->at = done;
        to->length = length;
        buffer = memory;
        return true;
    }
    to->held = memory;
    to->at = 0;
    to->length = length - done;
    memcpy(to->held, bytes + done, to->length);
    return true;
}

static bool side_give(struct relay_side *to, const uint8_t *bytes, size_t length)
{
    ssize_t n = side_send(to, bytes, length);
    if (n < 0)
        return false;
    return (size_t)n == length || side_hold(to, bytes, (size_t)n, length);
}

static bool side_flush(struct relay_side *to)
{
    if (!to->held)
        return true;
    ssize_t n = side_send(to, to->held + to->at, to->length - to->at);
    if (n < 0)
        return false;
    to->at += (size_t)n;
    if (to->at == to->length)
        held_free(to);
    return true;
}

static void side_end(struct relay_side *to)
{
    if (to->held || to->write_ended)
        return;
    to->write_ended = true;
    (void)shutdown(to->watch.fd, SHUT_WR);
}

static bool pump(struct relay_side *from, struct relay_side *to)
{
    for (unsigned i = 0; i < PIECES && !to->held && !from->read_ended; i++) {
        size_t most = spare_left() ? PIECE : SMALL;
        ssize_t n = recv(from->watch.fd, buffer, most, 0);
        if (n < 0)
            return again();
        if (n == 0)
            from->read_ended = true;
        else if (!side_give(to, buffer, (size_t)n))
            return false;
        if (n > 0 && (size_t)n < most / 2)
            return true; /* probably all that was there: epoll says so if not */
    }
    return true;
}

/* Asks for what can be done next. */
static void side_watch(struct relay_side *side, const struct relay_side *other)
{
    uint32_t events = 0;
    if (!side->read_ended && !other->held)
        events |= EPOLLIN;
    if (side->held)
        events |= EPOLLOUT;
    watch_change(&side->watch, events);
}

static void relay_go_on(struct relay *relay, struct relay_side *side, uint32_t events)
{
    /* A hang-up is told to who asked for anything: the calls say what it is. */
    struct relay_side *other = other_of(relay, side);
    bool well = true;
    if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
        well = side_flush(side) && pump(other, side);
    if (well && events & (EPOLLIN | EPOLLERR | EPOLLHUP))
        well = pump(side, other);
    if (!well) {
        relay_abort(relay);
        return;
    }
    if (side->read_ended)
        side_end(other);
    if (other->read_ended)
        side_end(side);
    if (side->write_ended && other->write_ended) {
        relay_close(relay);
        return;
    }
    side_watch(side, other);
    side_watch(other, side);
}

static void side_heard(struct watch *watch, uint32_t events)
{
    struct relay_side *side = (struct relay_side *)(void *)watch;
    relay_go_on(side->relay, side, events);
}

void relay_open(struct relay *relay, int one, int other,
                void (*ended)(struct relay *relay))
{
    *relay = (struct relay){.ended = ended};
    relay->side[0].relay = relay->side[1].relay = relay;
    bool well = watch_add(&relay->side[0].watch, one, EPOLLIN, side_heard);
    well &= watch_add(&relay->side[1].watch, other, EPOLLIN, side_heard);
    if (!well)
        relay_close(relay);
}

void relay_first(struct relay *relay, const uint8_t *bytes, size_t length)
{
    struct relay_side *to = &relay->side[1];
    if (relay->closed)
        return;
    if (!side_give(to, bytes, length)) {
        relay_abort(relay);
        return;
    }
    side_watch(&relay->side[0], to);
    side_watch(to, &relay->side[0]);
}
