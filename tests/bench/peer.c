/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The host's side of the stream figures (guest/stream.c).
 *
 *   peer serve PORT UDS           TCP ports PORT..PORT+3 and unix sockets UDS_PORT..:
 * the first echoes, the second swallows and says how much, the third pours, the fourth
 * accepts and closes peer client PORT UDS SECONDS  connects to the guest through UDS
 * ("CONNECT port\n", "OK ..."), prints figures as the guest does
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { ECHO, SINK, SOURCE, CLOSE, SERVICES };
enum { GUEST_ECHO = 10, GUEST_CLOSE = 13, GUEST_DONE = 14 };
enum { BLOCK = 128 << 10, BUFFER = 2 * BLOCK, MESSAGE = 64, LIMIT_S = 15, WARM = 50 };
enum { TIMES_MAX = 20000, CONNECTS_MAX = 3000 };

struct service {
    int listener, kind;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void set_limits(int s)
{
    struct timeval limit = {LIMIT_S, 0};
    int one = 1;
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* where it is TCP */
}

/* -- the peer that waits -- */

/* Whether one of the blocks that begin within these bytes is the last one ('e'). */
static int last_block(const char *bytes, size_t length, uint64_t before, uint64_t *end)
{
    uint64_t first = (before + BLOCK - 1) / BLOCK * BLOCK;
    for (uint64_t at = first; at < before + length; at += BLOCK) {
        if (bytes[at - before] == 'e')
            *end = at + BLOCK;
    }
    return *end && before + length >= *end;
}

static void swallow(int s, char *buffer)
{
    uint64_t total = 0, end = 0;
    for (int last = 0; !last;) {
        ssize_t n = read(s, buffer, BUFFER);
        if (n <= 0)
            return;
        last = last_block(buffer, (size_t)n, total, &end);
        total += (uint64_t)n;
    }
    if (write(s, &total, sizeof total) < 0)
        return; /* it has left */
}

static void serve_one(int s, int kind, char *buffer)
{
    ssize_t n;
    set_limits(s);
    if (kind == ECHO) {
        while ((n = read(s, buffer, BUFFER)) > 0 && write(s, buffer, (size_t)n) == n)
            ;
    } else if (kind == SINK) {
        swallow(s, buffer);
    } else if (kind == SOURCE) {
        while (write(s, buffer, BUFFER) > 0)
            ;
    }
    close(s);
}

static void *serve(void *arg)
{
    struct service *service = arg;
    char *buffer = calloc(1, BUFFER);
    while (buffer) {
        int s = accept(service->listener, NULL, NULL);
        if (s >= 0)
            serve_one(s, service->kind, buffer);
        else if (errno != EINTR && errno != ECONNABORTED)
            break;
    }
    free(buffer);
    return NULL;
}

static int listen_tcp(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    return bind(s, (struct sockaddr *)&a, sizeof a) || listen(s, 128) ? -1 : s;
}

static int listen_unix(const char *uds, int port)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(a.sun_path, sizeof a.sun_path, "%s_%d", uds, port);
    unlink(a.sun_path);
    return bind(s, (struct sockaddr *)&a, sizeof a) || listen(s, 128) ? -1 : s;
}

static int peer_serve(int port, const char *uds)
{
    static struct service service[2 * SERVICES];
    for (int i = 0; i < 2 * SERVICES; i++) {
        pthread_t thread;
        service[i].kind = i % SERVICES;
        service[i].listener = i < SERVICES ? listen_tcp(port + service[i].kind)
                                           : listen_unix(uds, port + service[i].kind);
        if (service[i].listener < 0 ||
            pthread_create(&thread, NULL, serve, &service[i])) {
            perror("peer");
            return 1;
        }
    }
    printf("ready\n");
    fflush(stdout);
    for (;;)
        pause();
}

/* -- the peer that connects -- */

static int dial(const char *uds, int port)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char line[64];
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t have = 0, length = (size_t)snprintf(line, sizeof line, "CONNECT %d\n", port);
    snprintf(a.sun_path, sizeof a.sun_path, "%s", uds);
    set_limits(s);
    if (connect(s, (struct sockaddr *)&a, sizeof a) ||
        write(s, line, length) != (ssize_t)length)
        goto fail;
    do { /* a byte at a time: what follows the line belongs to the stream */
        if (have == sizeof line || read(s, line + have, 1) != 1)
            goto fail;
    } while (line[have++] != '\n');
    if (have > 3 && !memcmp(line, "OK ", 3))
        return s;
fail:
    close(s);
    return -1;
}

static int round_trip(int s)
{
    char message[MESSAGE] = "";
    if (write(s, message, sizeof message) != sizeof message)
        return -1;
    for (size_t done = 0; done < sizeof message;) {
        ssize_t n = read(s, message + done, sizeof message - done);
        if (n <= 0)
            return -1;
        done += (size_t)n;
    }
    return 0;
}

static int times_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void client_ping(const char *uds, int port, double seconds)
{
    static uint32_t took[TIMES_MAX];
    int n = 0, s = dial(uds, port + GUEST_ECHO), bad = s < 0;
    for (int i = 0; i < WARM && !bad; i++)
        bad = round_trip(s);
    uint64_t end = now_ns() + (uint64_t)(seconds / 2 * 1e9), at;
    for (; !bad && n < TIMES_MAX && (at = now_ns()) < end; n++) {
        bad = round_trip(s);
        took[n] = (uint32_t)(now_ns() - at);
    }
    close(s);
    if (bad || !n) {
        printf("BENCH {\"test\":\"vsockl_ping\",\"error\":\"I/O\"}\n");
        return;
    }
    qsort(took, (size_t)n, sizeof took[0], times_order);
    printf(
        "BENCH {\"test\":\"vsockl_ping\",\"unit\":\"us\",\"value\":%.2f,\"p99\":%.2f,"
        "\"n\":%d}\n",
        took[n / 2] / 1e3, took[n * 99 / 100] / 1e3, n);
}

static void client_connect(const char *uds, int port, double seconds)
{
    int n = 0, bad = 0;
    char byte;
    uint64_t begin = now_ns(), end = begin + (uint64_t)(seconds / 2 * 1e9);
    for (; n < CONNECTS_MAX && bad < 10 && now_ns() < end; n++) {
        int s = dial(uds, port + GUEST_CLOSE);
        bad += s < 0 || read(s, &byte, 1) < 0;
        if (s >= 0)
            close(s);
    }
    double took = (double)(now_ns() - begin);
    if (bad)
        printf("BENCH {\"test\":\"vsockl_conn\",\"error\":\"%d of %d failed\"}\n", bad,
               n);
    else
        printf(
            "BENCH {\"test\":\"vsockl_conn\",\"unit\":\"/s\",\"value\":%.1f,\"n\":%d}\n",
            n * 1e9 / took, n);
}

static int peer_client(int port, const char *uds, double seconds)
{
    client_ping(uds, port, seconds);
    client_connect(uds, port, seconds);
    for (int i = 0; i < 20; i++) {
        int s = dial(uds, port + GUEST_DONE);
        if (s >= 0) {
            close(s);
            return 0;
        }
        usleep(50000);
    }
    return 1;
}

int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    if (argc == 4 && !strcmp(argv[1], "serve"))
        return peer_serve(atoi(argv[2]), argv[3]);
    if (argc == 5 && !strcmp(argv[1], "client"))
        return peer_client(atoi(argv[2]), argv[3], atof(argv[4]));
    fprintf(stderr, "usage: peer serve PORT UDS | peer client PORT UDS SECONDS\n");
    return 2;
}
