/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Connections with a Linux guest, both ways, through the public API: many one after the
 * other, many at once with their bytes checked, messages, half-close, refusal, waiting
 * for a guest that is not there yet, pause, the driver's reset, the machine's end.
 *
 * Usage: api_vsock CYCLES AT_ONCE KIB SLOW KEY=VALUE...
 */
#define _GNU_SOURCE
#include "drive.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ECHO = 10,
    CLOSE = 11,
    REBIND = 12,
    STOP = 13,
    SILENT = 14,
    MESSAGES = 15
}; /* guests/vsock.c */
enum { HOST_CLOSE = 20, HOST_HALF = 21, HOST_MESSAGES = 22 };
enum { LONGEST = 64 << 10 };
enum { ANSWER_MS = 120000, AT_ONCE_MAX = 64, BLOCK = 64 << 10 };

static intptr_t dial(struct drive *d, uint32_t port)
{
    microvm_error err;
    intptr_t s;
    drive_check("connect", microvm_connect(d->vm, port, ANSWER_MS, &s, &err), &err);
    return s;
}

/* Until `length` bytes or the end have come, or ANSWER_MS are over. */
static size_t read_all(intptr_t s, void *data, size_t length)
{
    size_t got = 0;
    while (got < length) {
        microvm_error err;
        int64_t n =
            microvm_console_read(s, (char *)data + got, length - got, ANSWER_MS, &err);
        if (n < 0)
            drive_fail("reading a connection: %s", err.message);
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return got;
}

static void expect_end(intptr_t s, const char *what)
{
    char byte;
    if (read_all(s, &byte, 1) != 0)
        drive_fail("%s: a byte instead of the end", what);
}

/* -- one after the other -- */

static void cycles(struct drive *d, unsigned count)
{
    uint64_t began = drive_now_ms();
    for (unsigned i = 0; i < count; i++) {
        intptr_t s = dial(d, CLOSE);
        expect_end(s, "cycle");
        close((int)s);
    }
    printf("%u connections to the guest in %llu ms\n", count,
           (unsigned long long)(drive_now_ms() - began));
}

static void cycles_of_guest(struct drive *d, unsigned count)
{
    microvm_error err;
    for (unsigned i = 0; i < count; i++) {
        intptr_t s;
        drive_check("accept",
                    microvm_accept(d->vm, HOST_CLOSE, 5 * ANSWER_MS, &s, &err), &err);
        close((int)s);
    }
    char wanted[32];
    snprintf(wanted, sizeof wanted, "%u of %u", count, count);
    const char *said = drive_expect(d, "MV vsock-dial ", ANSWER_MS);
    if (strncmp(said, wanted, strlen(wanted)))
        drive_fail("the guest's connections: %s", said);
}

/* -- at once -- */

struct flow {
    intptr_t s;
    size_t sent, got;
};

static unsigned char stream(unsigned which, size_t at)
{
    return (unsigned char)(at * 31 + (at >> 8) * 7 + (at >> 16) * 13 + which * 101);
}

static void flow_write(struct flow *f, unsigned which, size_t total)
{
    static unsigned char block[BLOCK];
    size_t n = total - f->sent < BLOCK ? total - f->sent : BLOCK;
    for (size_t i = 0; i < n; i++)
        block[i] = stream(which, f->sent + i);
    ssize_t done = send((int)f->s, block, n, MSG_NOSIGNAL);
    if (done < 0 && errno != EAGAIN)
        drive_fail("connection %u: writing: %s", which, strerror(errno));
    f->sent += done > 0 ? (size_t)done : 0;
    if (f->sent == total)
        shutdown((int)f->s, SHUT_WR);
}

/* True at the end. */
static int flow_read(struct flow *f, unsigned which, size_t total)
{
    static unsigned char block[BLOCK];
    ssize_t n = recv((int)f->s, block, BLOCK, 0);
    if (n < 0 && errno != EAGAIN)
        drive_fail("connection %u: reading: %s", which, strerror(errno));
    for (ssize_t i = 0; i < n; i++) {
        if (block[i] != stream(which, f->got + (size_t)i))
            drive_fail("connection %u: byte %zu is wrong", which, f->got + (size_t)i);
    }
    f->got += n > 0 ? (size_t)n : 0;
    if (n == 0 && f->got != total)
        drive_fail("connection %u: ended after %zu of %zu bytes", which, f->got, total);
    return n == 0;
}

/* Every byte goes to the guest and comes back; the end, too. */
static void at_once(struct drive *d, unsigned count, size_t total)
{
    struct flow flow[AT_ONCE_MAX];
    struct pollfd p[AT_ONCE_MAX];
    uint64_t began = drive_now_ms();
    unsigned open = count;
    for (unsigned i = 0; i < count; i++) {
        flow[i] = (struct flow){dial(d, ECHO), 0, 0};
        p[i] = (struct pollfd){.fd = (int)flow[i].s, .events = POLLIN | POLLOUT};
    }
    while (open) {
        if (poll(p, count, ANSWER_MS) <= 0)
            drive_fail("%u connections stand still", open);
        for (unsigned i = 0; i < count; i++) {
            if (p[i].revents & POLLOUT && flow[i].sent < total)
                flow_write(&flow[i], i, total);
            if (flow[i].sent == total)
                p[i].events = POLLIN;
            if (p[i].revents & (POLLIN | POLLHUP) && flow_read(&flow[i], i, total)) {
                close(p[i].fd);
                p[i].fd = -1;
                open--;
            }
        }
    }
    uint64_t ms = drive_now_ms() - began;
    printf("%u connections with %zu KiB each way in %llu ms\n", count, total >> 10,
           (unsigned long long)ms);
}

/* -- messages -- */

/* As in guests/vsock.c. */
static size_t message_length(uint32_t i)
{
    uint32_t r = (i + 1) * 2654435761u;
    return 1 + (r >> 8) % (1u << (1 + (r >> 4) % 16));
}

static void message_fill(unsigned char *to, uint32_t i, size_t length)
{
    for (size_t k = 0; k < length; k++)
        to[k] = (unsigned char)(i * 31 + k + (k >> 8) * 7);
}

/* One more, if there is room. */
static unsigned message_send(intptr_t s, uint32_t i)
{
    static unsigned char data[LONGEST];
    size_t length = message_length(i);
    message_fill(data, i, length);
    ssize_t n = send((int)s, data, length, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN)
        drive_fail("message %u: %s", i, strerror(errno));
    return n > 0;
}

/* One more, if it is there; each is as it was sent. */
static unsigned message_receive(intptr_t s, uint32_t i)
{
    static unsigned char data[LONGEST + 1], wanted[LONGEST];
    ssize_t n = recv((int)s, data, sizeof data, 0);
    if (n < 0 && errno == EAGAIN)
        return 0;
    size_t length = message_length(i);
    message_fill(wanted, i, length);
    if (n != (ssize_t)length || memcmp(data, wanted, length))
        drive_fail("message %u of %zu bytes: %zd bytes", i, length, n);
    return 1;
}

/* Every message goes to the guest and comes back, as many at once as there is room. */
static void messages(struct drive *d, unsigned count)
{
    microvm_error err;
    intptr_t s;
    uint64_t began = drive_now_ms();
    drive_check("connect",
                microvm_connect_type(d->vm, MICROVM_SOCKET_SEQPACKET, MESSAGES,
                                     ANSWER_MS, &s, &err),
                &err);
    for (unsigned sent = 0, got = 0; got < count;) {
        struct pollfd p = {.fd = (int)s, .events = POLLIN};
        p.events |= sent < count ? POLLOUT : 0;
        if (poll(&p, 1, ANSWER_MS) <= 0)
            drive_fail("messages stand still: %u sent, %u back", sent, got);
        if (p.revents & POLLOUT && sent < count)
            sent += message_send(s, sent);
        if (p.revents & (POLLIN | POLLHUP))
            got += message_receive(s, got);
    }
    shutdown((int)s, SHUT_WR);
    expect_end(s, "messages");
    close((int)s);
    printf("%u messages to the guest and back in %llu ms\n", count,
           (unsigned long long)(drive_now_ms() - began));
}

/* The other way: the guest's come back from here. */
static void messages_of_guest(struct drive *d, unsigned count)
{
    static unsigned char data[LONGEST + 1];
    char wanted[32];
    microvm_error err;
    intptr_t s;
    drive_check("accept", microvm_accept(d->vm, HOST_MESSAGES, ANSWER_MS, &s, &err),
                &err);
    for (unsigned i = 0;; i++) {
        int64_t n = microvm_console_read(s, data, sizeof data, ANSWER_MS, &err);
        if (n < 0)
            drive_fail("message %u of the guest: %s", i, err.message);
        if (n == 0)
            break;
        if (microvm_console_write(s, data, (size_t)n, ANSWER_MS, &err) != n)
            drive_fail("message %u to the guest: %s", i, err.message);
    }
    close((int)s);
    snprintf(wanted, sizeof wanted, "%u of %u", count, count);
    const char *said = drive_expect(d, "MV vsock-messages ", ANSWER_MS);
    if (strncmp(said, wanted, strlen(wanted)))
        drive_fail("the guest's messages: %s", said);
}

/* -- the rest -- */

static void half_close(struct drive *d)
{
    char text[16];
    microvm_error err;
    intptr_t s;
    drive_check("accept", microvm_accept(d->vm, HOST_HALF, ANSWER_MS, &s, &err), &err);
    if (read_all(s, text, sizeof text) != 8 || memcmp(text, "question", 8))
        drive_fail("half-close: the question is wrong");
    if (send((int)s, "42", 2, MSG_NOSIGNAL) != 2)
        drive_fail("half-close: the other direction has ended, too");
    shutdown((int)s, SHUT_WR);
    if (strncmp(drive_expect(d, "MV vsock-half answer ", ANSWER_MS), "42", 2))
        drive_fail("half-close: the answer is wrong");
    close((int)s);
}

static void refused(struct drive *d, uint64_t limit_ms)
{
    microvm_error err;
    intptr_t s;
    uint64_t began = drive_now_ms();
    int rc = microvm_connect(d->vm, 999, 0, &s, &err);
    uint64_t ms = drive_now_ms() - began;
    if (rc != MICROVM_E_IO || ms > limit_ms)
        drive_fail("a refused port: code %d after %llu ms", rc, (unsigned long long)ms);
    rc = microvm_connect(d->vm, 999, 300, &s, &err);
    ms = drive_now_ms() - began - ms;
    if (rc != MICROVM_E_IO || ms < 300)
        drive_fail("a deadline: code %d after %llu ms", rc, (unsigned long long)ms);
    rc = microvm_accept(d->vm, HOST_HALF, 50, &s, &err);
    if (rc != MICROVM_E_TIMEOUT)
        drive_fail("accept with nobody there: code %d", rc);
}

static void pause_and_resume(struct drive *d)
{
    microvm_error err;
    char text[8];
    intptr_t s = dial(d, ECHO);
    drive_check("pause", microvm_pause(d->vm, &err), &err);
    if (send((int)s, "paused", 6, MSG_NOSIGNAL) != 6)
        drive_fail("pause: the connection is gone");
    if (microvm_console_read(s, text, 6, 300, &err) != MICROVM_E_TIMEOUT)
        drive_fail("a paused guest has answered");
    drive_check("resume", microvm_resume(d->vm, &err), &err);
    if (read_all(s, text, 6) != 6 || memcmp(text, "paused", 6))
        drive_fail("resume: the answer is wrong");
    close((int)s);
}

/* The guest's driver resets its device, and starts it anew. */
static void driver_reset(struct drive *d)
{
    intptr_t echo = dial(d, ECHO), silent = dial(d, SILENT);
    intptr_t ask = dial(d, REBIND);
    expect_end(echo, "driver's reset");
    expect_end(silent, "driver's reset");
    expect_end(ask, "driver's reset");
    drive_expect(d, "MV vsock-rebind ", ANSWER_MS);
    close((int)echo);
    close((int)silent);
    close((int)ask);
    cycles(d, 10);
}

/* Made before the guest has even begun; it has its event when the guest listens. */
static intptr_t dial_early(struct drive *d, microvm_config *config)
{
    microvm_error err;
    intptr_t s;
    char early[] = "early";
    d->vm = microvm_new(config, &err);
    if (!d->vm)
        drive_fail("new: %s", err.message);
    microvm_config_free(config);
    drive_check("listen", microvm_listen(d->vm, HOST_CLOSE, &err), &err);
    drive_check("listen", microvm_listen(d->vm, HOST_HALF, &err), &err);
    drive_check(
        "listen",
        microvm_listen_type(d->vm, MICROVM_SOCKET_SEQPACKET, HOST_MESSAGES, &err),
        &err);
    drive_check("connect_begin",
                microvm_connect_begin(d->vm, ECHO, MICROVM_FOREVER, &s, &err), &err);
    if (send((int)s, early, 5, MSG_NOSIGNAL) != 5)
        drive_fail("a connection cannot be written to early");
    drive_check("console", microvm_console_open(d->vm, &d->console, &err), &err);
    drive_check("start", microvm_start(d->vm, &err), &err);
    return s;
}

static void expect_early(struct drive *d, intptr_t s)
{
    microvm_event event = MICROVM_EVENT_INIT;
    char text[8];
    if (read_all(s, text, 5) != 5 || memcmp(text, "early", 5))
        drive_fail("the early connection's answer is wrong");
    while (microvm_next_event(d->vm, &event) == 1 &&
           event.type != MICROVM_EVENT_CONNECT)
        continue;
    if (event.type != MICROVM_EVENT_CONNECT || event.code || event.socket != s ||
        event.port != ECHO)
        drive_fail("the early connection's event is missing or wrong: type %u code %d "
                   "port %u, %s",
                   event.type, event.code, event.port, event.message);
    close((int)s);
}

static void ends_with_the_machine(struct drive *d)
{
    microvm_error err;
    intptr_t s = dial(d, SILENT), none;
    drive_check("connect_begin",
                microvm_connect_begin(d->vm, 999, MICROVM_FOREVER, &none, &err), &err);
    close((int)dial(d, STOP));
    drive_end_orderly(d, ANSWER_MS);
    expect_end(s, "the machine's end");
    expect_end(none, "the machine's end");
    if (microvm_connect(d->vm, ECHO, 0, &s, &err) != MICROVM_E_NOT_RUNNING ||
        microvm_accept(d->vm, HOST_HALF, -1, &s, &err) != MICROVM_E_NOT_RUNNING)
        drive_fail("a machine that has ended is connected to");
    close((int)s);
    close((int)none);
}

int main(int argc, char **argv)
{
    static struct drive d = {.name = "guest"};
    if (argc < 5)
        drive_fail("usage: api_vsock CYCLES AT_ONCE KIB SLOW KEY=VALUE...");
    unsigned count = (unsigned)atoi(argv[1]), many = (unsigned)atoi(argv[2]);
    size_t bytes = (size_t)atoi(argv[3]) << 10;
    int slow = atoi(argv[4]);
    char cmdline[160];
    snprintf(cmdline, sizeof cmdline,
             "quiet -- vsock-errors=5000 vsock-dial=%d:%u vsock-half=%d "
             "vsock-messages=%d:%u vsock-serve",
             HOST_CLOSE, count, HOST_HALF, HOST_MESSAGES, 4 * count);
    microvm_config *config = drive_config(argc - 5, argv + 5, cmdline);
    microvm_config_set(config, "vsock", "cid=5000");
    intptr_t early = dial_early(&d, config);
    const char *said = drive_expect(&d, "MV vsock-errors ", 5 * ANSWER_MS);
    if (strncmp(said, "refused in ", 11) || (!slow && atoi(said + 11) > 100000))
        drive_fail("in the guest: %s", said);
    printf("in the guest: %.40s\n", said);
    cycles_of_guest(&d, count);
    half_close(&d);
    messages_of_guest(&d, 4 * count);
    expect_early(&d, early);
    cycles(&d, count);
    messages(&d, 4 * count);
    at_once(&d, many, bytes);
    refused(&d, slow ? 2000 : 100);
    pause_and_resume(&d);
    driver_reset(&d);
    ends_with_the_machine(&d);
    drive_free(&d);
    return 0;
}
