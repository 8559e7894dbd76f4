/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Figures of streams, the same over TCP (names begin with net_), over vsock and,
 * without a VM, over unix sockets. The guest connects to the peer (peer.c), whose
 * first port echoes, the second swallows, the third pours, the fourth accepts and
 * closes; stream_listen is the other way round, and there the host measures.
 *
 * A sender marks its last block instead of shutting down its side: not every VMM's
 * vsock passes a half-close on.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ECHO, SINK, SOURCE, CLOSE };            /* the peer's ports, from bport on */
enum { HOST_ECHO, HOST_CLOSE = 3, HOST_DONE }; /* ours, from bport + 10 on */
enum {
    MESSAGE = 64,
    BLOCK = 128 << 10,
    WARM = 50,
    LIMIT_S = 10,
    CONNECTS_MAX = 3000,
    COUNT_LEAST = 300
};

static char block[BLOCK];

static int is_tcp(const char *name)
{
    return name[0] == 'n';
}

static int port_base(void)
{
    return (int)bench_number("bport", "7000");
}

static int set_limits(int s)
{
    struct timeval limit = {LIMIT_S, 0};
    int one = 1;
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* where it is TCP */
    return s;
}

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_vm vm;
    struct sockaddr_un un;
};

static socklen_t peer_address(const char *name, int port, union address *a)
{
    const char *uds = bench_arg("buds", NULL);
    memset(a, 0, sizeof *a);
    if (is_tcp(name)) {
        a->in = (struct sockaddr_in){.sin_family = AF_INET,
                                     .sin_port = htons((uint16_t)port),
                                     .sin_addr.s_addr =
                                         inet_addr(bench_arg("bpeer", "127.0.0.1"))};
        return sizeof a->in;
    }
    if (uds) {
        a->un.sun_family = AF_UNIX;
        snprintf(a->un.sun_path, sizeof a->un.sun_path, "%s_%d", uds, port);
        return sizeof a->un;
    }
    a->vm = (struct sockaddr_vm){
        .svm_family = AF_VSOCK, .svm_port = (unsigned)port, .svm_cid = VMADDR_CID_HOST};
    return sizeof a->vm;
}

static int dial(const char *name, int which)
{
    union address a;
    socklen_t length = peer_address(name, port_base() + which, &a);
    int s = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return -1;
    if (connect(set_limits(s), &a.any, length)) {
        int why = errno;
        close(s);
        errno = why;
        return -1;
    }
    return s;
}

/* -- the network card, once -- */

static int card_up(const char *own)
{
    struct ifreq r = {.ifr_name = "eth0"};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(own)};
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), bad = 0;
    for (int i = 0; i < 100 && ioctl(s, SIOCGIFFLAGS, &r); i++)
        usleep(20000);
    memcpy(&r.ifr_addr, &a, sizeof a);
    bad |= ioctl(s, SIOCSIFADDR, &r);
    a.sin_addr.s_addr = inet_addr("255.255.255.0");
    memcpy(&r.ifr_netmask, &a, sizeof a);
    bad |= ioctl(s, SIOCSIFNETMASK, &r);
    r.ifr_flags = IFF_UP | IFF_RUNNING;
    bad |= ioctl(s, SIOCSIFFLAGS, &r);
    close(s);
    return bad;
}

static int ready(const char *name)
{
    static int up;
    const char *own = bench_arg("bip", NULL);
    if (!is_tcp(name) || up || !own || !bench_is_init())
        return 0;
    if (card_up(own)) {
        bench_fail(name, "eth0");
        return -1;
    }
    up = 1;
    return 0;
}

/* A connection to the peer's port; the first one may have to wait for the network. */
static int open_stream(const char *name, int which)
{
    int s = -1;
    if (ready(name))
        return -1;
    for (int i = 0; i < 50 && (s = dial(name, which)) < 0; i++)
        usleep(50000);
    if (s < 0)
        bench_fail(name, "connect");
    return s;
}

/* -- figures -- */

static int read_all(int s, char *to, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t n = read(s, to + done, length - done);
        if (n <= 0) {
            errno = n ? errno : ECONNRESET;
            return -1;
        }
        done += (size_t)n;
    }
    return 0;
}

static int write_all(int s, const char *from, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t n = write(s, from + done, length - done);
        if (n <= 0)
            return -1;
        done += (size_t)n;
    }
    return 0;
}

static int round_trip(int s)
{
    return write_all(s, block, MESSAGE) || read_all(s, block, MESSAGE) ? -1 : 0;
}

