/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * SOCKS servers before a made-up device: what a client is told, what the guest is told
 * of it, and the settings.
 */
#include "examples.h"
#include "ports_bed.h"

#include "proto/proxy.h"
#include "util/bytes.h"

#include <stdio.h>

#define HELLO                 "\5\1\0"
#define REQUEST               "\5\1\0\3\4host\1\xbb"
#define REPLY(n)              "\5" n "\0\1\0\0\0\0\0\0"
#define NO_METHOD             "\5\xff"
/* Of a literal, with the zeros that are in it. */
#define SAY(s, text)          say(e, s, text, sizeof text - 1)
#define HEAR(s, text)         hear(s, text, sizeof text - 1)
#define EXPECT_FIRST(s, text) expect_first(e, s, text, sizeof text - 1)

static intptr_t client(struct ends *e, uint16_t port)
{
    struct sockaddr_in at;
    assert_int_equal(uv_ip4_addr("127.0.0.1", port, &at), 0);
    intptr_t s = (intptr_t)socket(AF_INET, SOCK_STREAM, 0);
    assert_int_not_equal(s, MV_SOCKET_NONE);
    assert_int_equal(connect((uv_os_sock_t)s, (struct sockaddr *)&at, sizeof at), 0);
    turn_for(e, 5);
    return s;
}

static uint16_t server(struct ends *e, const char *text)
{
    microvm_error err;
    uint16_t port = 0;
    assert_ok(mv_vsock_socks_open(&e->ports, text, &port, &err), &err);
    assert_true(port > 0);
    return port;
}

static void say(struct ends *e, intptr_t s, const char *text, size_t length)
{
    assert_int_equal(mv_socket_write(s, text, length), length);
    turn_for(e, 10);
}

static void hear(intptr_t s, const char *text, size_t length)
{
    char got[64];
    for (size_t at = 0; at < length;) {
        assert_int_equal(mv_socket_wait(s, 0, 5000), 1);
        int64_t n = mv_socket_read(s, got + at, length - at);
        assert_true(n > 0);
        at += (size_t)n;
    }
    assert_memory_equal(got, text, length);
}

/* Nothing more is said to it, and the socket is closed. */
static void hear_end(intptr_t s)
{
    char got[4];
    assert_int_equal(mv_socket_wait(s, 0, 5000), 1);
    assert_true(mv_socket_read(s, got, sizeof got) <= 0);
    mv_socket_close(s);
}

static void hear_nothing(intptr_t s)
{
    assert_int_equal(mv_socket_wait(s, 0, 0), 0);
}

/* The guest takes the connection; the device's end of it. */
static intptr_t take(struct ends *e, struct mv_span *first)
{
    *first = (struct mv_span){NULL, 0};
    assert_non_null(e->asked);
    intptr_t given = e->host.answered(e->host.ctx, e->asked, 1u << 30, first);
    assert_int_not_equal(given, MV_SOCKET_NONE);
    e->asked = NULL;
    return given;
}

static void expect_first(struct ends *e, intptr_t *given, const char *text,
                         size_t length)
{
    struct mv_span first;
    *given = take(e, &first);
    assert_int_equal(first.length, length);
    assert_memory_equal(first.base, text, length);
}

static void passes_a_request_on(void **state)
{
    struct ends *e = open_ends(NULL);
    intptr_t s = client(e, server(e, "0")), given;
    (void)state;
    SAY(s, "\5"); /* in pieces */
    hear_nothing(s);
    SAY(s, "\1\0");
    HEAR(s, "\5\0");
    SAY(s, "\5\1\0\3\4ho");
    assert_int_equal(e->dials, 0);
    SAY(s, "st\1\xbb");
    for (unsigned i = 0; i < 100 && e->dials == 0; i++)
        turn_for(e, 5); /* Nagle's algorithm holds it back for 40 ms */
    assert_int_equal(e->dials, 1);
    assert_int_equal(e->port, 7602);
    assert_int_equal(e->type, MICROVM_SOCKET_STREAM);
    EXPECT_FIRST(&given, "\0\1" REQUEST);
    hear_nothing(s); /* the reply is the proxy's */
    assert_int_equal(mv_socket_write(given, REPLY("\0"), 10), 10);
    HEAR(s, REPLY("\0"));
    mv_socket_close(given);
    hear_end(s);
    close_ends(e);
}

