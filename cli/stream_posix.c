/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A stream on POSIX systems: two directions in one poll loop, each with a buffer of its
 * own, so that one that stands still never stops the other.
 */
#include "stream.h"

#include "cli.h"
#include "relay.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECE = 64 * 1024 };

/* One direction. */
struct lane {
    int from, to; /* from -1: has ended */
    size_t at, end;
    char data[PIECE + 1];
};

static bool lane_full(const struct lane *lane)
{
    return lane->at < lane->end;
}

static bool passing(void)
{
    return errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK;
}

/* False: writing failed. */
static bool lane_write(struct lane *lane)
{
    ssize_t n = write(lane->to, lane->data + lane->at, lane->end - lane->at);
    if (n < 0)
        return passing();
    lane->at += (size_t)n;
    return true;
}

/* What the user types; the escape ends it all. */
static bool lane_type(struct lane *lane, struct escape *escape, bool *leave)
{
    char typed[PIECE];
    ssize_t n = read(lane->from, typed, sizeof typed);
    if (n < 0)
        return passing();
    lane->at = 0;
    lane->end = escape_filter(escape, typed, (unsigned)n, lane->data, leave);
    if (n == 0) {
        lane->from = -1;
        (void)shutdown(lane->to, SHUT_WR);
    }
    return true;
}

static void lane_read(struct lane *lane)
{
    ssize_t n = read(lane->from, lane->data, PIECE);
    if (n < 0 && passing())
        return;
    lane->at = 0;
    lane->end = n > 0 ? (size_t)n : 0;
    if (n <= 0)
        lane->from = -1;
}

static struct pollfd lane_interest(const struct lane *lane)
{
    if (lane_full(lane))
        return (struct pollfd){lane->to, POLLOUT, 0};
    return (struct pollfd){lane->from, POLLIN, 0};
}

bool stream_run(const struct stream *stream)
{
    static struct lane in, out;
    struct escape escape = {.on = stream->escape};
    bool leave = false, ok = true;
    (void)signal(SIGPIPE, SIG_IGN);
    in.from = stream->input ? 0 : -1;
    in.to = out.from = stream->fd;
    out.to = 1;
    while (ok && !leave && (out.from >= 0 || lane_full(&out))) {
        struct pollfd fds[2] = {lane_interest(&out), lane_interest(&in)};
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[0].revents && lane_full(&out))
            ok = lane_write(&out);
        else if (fds[0].revents)
            lane_read(&out);
        if (fds[1].revents && lane_full(&in)) {
            if (!lane_write(&in))
                in.from = -1, in.at = in.end; /* it takes no more; it may still say */
        } else if (fds[1].revents) {
            ok = ok && lane_type(&in, &escape, &leave);
        }
    }
    if (!ok)
        say("%s", strerror(errno));
    (void)close(stream->fd);
    return ok;
}
