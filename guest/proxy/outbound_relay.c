/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Both directions; one buffer, for a look at what is there. */
#define _GNU_SOURCE
#include "outbound_relay.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    LOOK = OUTBOUND_PACKETS * OUTBOUND_DATA_MAX,
    TURNS = 4 /* then the others have theirs */
};

static uint8_t seen[LOOK];

/* Bytes; 0: the end; -1: none now; -2: it has failed. */
static ssize_t look(const struct watch *watch)
{
    ssize_t n = recv(watch->fd, seen, sizeof seen, MSG_PEEK);
    return n >= 0 ? n : errno == EAGAIN || errno == EINTR ? -1 : -2;
}

static ssize_t moved(ssize_t n)
{
    return n >= 0 ? n : errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static bool take_out(const struct watch *watch, size_t length)
{
    return length == 0 || recv(watch->fd, seen, length, 0) == (ssize_t)length;
}

/* -- to the host -- */

/* How many of the bytes are out; -1: it has failed. *all: all of them, and what belongs
 * to them. */
static ssize_t host_send(struct outbound_relay *r, const uint8_t *bytes, size_t size,
                         bool *all)
{
    struct outbound_pieces pieces;
    struct iovec part[2 * OUTBOUND_PACKETS];
    size_t total = 0;
    outbound_write(&r->writer, bytes, size, &pieces);
    for (unsigned i = 0; i < pieces.count; i++) {
        memcpy(&part[i].iov_base, &pieces.piece[i].base, sizeof part[i].iov_base);
        part[i].iov_len = pieces.piece[i].length;
        total += part[i].iov_len;
    }
    const struct msghdr message = {.msg_iov = part, .msg_iovlen = (int)pieces.count};
    ssize_t n = moved(sendmsg(r->host.fd, &message, MSG_NOSIGNAL));
    if (n < 0)
        return -1;
    *all = (size_t)n == total;
    return (ssize_t)outbound_wrote(&r->writer, size, (size_t)n);
}

bool outbound_relay_open(struct outbound_relay *r, uint64_t key, const uint8_t *first,
                         size_t length)
{
    bool all = true;
    r->reader = (struct outbound_reader){.key = key};
    r->writer = (struct outbound_writer){.key = key};
    return length == 0 || (host_send(r, first, length, &all) == (ssize_t)length && all);
}

/* 1: there may be more; 0: not now; -1: cut it off. */
static int up(struct outbound_relay *r)
{
    bool all = true;
    ssize_t got = r->client_ended ? 0 : look(&r->client);
    if (got < 0)
        return got == -1 ? 0 : -1;
    r->client_ended = r->writer.closing = got == 0;
    ssize_t out = host_send(r, seen, (size_t)got, &all);
    if (out < 0 || !take_out(&r->client, (size_t)out))
        return -1;
    r->host_full = !all;
    if (all && r->client_ended) {
        r->host_told = true;
        (void)shutdown(r->host.fd, SHUT_WR);
    }
    return all && !r->client_ended && got == LOOK;
}

/* -- from the host -- */

static int down(struct outbound_relay *r)
{
    ssize_t got = look(&r->host);
    size_t at = 0, payload;
    if (got < 0)
        return got == -1 ? 0 : -1;
    r->host_ended = got == 0;
    if (r->host_ended)
        return r->reader.ended ? 0 : -1;
    r->client_full = false;
    while (at < (size_t)got && !r->client_full) {
        int heads = outbound_read(&r->reader, seen + at, (size_t)got - at, &payload);
        if (heads < 0)
            return -1;
        at += (size_t)heads;
        if (payload == 0)
            break;
        ssize_t n = moved(send(r->client.fd, seen + at, payload, MSG_NOSIGNAL));
        if (n < 0)
            return -1;
        r->reader.left -= (uint32_t)n;
        at += (size_t)n;
        r->client_full = (size_t)n < payload;
    }
    if (!take_out(&r->host, at))
        return -1;
    if (r->reader.ended && !r->client_told) {
        r->client_told = true;
        (void)shutdown(r->client.fd, SHUT_WR);
    }
    return !r->client_full && got == LOOK;
}

/* -- both -- */

static void watch_both(struct outbound_relay *r)
{
    uint32_t client = 0, host = 0;
    if (!r->client_ended && !r->host_full)
        client |= EPOLLIN;
    if (r->client_full)
        client |= EPOLLOUT;
    if (!r->host_ended && !r->client_full)
        host |= EPOLLIN;
    if (r->host_full)
        host |= EPOLLOUT;
    watch_change(&r->client, client);
    watch_change(&r->host, host);
}

int outbound_relay_turn(struct outbound_relay *r)
{
    int more = 1;
    for (unsigned i = 0; i < TURNS && more > 0 && !r->host_told; i++)
        more = up(r);
    for (unsigned i = 0; i < TURNS && more >= 0 && !r->host_ended; i++) {
        more = down(r);
        if (more == 0)
            break;
    }
    if (more < 0)
        return -1;
    watch_both(r);
    return !(r->host_told && r->client_told);
}