static void all_at_once(void **state)
{
    struct ends *e = open_ends(NULL);
    intptr_t s = client(e, server(e, "127.0.0.1:0,port=99")), given;
    (void)state;
    SAY(s, HELLO REQUEST "GET /");
    HEAR(s, "\5\0");
    assert_int_equal(e->port, 99);
    EXPECT_FIRST(&given, "\0\1" REQUEST);
    HEAR(given, "GET /"); /* was left in the socket */
    mv_socket_close(given);
    mv_socket_close(s);
    close_ends(e);
}

/* Wine, for one, ends in order whatever it is told. */
static bool system_resets(struct ends *e)
{
    microvm_error err;
    intptr_t listener, given;
    uint16_t port;
    char got[4];
    assert_ok(mv_tcp_listen("127.0.0.1", 0, &listener, &port, &err), &err);
    intptr_t s = client(e, port);
    while ((given = mv_socket_accept(listener)) == MV_SOCKET_AGAIN)
        turn_for(e, 5);
    mv_tcp_reset(given);
    assert_int_equal(mv_socket_wait(s, 0, 5000), 1);
    bool resets = mv_socket_read(s, got, sizeof got) == MV_SOCKET_GONE;
    mv_socket_close(s);
    mv_socket_close(listener);
    return resets;
}

/* An end that the guest has said is one. All others are none, also that of whoever
 * serves: nobody takes a part for the whole. */
static void only_what_is_whole_ends(void **state)
{
    struct ends *e = open_ends(NULL);
    uint16_t port = server(e, "0");
    (void)state;
    if (!system_resets(e)) {
        close_ends(e);
        print_message("skipped: this system's sockets are not closed by a reset\n");
        skip();
    }
    for (unsigned all = 0; all < 2; all++) {
        intptr_t s = client(e, port), given;
        char got[4];
        SAY(s, HELLO REQUEST);
        HEAR(s, "\5\0");
        EXPECT_FIRST(&given, "\0\1" REQUEST);
        assert_int_equal(mv_socket_write(given, "part", 4), 4);
        HEAR(s, "part");
        if (all) /* by the device, when the guest has */
            mv_socket_end_write(given);
        mv_socket_close(given);
        assert_int_equal(mv_socket_wait(s, 0, 5000), 1);
        assert_int_equal(mv_socket_read(s, got, sizeof got), all ? 0 : MV_SOCKET_GONE);
        mv_socket_close(s);
    }
    close_ends(e);
}

static void a_plain_proxy_says_nothing(void **state)
{
    struct ends *e = open_ends(NULL);
    uint16_t port = server(e, "0,plain");
    intptr_t s = client(e, port), given;
    char got[4];
    (void)state;
    SAY(s, HELLO REQUEST);
    HEAR(s, "\5\0");
    hear_nothing(s);
    EXPECT_FIRST(&given, "\4host\1\xbb");
    HEAR(s, REPLY("\0"));
    mv_socket_close(given); /* it knows no other way to end */
    assert_int_equal(mv_socket_wait(s, 0, 5000), 1);
    assert_int_equal(mv_socket_read(s, got, sizeof got), 0);
    mv_socket_close(s);
    s = client(e, port);
    SAY(s, HELLO "\5\1\0\1\x7f\0\0\1\0\x16");
    EXPECT_FIRST(&given, "\x09"
                         "127.0.0.1\0\x16");
    mv_socket_close(given);
    mv_socket_close(s);
    close_ends(e);
}

static void who_may_not_is_told(void **state)
{
    struct ends *e = open_ends(NULL);
    uint16_t port = server(e, "0,user=me,password=a,,b");
    (void)state;
    intptr_t s = client(e, port), given;
    SAY(s, HELLO); /* without a password */
    HEAR(s, NO_METHOD);
    hear_end(s);
    static const char *const wrong[] = {"\1\2me\3a,c", "\1\2me\4a,bb", "\1\2me\2a,",
                                        "\1\2mx\3a,b", "\1\1m\3a,b"};
    for (unsigned i = 0; i < MV_ARRAY_LEN(wrong); i++) {
        s = client(e, port);
        SAY(s, "\5\2\0\2");
        HEAR(s, "\5\2");
        say(e, s, wrong[i], strlen(wrong[i]));
        HEAR(s, "\1\1");
        hear_end(s);
    }
    s = client(e, port);
    SAY(s, "\5\1\2\1\2me\3a,b" REQUEST);
    HEAR(s, "\5\2\1\0");
    EXPECT_FIRST(&given, "\0\1" REQUEST);
    mv_socket_close(given);
    mv_socket_close(s);
    assert_int_equal(e->dials, 1);
    close_ends(e);
}

