/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * outbound-proxy: a SOCKS5 server inside the guest whose connections the host makes,
 * where its user allows it (proto/outbound.md). Each has a connection of the socket
 * device of its own. One thread, and no names are looked up here: the host does.
 */
#define _GNU_SOURCE
#include "outbound_relay.h"
#include "program.h"

#include "proto/proxy.h"

#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    OPENING_MS =
        35000,     /* from a client's first byte to its target: the host has 30 s */
    TICK_MS = 500, /* how exactly that is kept */
    CONNECTIONS_MAX = 4096,
    HEARD_MAX = SOCKS_REQUEST_MAX
};

enum phase { METHODS, REQUEST, CONNECTING, ANSWERING, OPEN };

struct conn {
    struct outbound_relay
        relay;               /* its first member, and the client's watch its first */
    struct conn *next, **at; /* in `opening`, or in `open` */
    int64_t deadline_ms;
    enum phase phase;
    bool over;
    struct outbound_target target;
    size_t length, used; /* heard of the client; of it the request */
    uint8_t heard[HEARD_MAX];
    size_t answered;
    uint8_t answer[OUTBOUND_RESPONSE];
    struct later later;
};
#define CONN_OF(ptr, member) \
    ((struct conn *)(void *)((char *)(ptr)-offsetof(struct conn, member)))

static const char program[] = "outbound-proxy";
static union {
    struct sockaddr any;
    struct sockaddr_vm vsock;
    struct sockaddr_in tcp;
} host;
static socklen_t host_length;
static struct conn *opening, *open_conns;
static unsigned connections;
static uint64_t last_key;
static struct watch listener;

/* ---- lists and ends -------------------------------------------------------------- */

static void conn_put(struct conn *c, struct conn **list)
{
    c->next = *list;
    c->at = list;
    if (c->next)
        c->next->at = &c->next;
    *list = c;
}

static void conn_take(struct conn *c)
{
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
}

static void conn_later(struct later *later)
{
    struct conn *c = CONN_OF(later, later);
    conn_take(c);
    connections--;
    free(c);
}

static void conn_close(struct conn *c)
{
    if (c->over)
        return;
    c->over = true;
    watch_close(&c->relay.client);
    watch_close(&c->relay.host);
    loop_later(&c->later, conn_later);
}

/* The client must not take what it has for all; the host knows by a missing Close. */
static void conn_cut(struct conn *c)
{
    const struct linger at_once = {.l_onoff = 1};
    (void)setsockopt(c->relay.client.fd, SOL_SOCKET, SO_LINGER, &at_once,
                     sizeof at_once);
    conn_close(c);
}

/* ---- to the host ----------------------------------------------------------------- */

static enum socks_status status_of(enum outbound_status status)
{
    switch (status) {
    case OUTBOUND_OK:
        return SOCKS_OK;
    case OUTBOUND_REFUSED:
        return SOCKS_REFUSED;
    case OUTBOUND_HOST_UNREACHABLE:
    case OUTBOUND_TIMED_OUT:
    case OUTBOUND_NO_NAME:
        return SOCKS_HOST_UNREACHABLE;
    case OUTBOUND_NETWORK_UNREACHABLE:
        return SOCKS_NETWORK_UNREACHABLE;
    case OUTBOUND_NOT_ALLOWED:
        return SOCKS_NOT_ALLOWED;
    case OUTBOUND_FAILURE:
        break;
    }
    return SOCKS_FAILURE;
}

/* Ten bytes into a socket that has had two. */
static void conn_reply(struct conn *c, enum socks_status status)
{
    uint8_t reply[SOCKS_REPLY_MAX];
    (void)send(c->relay.client.fd, reply, socks_reply_write(reply, status),
               MSG_NOSIGNAL);
}

static void conn_refuse(struct conn *c, enum socks_status status)
{
    conn_reply(c, status);
    conn_close(c);
}

static void conn_turn(struct conn *c)
{
    int rc = outbound_relay_turn(&c->relay);
    if (rc < 0)
        conn_cut(c);
    else if (rc == 0)
        conn_close(c);
}

static void conn_open(struct conn *c)
{
    conn_reply(c, SOCKS_OK);
    conn_take(c);
    conn_put(c, &open_conns);
    c->phase = OPEN;
    if (outbound_relay_open(&c->relay, c->target.key, c->heard + c->used,
                            c->length - c->used))
        conn_turn(c);
    else
        conn_cut(c);
}

