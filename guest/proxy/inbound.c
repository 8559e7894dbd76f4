/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * inbound-proxy: the way from the host to what this guest reaches (proto/proxy.md). It
 * listens on a port of the socket device, or on TCP where there is none (WSL2), hears
 * where a connection is to go, makes it, through the VPN's tunnel when there is one,
 * and hands both ends to a relay. One thread; only names are looked up beside it.
 */
#define _GNU_SOURCE
#include "dial.h"
#include "names.h"
#include "program.h"
#include "relay.h"
#include "tunnel.h"

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    OPENING_MS = 30000, /* from a client's first byte to its target */
    TICK_MS = 500,      /* how exactly that is kept */
    CONNECTIONS_MAX = 8192,
    VSOCK_WINDOW = 1 << 20,
    HEARD_MAX = PROXY_HELLO_BYTES + SOCKS_REQUEST_MAX
};

struct conn {
    struct watch client;     /* its first member: until the relay has it */
    struct conn *next, **at; /* in `opening`, or in `open` */
    int64_t deadline_ms;
    struct proxy_request request;
    size_t length, used; /* heard; of it the request */
    uint8_t heard[HEARD_MAX];
    struct dial dial;
    bool dialling;
    struct relay relay;
    struct later later;
};
#define CONN_OF(ptr, member) \
    ((struct conn *)(void *)((char *)(ptr)-offsetof(struct conn, member)))

static const char program[] = "inbound-proxy";
static struct dial_way way;
static struct conn *opening, *open_conns;
static unsigned connections;
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

static void conn_free(struct conn *c)
{
    conn_take(c);
    connections--;
    free(c);
}

static void conn_later(struct later *later)
{
    conn_free(CONN_OF(later, later));
}

static void conn_close(struct conn *c)
{
    if (c->dialling)
        dial_end(&c->dial);
    watch_close(&c->client);
    loop_later(&c->later, conn_later);
}

static void relay_ended(struct relay *relay)
{
    conn_free(CONN_OF(relay, relay));
}

/* ---- from the request to the relay ----------------------------------------------- */

/* Ten bytes into a socket that nothing was written to. */
static void conn_reply(struct conn *c, enum socks_status status)
{
    uint8_t reply[SOCKS_REPLY_MAX];
    if (c->request.socks)
        (void)send(c->client.fd, reply, socks_reply_write(reply, status), MSG_NOSIGNAL);
}

/* That is all, and is said to be: a close alone would be the end of a cut. */
static void conn_refuse(struct conn *c, enum socks_status status)
{
    conn_reply(c, status);
    (void)shutdown(c->client.fd, SHUT_WR);
    conn_close(c);
}

static void conn_dialled(struct dial *dial, int fd, enum socks_status status)
{
    struct conn *c = CONN_OF(dial, dial);
    c->dialling = false;
    if (fd < 0) {
        conn_refuse(c, status);
        return;
    }
    conn_reply(c, SOCKS_OK);
    conn_take(c);
    conn_put(c, &open_conns);
    relay_open(&c->relay, watch_keep(&c->client), fd, relay_ended);
    if (c->length > c->used)
        relay_first(&c->relay, c->heard + c->used, c->length - c->used);
}

static void conn_dial(struct conn *c)
{
    enum socks_status status = c->request.status;
    watch_change(&c->client, 0);
    c->dialling = status == SOCKS_OK &&
                  dial_begin(&c->dial, &way, &c->request.target, conn_dialled, &status);
    if (!c->dialling)
        conn_refuse(c, status);
}

static void conn_heard(struct watch *watch, uint32_t events)
{
    struct conn *c = (struct conn *)(void *)watch;
    (void)events;
    ssize_t n = recv(watch->fd, c->heard + c->length, sizeof c->heard - c->length, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn_close(c);
        return;
    }
    c->length += (size_t)n;
    int used = proxy_request_read(c->heard, c->length, &c->request);
    if (used < 0) {
        conn_close(c);
    } else if (used > 0) {
        c->used = (size_t)used;
        conn_dial(c);
    }
}

