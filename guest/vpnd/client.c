/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The clients of client.h, in a list whose first is the one that was silent longest. It
 * makes room for a new one when there are too many: the host holds a connection that
 * never says anything, and forgets others. What all of them together have sent and not
 * got answered has a limit, too.
 */
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CLIENTS_MAX = 256,
    LISTENERS_MAX = 4,
    ROOM_FIRST = 4096,
    ROOM_ALL = 12 << 20 /* a few uploads at once, in a guest of 128 MiB */
};

static client_request *on_request;
static client_gone *on_gone;
static struct client *first, *last;
static unsigned clients;
static size_t room_all;
static struct watch listeners[LISTENERS_MAX];
static unsigned listening;

static void list_put(struct client *c)
{
    c->next = NULL;
    c->previous = last;
    *(last ? &last->next : &first) = c;
    last = c;
}

static void list_take(struct client *c)
{
    *(c->previous ? &c->previous->next : &first) = c->next;
    *(c->next ? &c->next->previous : &last) = c->previous;
}

static void client_free(struct later *later)
{
    struct client *c = (void *)((char *)later - offsetof(struct client, later));
    free(c);
}

static void room_wipe(struct client *c)
{
    if (c->in)
        explicit_bzero(c->in, c->room); /* passwords came through it */
    free(c->in);
    room_all -= c->room;
    c->in = NULL;
    c->room = c->length = 0;
}

static void client_close(struct client *c)
{
    if (c->closing)
        return;
    c->closing = true;
    if (c->asked)
        on_gone(c);
    watch_close(&c->watch);
    list_take(c);
    clients--;
    room_wipe(c);
    free(c->out);
    loop_later(&c->later, client_free);
}

/* ---- out ------------------------------------------------------------------------- */

static void client_turn(struct client *c);

static void client_send(struct client *c)
{
    ssize_t n = send(c->watch.fd, c->out + c->out_sent, c->out_length - c->out_sent,
                     MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        client_close(c);
        return;
    }
    c->out_sent += n > 0 ? (size_t)n : 0;
    if (c->out_sent < c->out_length) {
        watch_change(&c->watch, EPOLLOUT);
        return;
    }
    free(c->out);
    c->out = NULL;
}

void client_answer(struct client *c, char *line)
{
    c->asked = false;
    if (!line) {
        client_close(c);
        return;
    }
    c->out = line;
    c->out_length = strlen(line);
    c->out_sent = 0;
    client_send(c);
    if (!c->turning && !c->closing && !c->out)
        client_turn(c);
}

/* ---- in -------------------------------------------------------------------------- */

/* True: there was a request. Its bytes are out of the way before it is answered. */
static bool client_next(struct client *c)
{
    size_t n = vpn_request_scan(&c->scan, c->in, c->length, c->ended);
    if (n == 0)
        return false;
    char *request = malloc(n);
    if (!request) {
        client_close(c);
        return false;
    }
    memcpy(request, c->in, n);
    memmove(c->in, c->in + n, c->length - n);
    c->length -= n;
    c->scan = (struct vpn_scan){0};
    c->asked = true;
    on_request(c, request, n);
    explicit_bzero(request, n);
    free(request);
    return true;
}

static void client_turn(struct client *c)
{
    c->turning = true;
    while (!c->closing && !c->asked && !c->out && client_next(c))
        continue;
    c->turning = false;
    if (c->closing || c->out)
        return;
    if (!c->asked && c->ended) {
        client_close(c);
        return;
    }
    if (c->length == 0 && !c->asked && c->room > ROOM_FIRST)
        room_wipe(c);
    watch_change(&c->watch, c->asked || c->ended ? 0 : EPOLLIN);
}

static bool client_room(struct client *c)
{
    if (c->length < c->room)
        return true;
    size_t room = c->room ? 2 * c->room : ROOM_FIRST;
    room = room > VPN_LINE_MAX && c->length < VPN_LINE_MAX ? VPN_LINE_MAX : room;
    if (room > VPN_LINE_MAX || room_all + room > ROOM_ALL)
        return false;
    char *in = malloc(room);
    if (!in)
        return false;
    if (c->in) {
        memcpy(in, c->in, c->length);
        explicit_bzero(c->in, c->room);
    }
    free(c->in);
    room_all += room - c->room;
    c->in = in;
    c->room = room;
    return true;
}

static void client_too_long(struct client *c)
{
    static const char text[] = "{\"status\":\"error\",\"error\":\"the request is too "
                               "long\"}\n";
    (void)send(c->watch.fd, text, sizeof text - 1, MSG_NOSIGNAL);
    client_close(c);
}

static void client_heard(struct watch *watch, uint32_t events)
{
    struct client *c = (struct client *)(void *)watch;
    if (events & EPOLLOUT) {
        client_send(c);
        if (!c->closing && !c->out)
            client_turn(c);
        return;
    }
    if (!client_room(c)) {
        client_too_long(c);
        return;
    }
    ssize_t n = recv(watch->fd, c->in + c->length, c->room - c->length, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        client_close(c);
        return;
    }
    c->ended = n == 0;
    c->length += (size_t)n;
    list_take(c);
    list_put(c);
    client_turn(c);
}

/* ---- coming and going ------------------------------------------------------------ */

static void client_open(int fd)
{
    struct client *c = calloc(1, sizeof *c);
    if (!c || !watch_add(&c->watch, fd, EPOLLIN, client_heard)) {
        (void)close(fd);
        free(c);
        return;
    }
    if (clients == CLIENTS_MAX)
        client_close(first);
    clients++;
    list_put(c);
}

static void listener_heard(struct watch *watch, uint32_t events)
{
    const int on = 1;
    (void)events;
    int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE) && first)
        client_close(first);
    if (fd < 0)
        return;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    client_open(fd);
}

bool clients_listen(int fd, client_request *request, client_gone *gone)
{
    on_request = request;
    on_gone = gone;
    return listening < LISTENERS_MAX &&
           watch_add(&listeners[listening++], fd, EPOLLIN, listener_heard);
}

bool clients_busy(void)
{
    for (struct client *c = first; c; c = c->next) {
        if (c->out || c->asked)
            return true;
    }
    return false;
}

void clients_close(void)
{
    while (first)
        client_close(first);
}
