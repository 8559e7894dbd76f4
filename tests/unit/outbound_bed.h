/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A guest and a target for tests of connections that leave by the host: what they say,
 * and what they must hear.
 */
#ifndef TESTS_UNIT_OUTBOUND_BED_H
#define TESTS_UNIT_OUTBOUND_BED_H

#include "ports_bed.h"

#include "backing/outbound.h"

#include <string.h>

enum { KEY = 77, MIB = 1 << 20 };

struct target {
    intptr_t listener;
    uint16_t port;
};

static inline char *copy_of(const char *text)
{
    char *copy = test_malloc(strlen(text) + 1);
    return memcpy(copy, text, strlen(text) + 1);
}

static inline struct ends *open_with(const char *const *rules)
{
    struct mv_config_list list = {.count = 0};
    microvm_error err;
    struct ends *e = open_ends(NULL);
    for (; rules[list.count]; list.count++)
        list.text[list.count] = copy_of(rules[list.count]);
    assert_ok(mv_outbound_open(&e->ports, &list, &err), &err);
    for (unsigned i = 0; i < list.count; i++)
        test_free(list.text[i]);
    return e;
}

static inline struct ends *open_to_self(void)
{
    static const char *const rules[] = {"deny 127.0.0.2", "allow 127.0.0.0/8",
                                        "allow localhost", "allow ::1", NULL};
    return open_with(rules);
}

static inline struct target open_target(void)
{
    struct target t;
    microvm_error err;
    assert_ok(mv_tcp_listen("127.0.0.1", 0, &t.listener, &t.port, &err), &err);
    return t;
}

static inline intptr_t accept_one(struct ends *e, const struct target *t)
{
    intptr_t s = MV_SOCKET_AGAIN;
    for (unsigned i = 0; i < 500 && s == MV_SOCKET_AGAIN; i++) {
        turn_for(e, 1);
        s = mv_socket_accept(t->listener);
    }
    assert_true(s >= 0);
    return s;
}

/* The device's end of what the guest has connected. */
static inline intptr_t guest_comes(struct ends *e)
{
    intptr_t s =
        e->host.arrived(e->host.ctx, MICROVM_SOCKET_STREAM, OUTBOUND_PORT, 1000);
    assert_int_not_equal(s, MV_SOCKET_NONE);
    return s;
}

static inline void say(struct ends *e, intptr_t s, const void *bytes, size_t length)
{
    assert_int_equal(mv_socket_write(s, bytes, length), length);
    turn_for(e, 2);
}

static inline void ask(struct ends *e, intptr_t s, enum outbound_address type,
                       const void *address, size_t length, uint16_t port)
{
    struct outbound_target target = {
        .key = KEY, .type = type, .length = (uint8_t)length, .port = port};
    uint8_t bytes[OUTBOUND_CONNECT_MAX];
    memcpy(target.address, address, length);
    say(e, s, bytes, outbound_connect_write(bytes, &target));
}

static inline void ask_ipv4(struct ends *e, intptr_t s, const char *address,
                            uint16_t port)
{
    ask(e, s, OUTBOUND_IPV4, address, 4, port);
}

static inline void ask_name(struct ends *e, intptr_t s, const char *name, uint16_t port)
{
    ask(e, s, OUTBOUND_NAME, name, strlen(name), port);
}

/* Exactly so many bytes, while the loop turns. */
static inline void hear(struct ends *e, intptr_t s, void *to, size_t length)
{
    uint8_t *at = to;
    for (unsigned i = 0; i < 10000 && length > 0; i++) {
        int64_t n = mv_socket_read(s, at, length);
        if (n == MV_SOCKET_AGAIN) {
            turn_for(e, 1);
            continue;
        }
        assert_true(n > 0);
        at += n;
        length -= (size_t)n;
    }
    assert_int_equal(length, 0);
}

static inline void expect(struct ends *e, intptr_t s, const char *text)
{
    char got[100];
    hear(e, s, got, strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

static inline void expect_status(struct ends *e, intptr_t s,
                                 enum outbound_status wanted)
{
    uint8_t bytes[OUTBOUND_RESPONSE];
    enum outbound_status status;
    hear(e, s, bytes, sizeof bytes);
    assert_int_equal(outbound_response_read(bytes, sizeof bytes, KEY, &status),
                     OUTBOUND_RESPONSE);
    assert_int_equal(status, wanted);
}

/* 0: an orderly end; MV_SOCKET_GONE: a reset. */
static inline int64_t hear_end(struct ends *e, intptr_t s)
{
    char byte;
    int64_t n = MV_SOCKET_AGAIN;
    for (unsigned i = 0; i < 1000 && n == MV_SOCKET_AGAIN; i++) {
        n = mv_socket_read(s, &byte, 1);
        if (n == MV_SOCKET_AGAIN)
            turn_for(e, 1);
    }
    assert_true(n == 0 || n == MV_SOCKET_GONE);
    mv_socket_close(s);
    return n;
}

/* A target is told that this was not all; except where wine is the system, which shuts
 * a socket down before it closes it, whatever SO_LINGER says. */
static inline void hear_reset(struct ends *e, intptr_t s)
{
    int64_t n = hear_end(e, s);
#ifdef _WIN32
    (void)n;
#else
    assert_int_equal(n, MV_SOCKET_GONE);
#endif
}

static inline void hear_refusal(struct ends *e, intptr_t s, enum outbound_status status)
{
    expect_status(e, s, status);
    (void)hear_end(e, s);
}

static inline void say_data(struct ends *e, intptr_t s, const char *text)
{
    uint8_t bytes[100] = {3, KEY, [9] = (uint8_t)strlen(text)};
    memcpy(bytes + OUTBOUND_HEAD, text, strlen(text));
    say(e, s, bytes, OUTBOUND_HEAD + strlen(text));
}

static inline void expect_data(struct ends *e, intptr_t s, const char *text)
{
    uint8_t head[OUTBOUND_HEAD];
    static const uint8_t wanted[9] = {3, KEY};
    hear(e, s, head, sizeof head);
    assert_memory_equal(head, wanted, sizeof wanted);
    assert_int_equal(head[9], strlen(text));
    expect(e, s, text);
}

static const uint8_t close_bytes[OUTBOUND_HEAD] = {4, KEY};

static inline void expect_close(struct ends *e, intptr_t s)
{
    uint8_t head[OUTBOUND_HEAD];
    hear(e, s, head, sizeof head);
    assert_memory_equal(head, close_bytes, sizeof head);
}

#endif