/* ---- clients --------------------------------------------------------------------- */

static void conn_open(int fd)
{
    struct conn *c = connections < CONNECTIONS_MAX ? calloc(1, sizeof *c) : NULL;
    if (!c || !watch_add(&c->client, fd, EPOLLIN, conn_heard)) {
        (void)close(fd);
        free(c);
        return;
    }
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
        conn_open(fd);
    }
}

static void conns_expire(void)
{
    int64_t now_ms = loop_now_ms();
    for (struct conn *c = opening, *next; c; c = next) {
        next = c->next;
        if (c->deadline_ms <= now_ms) {
            c->deadline_ms = INT64_MAX; /* it is freed later */
            conn_refuse(c, SOCKS_HOST_UNREACHABLE);
        } else if (c->dialling) {
            dial_expire(&c->dial, now_ms);
        }
    }
    watch_change(&listener, EPOLLIN);
}

static void tunnel_is_down(void)
{
    for (struct conn *c = open_conns, *next; c; c = next) {
        next = c->next;
        if (c->dial.bound)
            relay_abort(&c->relay);
    }
}

/* ---- the program ----------------------------------------------------------------- */

static const char usage[] =
    "Usage: inbound-proxy [OPTIONS]\n\n"
    "Takes connections of the host and makes those that they ask for.\n\n"
    "  -p, --port N          port of the socket device to listen on (7602)\n"
    "  -l, --listen ADDR:PORT  listen on TCP instead, where there is no socket device\n"
    "  -i, --interface NAME  go through this interface while it is up, a VPN's tun0 for\n"
    "                        example\n"
    "  -o, --only            and never otherwise (names are asked for as routes say)\n"
    "  -h, --help            this text\n\n"
    "Example: inbound-proxy --interface tun0 --only\n";

/* What the host may send ahead: more at once for each change between us and a target's
 * side. Connections have it from their listener, and memory only while bytes wait. */
static int listen_vsock(uint32_t port)
{
    const struct sockaddr_vm address = program_vsock(VMADDR_CID_ANY, port);
    const uint64_t window = VSOCK_WINDOW;
    int fd = program_listen(program, &address, sizeof address);
    (void)setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE, &window,
                     sizeof window);
    (void)setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &window, sizeof window);
    return fd;
}

static int listen_tcp(char *text)
{
    const struct sockaddr_in address = program_address(program, text);
    return program_listen(program, &address, sizeof address);
}

static int options(int argc, char **argv)
{
    static const struct option known[] = {{"port", required_argument, NULL, 'p'},
                                          {"listen", required_argument, NULL, 'l'},
                                          {"interface", required_argument, NULL, 'i'},
                                          {"only", no_argument, NULL, 'o'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    uint32_t port = PROXY_PORT;
    char *tcp = NULL;
    int o;
    while ((o = getopt_long(argc, argv, "p:l:i:oh", known, NULL)) != -1) {
        if (o == 'p')
            port = program_number(program, optarg, UINT32_MAX - 1, "a port is not");
        else if (o == 'l')
            tcp = optarg;
        else if (o == 'i')
            way.interface = optarg;
        else if (o == 'o')
            way.only = true;
        else if (o == 'h')
            exit(fputs(usage, stdout) < 0);
        else
            exit(2); /* getopt has said why */
    }
    if (optind < argc)
        program_wrong(program, "unknown word", argv[optind]);
    if (way.only && !way.interface)
        program_wrong(program, "which interface?", "--only");
    return tcp ? listen_tcp(tcp) : listen_vsock(port);
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    int fd = options(argc, argv);
    program_files();
    if (!loop_open() || !names_open() ||
        !watch_add(&listener, fd, EPOLLIN, listener_heard))
        program_fail(program, "it cannot start");
    if (way.interface && !tunnel_watch(&way, tunnel_is_down))
        program_fail(program, "it cannot watch interfaces");
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