static void conn_hear_answer(struct conn *c)
{
    enum outbound_status status;
    ssize_t n = recv(c->relay.host.fd, c->answer + c->answered,
                     sizeof c->answer - c->answered, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    c->answered += n > 0 ? (size_t)n : 0;
    int used =
        n > 0 ? outbound_response_read(c->answer, c->answered, c->target.key, &status)
              : -1;
    if (used < 0)
        conn_refuse(c, SOCKS_FAILURE);
    else if (used > 0 && status != OUTBOUND_OK)
        conn_refuse(c, status_of(status));
    else if (used > 0)
        conn_open(c);
}

/* A few bytes into a socket that is new. */
static void conn_ask(struct conn *c)
{
    uint8_t bytes[OUTBOUND_CONNECT_MAX];
    int error = 0;
    socklen_t size = sizeof error;
    (void)getsockopt(c->relay.host.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    size_t length = outbound_connect_write(bytes, &c->target);
    if (error ||
        send(c->relay.host.fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length) {
        conn_refuse(c, SOCKS_FAILURE);
        return;
    }
    c->phase = ANSWERING;
    watch_change(&c->relay.host, EPOLLIN);
}

static void host_heard(struct watch *watch, uint32_t events)
{
    struct conn *c = CONN_OF(watch, relay.host);
    (void)events;
    if (c->phase == CONNECTING)
        conn_ask(c);
    else if (c->phase == ANSWERING)
        conn_hear_answer(c);
    else
        conn_turn(c);
}

static int host_connect(int flags)
{
    const int on = 1;
    int fd = socket(host.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0)
        return -1;
    if (host.any.sa_family == AF_INET)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!connect(fd, &host.any, host_length) || errno == EINPROGRESS)
        return fd;
    int error = errno;
    (void)close(fd);
    errno = error;
    return -1;
}

/* The address as the request has it: socks_request_read knows it to be good. */
static void conn_connect(struct conn *c, uint16_t port)
{
    bool name = c->heard[3] == OUTBOUND_NAME;
    c->target.key = ++last_key;
    c->target.type = (enum outbound_address)c->heard[3];
    c->target.length = (uint8_t)(c->used - (name ? 7 : 6));
    memcpy(c->target.address, c->heard + (name ? 5 : 4), c->target.length);
    c->target.port = port;
    watch_change(&c->relay.client, 0);
    int fd = host_connect(SOCK_NONBLOCK);
    if (fd < 0) {
        conn_refuse(c, SOCKS_FAILURE);
        return;
    }
    c->phase = CONNECTING;
    if (!watch_add(&c->relay.host, fd, EPOLLOUT, host_heard))
        conn_refuse(c, SOCKS_FAILURE);
}

/* ---- what a client says ---------------------------------------------------------- */

/* Bytes understood, 0: more are needed; -1: nothing that can be answered. */
static int conn_methods(struct conn *c)
{
    static const uint8_t none[] = {5, SOCKS_NONE};
    unsigned methods;
    int used = socks_methods_read(c->heard, c->length, &methods);
    if (used > 0)
        (void)send(c->relay.client.fd, none, sizeof none, MSG_NOSIGNAL);
    return used;
}

static void conn_request(struct conn *c)
{
    struct proxy_target target;
    enum socks_status status;
    int used = socks_request_read(c->heard, c->length, &target, &status);
    if (used == 0)
        return;
    c->used = used > 0 ? (size_t)used : 0;
    if (used < 0)
        conn_close(c);
    else if (status != SOCKS_OK)
        conn_refuse(c, status);
    else
        conn_connect(c, target.port);
}

static void conn_hear(struct conn *c)
{
    ssize_t n =
        recv(c->relay.client.fd, c->heard + c->length, sizeof c->heard - c->length, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn_close(c);
        return;
    }
    c->length += (size_t)n;
    if (c->phase == METHODS) {
        int used = conn_methods(c);
        if (used < 0)
            conn_close(c);
        if (used <= 0)
            return;
        c->phase = REQUEST;
        c->length -= (size_t)used;
        memmove(c->heard, c->heard + used, c->length);
    }
    conn_request(c);
}

static void client_heard(struct watch *watch, uint32_t events)
{
    struct conn *c = CONN_OF(watch, relay.client);
    (void)events;
    if (c->phase == OPEN)
        conn_turn(c);
    else
        conn_hear(c);
}

static void client_came(int fd)
{
    struct conn *c = connections < CONNECTIONS_MAX ? calloc(1, sizeof *c) : NULL;
    if (!c || !watch_add(&c->relay.client, fd, EPOLLIN, client_heard)) {
        (void)close(fd);
        free(c);
        return;
    }
    c->relay.host = (struct watch)WATCH_NONE;
    c->deadline_ms = loop_now_ms() + OPENING_MS;
    connections++;
    conn_put(c, &opening);
}

static void listener_heard(struct watch *watch, uint32_t events)
{
    const int on = 1;
    (void)events;
    for (;;) {
        int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0 && errno != EAGAIN)
            watch_change(watch, 0); /* no descriptors: at the next tick again */
        if (fd < 0)
            return;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        client_came(fd);
    }
}

static void conns_expire(void)
{
    int64_t now_ms = loop_now_ms();
    for (struct conn *c = opening, *next; c; c = next) {
        next = c->next;
        if (c->deadline_ms > now_ms)
            continue;
        c->deadline_ms = INT64_MAX; /* it is freed later */
        conn_refuse(c, SOCKS_HOST_UNREACHABLE);
    }
    watch_change(&listener, EPOLLIN);
}

/* ---- the program ----------------------------------------------------------------- */

static const char usage[] =
    "Usage: outbound-proxy [OPTIONS]\n\n"
    "A SOCKS5 server whose connections the host makes, where its user allows them\n"
    "(microvm run --outbound 'allow example.com:443').\n\n"
    "  -l, --listen ADDR:PORT   where it listens (127.0.0.1:1080)\n"
    "  -p, --vsock-port N       port of the host (7601)\n"
    "  -c, --connect ADDR:PORT  the host by TCP instead, where there is no socket\n"
    "                           device\n"
    "  -t, --test               say whether the host takes connections, and end\n"
    "  -h, --help               this text\n\n"
    "Example: outbound-proxy & curl --socks5-hostname 127.0.0.1:1080 "
    "https://example.com\n";

static int test(void)
{
    int fd = host_connect(0);
    if (fd < 0)
        program_fail(program, "the host takes no connections (see microvm run --help, "
                              "--outbound)");
    (void)close(fd);
    return puts("the host takes connections") < 0;
}

struct options {
    struct sockaddr_in listen;
    bool test;
};

static struct options options(int argc, char **argv)
{
    static const struct option known[] = {{"listen", required_argument, NULL, 'l'},
                                          {"vsock-port", required_argument, NULL, 'p'},
                                          {"connect", required_argument, NULL, 'c'},
                                          {"test", no_argument, NULL, 't'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    char anywhere[] = "127.0.0.1:1080";
    struct options out = {.listen = program_address(program, anywhere)};
    int o;
    host.vsock = program_vsock(VMADDR_CID_HOST, OUTBOUND_PORT);
    host_length = sizeof host.vsock;
    while ((o = getopt_long(argc, argv, "l:p:c:th", known, NULL)) != -1) {
        if (o == 'l') {
            out.listen = program_address(program, optarg);
        } else if (o == 'p') {
            host.vsock.svm_port =
                program_number(program, optarg, UINT32_MAX - 1, "a port is not");
        } else if (o == 'c') {
            host.tcp = program_address(program, optarg);
            host_length = sizeof host.tcp;
        } else if (o == 't') {
            out.test = true;
        } else if (o == 'h') {
            exit(fputs(usage, stdout) < 0);
        } else {
            exit(2); /* getopt has said why */
        }
    }
    if (optind < argc)
        program_wrong(program, "unknown word", argv[optind]);
    return out;
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct options given = options(argc, argv);
    if (given.test)
        return test();
    int fd = program_listen(program, &given.listen, sizeof given.listen);
    program_files();
    if (!loop_open() || !watch_add(&listener, fd, EPOLLIN, listener_heard))
        program_fail(program, "it cannot start");
    int64_t tick_ms = loop_now_ms();
    for (;;) {
        bool waits = opening || !listener.events;
        loop_turn(waits ? TICK_MS : -1);
        if (loop_now_ms() - tick_ms < TICK_MS)
            continue;
        tick_ms = loop_now_ms();
        conns_expire();
    }
}