void stream_ping(const char *name)
{
    int s = open_stream(name, ECHO), bad = 0;
    if (s < 0)
        return;
    for (int i = 0; i < WARM && !bad; i++)
        bad = round_trip(s);
    if (!bad)
        bench_go(name);
    uint64_t end = bench_until(bench_seconds() / 2);
    while (!bad && bench_taken() < BENCH_TIMES_MAX &&
           bench_more(end, bench_taken(), COUNT_LEAST)) {
        uint64_t at = bench_now_ns();
        bad = round_trip(s);
        bench_took(bench_now_ns() - at);
    }
    if (bad) {
        bench_fail(name, "I/O");
    } else {
        bench_end();
        bench_times(name);
    }
    close(s);
}

void stream_send(const char *name)
{
    uint64_t total = 0, swallowed;
    int s = open_stream(name, SINK), bad = 0, more = 1;
    if (s < 0)
        return;
    bench_go(name);
    uint64_t begin = bench_now_ns(), end = bench_until(bench_seconds());
    for (; more && !bad; total += BLOCK) {
        more = bench_more(end, total, COUNT_LEAST * BLOCK);
        block[0] = more ? 'c' : 'e'; /* the last block says that it is the end */
        bad = write_all(s, block, BLOCK);
    }
    bad = bad || read_all(s, (char *)&swallowed, sizeof swallowed);
    double took = (double)(bench_now_ns() - begin);
    if (bad || swallowed != total) {
        bench_fail(name, "I/O");
    } else {
        bench_end();
        bench_rate(name, "MB/s", (double)total * 1e3 / took, total);
    }
    close(s);
}

void stream_receive(const char *name)
{
    uint64_t total = 0;
    ssize_t n = 1;
    int s = open_stream(name, SOURCE);
    if (s < 0)
        return;
    bench_go(name);
    uint64_t begin = bench_now_ns(), end = bench_until(bench_seconds());
    for (; n > 0 && bench_more(end, total, COUNT_LEAST * BLOCK);
         total += n > 0 ? (uint64_t)n : 0)
        n = read(s, block, sizeof block);
    double took = (double)(bench_now_ns() - begin);
    if (n <= 0) {
        bench_fail(name, "I/O");
    } else {
        bench_end();
        bench_rate(name, "MB/s", (double)total * 1e3 / took, total);
    }
    close(s);
    usleep(50000); /* what was in flight is no part of the next figure */
}

/* Connects and waits for the peer's close. */
static int connect_once(const char *name)
{
    int s = dial(name, CLOSE);
    if (s < 0)
        return -1;
    ssize_t n = read(s, block, 1);
    int why = errno;
    close(s);
    errno = why;
    return n < 0 && why != ECONNRESET ? -1 : 0;
}

void stream_connect(const char *name)
{
    char times[64];
    int s = open_stream(name, CLOSE);
    if (s < 0)
        return;
    close(s);
    bench_go(name);
    uint64_t begin = bench_now_ns(), end = bench_until(bench_seconds() / 2);
    while (bench_taken() < CONNECTS_MAX &&
           bench_more(end, bench_taken(), COUNT_LEAST)) {
        uint64_t at = bench_now_ns();
        if (connect_once(name)) {
            bench_fail(name, "connect");
            return;
        }
        bench_took(bench_now_ns() - at);
    }
    double took = (double)(bench_now_ns() - begin);
    bench_end();
    bench_rate(name, "/s", bench_taken() * 1e9 / took, bench_taken());
    snprintf(times, sizeof times, "%s_us", name);
    bench_times(times);
}

/* -- the host connects -- */

static int listen_on(int which)
{
    struct sockaddr_vm a = {.svm_family = AF_VSOCK,
                            .svm_port = (unsigned)(port_base() + 10 + which),
                            .svm_cid = VMADDR_CID_ANY};
    int s = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return s < 0 || bind(s, (struct sockaddr *)&a, sizeof a) || listen(s, 16) ? -1 : s;
}

static void answer(int listener, int echo)
{
    int s = accept(listener, NULL, NULL);
    ssize_t n;
    if (s < 0)
        return;
    set_limits(s);
    while (echo && (n = read(s, block, MESSAGE)) > 0 && !write_all(s, block, (size_t)n))
        ;
    close(s);
}

void stream_listen(const char *name)
{
    struct pollfd p[] = {{.fd = listen_on(HOST_ECHO), .events = POLLIN},
                         {.fd = listen_on(HOST_CLOSE), .events = POLLIN},
                         {.fd = listen_on(HOST_DONE), .events = POLLIN}};
    int done = 0;
    if (p[0].fd < 0 || p[1].fd < 0 || p[2].fd < 0) {
        bench_fail(name, "listen");
        return;
    }
    bench_say("BENCH-MARK vsockl\n");
    while (!done && poll(p, 3, 15000) > 0) {
        for (int i = 0; i < 3; i++) {
            if (p[i].revents & POLLIN)
                answer(p[i].fd, i == 0);
        }
        done = p[2].revents & POLLIN;
    }
    if (!done) {
        errno = ETIMEDOUT;
        bench_fail(name, "the host did not connect");
    }
    for (int i = 0; i < 3; i++)
        close(p[i].fd);
}