static void what_it_cannot_do(void **state)
{
    struct ends *e = open_ends(NULL);
    uint16_t port = server(e, "0");
    (void)state;
    intptr_t s = client(e, port);
    SAY(s, "\5\1\1"); /* GSSAPI */
    HEAR(s, NO_METHOD);
    hear_end(s);
    s = client(e, port);
    SAY(s, "\4\1\0\x50"); /* SOCKS4 */
    hear_end(s);
    s = client(e, port);
    SAY(s, HELLO "\5\2\0\1\x7f\0\0\1\0\x16"); /* BIND */
    HEAR(s, "\5\0" REPLY("\7"));
    hear_end(s);
    s = client(e, port);
    SAY(s, HELLO "\5\1\0\2\x7f");
    HEAR(s, "\5\0" REPLY("\x8"));
    hear_end(s);
    assert_int_equal(e->dials, 0);
    close_ends(e);
}

/* The guest has no proxy, or not yet: it is asked again for a while, and when the
 * machine ends the client is told. */
static void a_guest_that_does_not_listen(void **state)
{
    struct ends *e = open_ends(NULL);
    intptr_t s = client(e, server(e, "0"));
    (void)state;
    SAY(s, HELLO REQUEST);
    HEAR(s, "\5\0");
    e->host.refused(e->host.ctx, e->asked, MV_VSOCK_REFUSED);
    turn_for(e, 20);
    assert_true(e->dials > 1);
    hear_nothing(s);
    mv_vsock_ports_end(&e->ports);
    HEAR(s, REPLY("\1"));
    hear_end(s);
    close_ends(e);
}

static void who_goes_while_it_waits(void **state)
{
    struct ends *e = open_ends(NULL);
    uint16_t port = server(e, "0");
    struct mv_span first;
    (void)state;
    intptr_t s = client(e, port);
    SAY(s, HELLO REQUEST);
    mv_socket_close(s);
    turn_for(e, 10);
    mv_socket_close(take(e, &first)); /* which finds the end in it */
    s = client(e, port);
    SAY(s, HELLO); /* and one who says half */
    mv_socket_close(s);
    turn_for(e, 10);
    close_ends(e);
}

/* What the client hears, as proto/proxy.md has it. */
static void hear_example(intptr_t s, const char *name, const char *words)
{
    struct example e = example_of("proxy.md", name, words);
    hear(s, (const char *)e.bytes, e.length);
}

static void tell_methods(struct ends *e, uint16_t port, bool secret,
                         const struct example *said)
{
    intptr_t s = client(e, port);
    const char *wanted = secret ? "password" : "none";
    bool good = strstr(said->words, wanted) != NULL;
    say(e, s, (const char *)said->bytes, said->length);
    if (!strcmp(said->words, "more")) {
        hear_nothing(s);
        mv_socket_close(s);
    } else if (strcmp(said->words, "wrong")) {
        hear_example(s, "METHOD", good ? wanted : "nothing of this");
        if (good)
            mv_socket_close(s);
        else
            hear_end(s);
    } else {
        hear_end(s);
    }
}

static void tell_login(struct ends *e, uint16_t port, const struct example *said)
{
    intptr_t s = client(e, port);
    SAY(s, "\5\1\2");
    hear_example(s, "METHOD", "password");
    say(e, s, (const char *)said->bytes, said->length);
    if (!strcmp(said->words, "wrong")) {
        hear_end(s);
        return;
    }
    if (!strcmp(said->words, "more"))
        hear_nothing(s);
    else
        hear_example(s, "LOGGED", strcmp(said->words, "me key") ? "out" : "in");
    mv_socket_close(s);
}

/* What the guest is told, by both kinds of server, is read as it was meant. */
static void guest_is_told(struct ends *e, intptr_t s, bool plain,
                          const struct example *said)
{
    struct mv_span first;
    struct proxy_request read;
    char words[300];
    for (unsigned i = 0; i < 100 && !e->asked; i++)
        turn_for(e, 5);
    mv_socket_close(take(e, &first));
    assert_int_equal(proxy_request_read(first.base, first.length, &read), first.length);
    (void)snprintf(words, sizeof words, "%s %u", read.target.host, read.target.port);
    assert_string_equal(words, said->words);
    assert_int_equal(read.socks, !plain);
    if (!plain)
        assert_memory_equal((const char *)first.base + 2, said->bytes, said->length);
    mv_socket_close(s);
}

