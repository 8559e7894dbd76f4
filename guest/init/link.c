/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Blocking frames over a socket that does not block: every wait is a poll() that looks
 * up once a second.
 */
#define _GNU_SOURCE
#include "link.h"

#include "guest/lib/loop.h"
#include "os/error.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

enum { LOOK_MS = 1000, LAST_WORD_MS = 10000 };

static volatile sig_atomic_t end_heard;

static void hear_end(int number)
{
    (void)number;
    end_heard = 1;
}

void link_hear_end(void)
{
    struct sigaction action = {.sa_handler = hear_end};
    sigset_t none;
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int link_gone(microvm_error *err)
{
    return mv_fail(err, MICROVM_E_IO, "the client has gone");
}

/* What ends it, besides the client. */
static int link_check(const struct link *link, microvm_error *err)
{
    if (end_heard)
        return mv_fail(err, MICROVM_E_STATE, "the guest powers off");
    if (!link->deadline_ms || loop_now_ms() < link->deadline_ms)
        return 0;
    (void)mv_fail(err, MICROVM_E_TIMEOUT, "the time for it is over");
    err->os_code = LINK_TIME_OVER;
    return MICROVM_E_TIMEOUT;
}

static int link_wait(const struct link *link, short events, microvm_error *err)
{
    struct pollfd fds = {link->fd, events, 0};
    int64_t left = link->deadline_ms ? link->deadline_ms - loop_now_ms() : LOOK_MS;
    (void)poll(&fds, 1, left < LOOK_MS ? (left > 0 ? (int)left : 0) : LOOK_MS);
    return link_check(link, err);
}

int link_send(void *ctx, const uint8_t *bytes, size_t length, microvm_error *err)
{
    struct link *link = ctx;
    int rc = link_check(link, err);
    while (!rc && length > 0) {
        ssize_t n = send(link->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            rc = link_wait(link, POLLOUT, err);
        } else if (n < 0 && errno != EINTR) {
            rc = link_gone(err);
        } else if (n > 0) {
            bytes += n;
            length -= (size_t)n;
        }
    }
    return rc;
}

int link_send_strings(struct link *link, enum agent_type type,
                      const struct agent_writer *w, microvm_error *err)
{
    uint8_t header[AGENT_HEADER_BYTES];
    agent_header_write(header, type, (uint32_t)w->length);
    int rc = link_send(link, header, sizeof header, err);
    return rc ? rc : link_send(link, w->data, w->length, err);
}

/* More bytes into `in`, whose used ones make room. */
static int link_fill(struct link *link, microvm_error *err)
{
    link->length -= link->at;
    memmove(link->in, link->in + link->at, link->length);
    link->at = 0;
    for (;;) {
        ssize_t n = recv(link->fd, link->in + link->length,
                         sizeof link->in - link->length, MSG_DONTWAIT);
        if (n > 0) {
            link->length += (size_t)n;
            return 0;
        }
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            return link_gone(err);
        int rc = link_wait(link, POLLIN, err);
        if (rc)
            return rc;
    }
}

int link_receive(struct link *link, struct agent_frame *frame, microvm_error *err)
{
    int rc = link_check(link, err);
    int32_t n = 0;
    while (!rc && (n = agent_frame_read(frame, link->in + link->at,
                                        link->length - link->at)) == 0)
        rc = link_fill(link, err);
    if (rc)
        return rc;
    if (n < 0)
        return mv_fail(err, MICROVM_E_INVALID, "what the client sends is no frame");
    link->at += (size_t)n;
    return 0;
}

void link_end(struct link *link)
{
    microvm_error err;
    int64_t end_ms = loop_now_ms() + LAST_WORD_MS;
    (void)shutdown(link->fd, SHUT_WR);
    if (!link->deadline_ms || link->deadline_ms > end_ms)
        link->deadline_ms = end_ms;
    do
        link->length = link->at = 0;
    while (link_fill(link, &err) == 0 && link_check(link, &err) == 0);
}
