/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A connection to the host, made once. The boot does not wait for it; the end does, for
 * what has not left the guest when the power goes off is lost: the last close of a
 * lingering socket returns when the host has taken all and said so.
 */
#define _GNU_SOURCE
#include "report.h"

#include "guest/lib/loop.h"
#include "proto/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

enum { END_S = 1 };

static struct watch report = WATCH_NONE;
static bool connected;

static void report_send(enum agent_type type, const struct agent_writer *w)
{
    uint8_t header[AGENT_HEADER_BYTES];
    agent_header_write(header, type, (uint32_t)w->length);
    if (send(report.fd, header, sizeof header, MSG_NOSIGNAL | MSG_MORE) < 0 ||
        send(report.fd, w->data, w->length, MSG_NOSIGNAL) < 0)
        watch_close(&report);
}

/* The host has answered, or says something: it has nothing to say. */
static void report_heard(struct watch *watch, uint32_t events)
{
    uint8_t strings[32];
    struct agent_writer w = {.data = strings, .size = sizeof strings};
    int error = 0;
    socklen_t length = sizeof error;
    (void)getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error || connected || !(events & EPOLLOUT)) {
        watch_close(watch);
        return;
    }
    connected = true;
    watch_change(watch, EPOLLIN);
    agent_put_number(&w, "version", AGENT_VERSION);
    report_send(AGENT_REPLY, &w);
}

void report_open(void)
{
    const struct sockaddr_vm host = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = AGENT_PORT};
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if ((connect(fd, (const struct sockaddr *)&host, sizeof host) < 0 &&
         errno != EINPROGRESS) ||
        !watch_add(&report, fd, EPOLLOUT, report_heard)) {
        (void)close(fd);
        report = (struct watch)WATCH_NONE;
    }
}

void report_end(int code, int number)
{
    uint8_t strings[64];
    struct agent_writer w = {.data = strings, .size = sizeof strings};
    const struct timeval limit = {.tv_sec = END_S};
    const struct linger linger = {.l_onoff = 1, .l_linger = END_S};
    struct pollfd fds = {report.fd, POLLOUT, 0};
    if (report.fd >= 0 && !connected && poll(&fds, 1, END_S * 1000) > 0)
        report_heard(&report, EPOLLOUT);
    if (report.fd < 0)
        return;
    agent_put_number(&w, "code", code);
    if (number)
        agent_put_number(&w, "signal", number);
    (void)fcntl(report.fd, F_SETFL, 0);
    (void)setsockopt(report.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    (void)setsockopt(report.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    report_send(AGENT_EXIT, &w);
    watch_close(&report);
}