static void tell_request(struct ends *e, uint16_t port, bool plain,
                         const struct example *said)
{
    intptr_t s = client(e, port);
    const char *refused = strstr(said->words, "refused ");
    SAY(s, HELLO);
    hear_example(s, "METHOD", "none");
    say(e, s, (const char *)said->bytes, said->length);
    if (refused)
        hear_example(s, "REPLY", refused + 8);
    if (refused || !strcmp(said->words, "wrong")) {
        hear_end(s);
    } else if (!strcmp(said->words, "more")) {
        hear_nothing(s);
        mv_socket_close(s);
    } else {
        guest_is_told(e, s, plain, said);
    }
}

static void every_example_is_told(void **state)
{
    struct ends *e = open_ends(NULL);
    struct example said;
    unsigned seen = 0;
    uint16_t open = server(e, "0"), plain = server(e, "0,plain");
    uint16_t secret = server(e, "0,user=me,password=key");
    FILE *file = examples_open("proxy.md");
    (void)state;
    while (example_next(file, &said)) {
        seen++;
        if (!strcmp(said.name, "METHODS")) {
            tell_methods(e, open, false, &said);
            tell_methods(e, secret, true, &said);
        } else if (!strcmp(said.name, "LOGIN")) {
            tell_login(e, secret, &said);
        } else if (!strcmp(said.name, "REQUEST")) {
            tell_request(e, open, false, &said);
            tell_request(e, plain, true, &said);
        } else {
            seen--;
        }
    }
    (void)fclose(file);
    assert_int_equal(seen, 21);
    close_ends(e);
}

static void settings_are_checked(void **state)
{
    struct ends *e = open_ends(NULL);
    microvm_error err;
    uint16_t port;
    char again[40];
    (void)state;
    static const char *const wrong[] = {"",
                                        "x",
                                        "65536",
                                        "-1",
                                        "host:1080",
                                        "::1:1080",
                                        "127.0.0.1:",
                                        "1080,",
                                        "1080,users=a",
                                        "1080,user=a",
                                        "1080,password=a",
                                        "1080,user=,password=a",
                                        "1080,port=0",
                                        "1080,port=4294967295",
                                        "0.0.0.0:0",
                                        "[::]:0"};
    for (unsigned i = 0; i < MV_ARRAY_LEN(wrong); i++) {
        int rc = mv_vsock_socks_open(&e->ports, wrong[i], &port, &err);
        assert_int_equal(rc, MICROVM_E_INVALID);
        assert_non_null(strstr(err.message, "socks"));
    }
    assert_null(e->ports.socks);
    (void)server(e, "0.0.0.0:0,user=a,password=b");
    port = server(e, "0");
    (void)snprintf(again, sizeof again, "%u", port);
    assert_int_equal(mv_vsock_socks_open(&e->ports, again, &port, &err), MICROVM_E_IO);
    close_ends(e);
}

static void a_server_is_closed(void **state)
{
    struct ends *e = open_ends(NULL);
    microvm_error err;
    uint16_t port = server(e, "0"), now;
    char text[40];
    struct mv_span first;
    (void)state;
    intptr_t made = client(e, port), half = client(e, port);
    SAY(made, HELLO REQUEST);
    HEAR(made, "\5\0");
    intptr_t given = take(e, &first);
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", port);
    assert_ok(mv_vsock_socks_close(&e->ports, text, &err), &err);
    hear_end(half);
    SAY(made, "more"); /* one that is made stays */
    HEAR(given, "more");
    assert_int_equal(mv_vsock_socks_close(&e->ports, text, &err), MICROVM_E_STATE);
    assert_ok(mv_vsock_socks_open(&e->ports, text, &now, &err), &err); /* it is free */
    assert_int_equal(now, port);
    for (unsigned i = 1; i < 16; i++)
        (void)server(e, "0");
    assert_int_equal(mv_vsock_socks_open(&e->ports, "0", &now, &err), MICROVM_E_STATE);
    mv_socket_close(given);
    mv_socket_close(made);
    close_ends(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_a_request_on),
        cmocka_unit_test(all_at_once),
        cmocka_unit_test(only_what_is_whole_ends),
        cmocka_unit_test(a_plain_proxy_says_nothing),
        cmocka_unit_test(who_may_not_is_told),
        cmocka_unit_test(what_it_cannot_do),
        cmocka_unit_test(a_guest_that_does_not_listen),
        cmocka_unit_test(who_goes_while_it_waits),
        cmocka_unit_test(every_example_is_told),
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(a_server_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
