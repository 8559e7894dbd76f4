/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Bytes between the guest and a target. They are looked at where they are, passed on,
 * and taken out only as far as the other side has taken them: one more copy than with a
 * buffer for each connection, and no such buffers.
 */
#include "backing/outbound.h"

#include "util/bytes.h"

enum { TURNS = 4 /* then the others have theirs */ };

/* Reported again, because it was not read to its end. */
static void read_on_later(struct mv_watch *watch)
{
    mv_watch_mute(watch, MV_WATCH_READ);
    mv_watch_again(watch, MV_WATCH_READ);
}

/* It goes on when there is room at `to`. */
static void wait_for_room(struct mv_watch *from, struct mv_watch *to)
{
    mv_watch_mute(from, MV_WATCH_READ);
    mv_watch_again(to, MV_WATCH_WRITE);
}

/* What was looked at and has been passed on. False: it has gone meanwhile, as a reset
 * takes it away on some systems, and what comes next is in nobody's order. */
static bool take_out(struct mv_outbound_conn *c, struct mv_watch *from, size_t length)
{
    return length == 0 ||
           mv_socket_read(from->socket, c->owner->scratch, length) == (int64_t)length;
}

/* -- from the guest -- */

/* Passes on what stands in scratch; *taken of it is done with. False: cut it off. */
static bool up_pass(struct mv_outbound_conn *c, size_t size, size_t *taken)
{
    const uint8_t *bytes = c->owner->scratch;
    size_t at = 0;
    while (at < size) {
        size_t payload;
        int heads = outbound_read(&c->reader, bytes + at, size - at, &payload);
        if (heads < 0)
            return false;
        at += (size_t)heads;
        if (payload == 0)
            break;
        int64_t n = mv_socket_write(c->target.socket, bytes + at, payload);
        if (n == MV_SOCKET_GONE)
            return false;
        size_t moved = n > 0 ? (size_t)n : 0;
        c->reader.left -= (uint32_t)moved;
        at += moved;
        if (moved < payload)
            break;
    }
    *taken = at;
    return true;
}

/* 1: there may be more; 0: not now; -1: cut it off. */
static int up_turn(struct mv_outbound_conn *c)
{
    size_t taken;
    int64_t got =
        mv_socket_peek(c->guest.socket, c->owner->scratch, sizeof c->owner->scratch);
    if (got == MV_SOCKET_AGAIN) {
        mv_watch_again(&c->guest, MV_WATCH_READ);
        return 0;
    }
    if (got <= 0) { /* less than 0: it has left without hearing all that was said */
        c->guest_ended = true;
        c->guest_gone |= got < 0;
        mv_watch_mute(&c->guest, MV_WATCH_READ);
        return c->reader.ended ? 0 : -1;
    }
    if (!up_pass(c, (size_t)got, &taken))
        return -1;
    if (!take_out(c, &c->guest, taken))
        return -1;
    if (c->reader.ended && !c->guest_over) {
        c->guest_over = true;
        mv_socket_end_write(c->target.socket);
    }
    if (taken == (size_t)got)
        return 1;
    wait_for_room(&c->guest, &c->target);
    return 0;
}

/* -- to the guest -- */

static int down_send(struct mv_outbound_conn *c, size_t size)
{
    struct outbound_pieces pieces;
    struct mv_span span[MV_ARRAY_LEN(pieces.piece)];
    size_t total = 0;
    outbound_write(&c->writer, c->owner->scratch, size, &pieces);
    for (unsigned i = 0; i < pieces.count; i++) {
        memcpy(&span[i].base, &pieces.piece[i].base, sizeof span[i].base);
        span[i].length = pieces.piece[i].length;
        total += span[i].length;
    }
    int64_t n = mv_socket_writev(c->guest.socket, span, pieces.count);
    if (n == MV_SOCKET_GONE) {
        c->guest_gone = true;
        return 1;
    }
    size_t moved = n > 0 ? (size_t)n : 0;
    if (!take_out(c, &c->target, outbound_wrote(&c->writer, size, moved)))
        return -1;
    if (moved == total)
        return 1;
    wait_for_room(&c->target, &c->guest);
    return 0;
}

/* A guest that has closed everything hears nothing more. What the target says is taken
 * and forgotten: a socket that is closed over unread bytes is reset, and what the
 * target has not got yet of the guest's would go with it. */
static int down_forget(struct mv_outbound_conn *c)
{
    int64_t n =
        mv_socket_read(c->target.socket, c->owner->scratch, sizeof c->owner->scratch);
    if (n > 0)
        return 1;
    if (n == MV_SOCKET_AGAIN)
        mv_watch_again(&c->target, MV_WATCH_READ);
    else
        mv_watch_mute(&c->target, MV_WATCH_READ);
    c->target_over |= n == 0;
    return n == MV_SOCKET_GONE ? -1 : 0;
}

static int down_turn(struct mv_outbound_conn *c)
{
    int64_t got = 0;
    if (c->guest_gone)
        return down_forget(c);
    if (!c->target_ended)
        got = mv_socket_peek(c->target.socket, c->owner->scratch,
                             sizeof c->owner->scratch);
    if (got == MV_SOCKET_AGAIN) {
        mv_watch_again(&c->target, MV_WATCH_READ);
        return 0;
    }
    if (got < 0)
        return -1;
    c->target_ended = c->writer.closing = got == 0;
    int more = down_send(c, (size_t)got);
    if (more == 1 && c->target_ended) {
        c->target_over = true;
        mv_watch_mute(&c->target, MV_WATCH_READ);
        mv_socket_end_write(c->guest.socket);
        return 0;
    }
    return more;
}

/* -- both -- */

bool mv_outbound_is_over(const struct mv_outbound_conn *c)
{
    return c->guest_over && (c->target_over || c->guest_gone);
}

bool mv_outbound_relay(struct mv_outbound_conn *c)
{
    int up = 1, down = 1;
    for (unsigned i = 0; i < TURNS && up > 0 && !c->guest_ended; i++)
        up = up_turn(c);
    if (up > 0 && !c->guest_ended)
        read_on_later(&c->guest);
    for (unsigned i = 0; i < TURNS && down > 0 && up >= 0 && !c->target_over; i++)
        down = down_turn(c);
    if (down > 0 && !c->target_over)
        read_on_later(&c->target);
    return up >= 0 && down >= 0;
}
