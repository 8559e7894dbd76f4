/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Connections that a guest makes by way of its host, before a made-up device: whom they
 * reach, what is refused, how each side's end reaches the other, and guests that say
 * nonsense.
 */
#include "examples.h"
#include "outbound_bed.h"

#include "util/bytes.h"

/* Both ends of one that is made. */
static intptr_t make(struct ends *e, const struct target *t, intptr_t *there)
{
    intptr_t s = guest_comes(e);
    ask_ipv4(e, s, "\177\0\0\1", t->port);
    *there = accept_one(e, t);
    expect_status(e, s, OUTBOUND_OK);
    return s;
}

static void without_rules_nobody_is_there(void **state)
{
    struct ends *e = open_ends(NULL);
    (void)state;
    assert_int_equal(
        e->host.arrived(e->host.ctx, MICROVM_SOCKET_STREAM, OUTBOUND_PORT, 1000),
        MV_SOCKET_NONE);
    close_ends(e);
}

static void bytes_go_both_ways(void **state)
{
    struct ends *e = open_to_self();
    struct target t = open_target();
    intptr_t there, s = make(e, &t, &there);
    (void)state;
    say_data(e, s, "hello");
    expect(e, there, "hello");
    say(e, there, "good day", 8);
    expect_data(e, s, "good day");
    mv_socket_close(there);
    expect_close(e, s);
    assert_int_equal(hear_end(e, s), 0);
    mv_socket_close(t.listener);
    close_ends(e);
}

static void each_direction_ends_by_itself(void **state)
{
    struct ends *e = open_to_self();
    struct target t = open_target();
    intptr_t there, s = make(e, &t, &there);
    char byte;
    (void)state;
    say_data(e, s, "all");
    say(e, s, close_bytes, sizeof close_bytes);
    expect(e, there, "all");
    while (mv_socket_read(there, &byte, 1) == MV_SOCKET_AGAIN)
        turn_for(e, 1);
    say(e, there, "more", 4); /* after the guest's end */
    expect_data(e, s, "more");
    mv_socket_close(there);
    expect_close(e, s);
    assert_int_equal(hear_end(e, s), 0);

    s = make(e, &t, &there);
    mv_socket_end_write(there);
    expect_close(e, s);
    say_data(e, s, "still");
    expect(e, there, "still");
    say(e, s, close_bytes, sizeof close_bytes);
    assert_int_equal(hear_end(e, there), 0);
    assert_int_equal(hear_end(e, s), 0);
    mv_socket_close(t.listener);
    close_ends(e);
}

static void a_cut_is_no_end(void **state)
{
    struct ends *e = open_to_self();
    struct target t = open_target();
    intptr_t there, s = make(e, &t, &there);
    (void)state;
    say_data(e, s, "part");
    expect(e, there, "part");
    mv_socket_close(s); /* without a Close: the guest's end is a cut */
    hear_reset(e, there);

#ifndef _WIN32 /* see hear_reset */
    s = make(e, &t, &there);
    mv_tcp_reset(there);
    assert_int_equal(hear_end(e, s), 0); /* and nothing before it */

    s = make(e, &t, &there); /* the first version's Close: it hears nothing more */
    say_data(e, s, "last");
    say(e, s, close_bytes, sizeof close_bytes);
    mv_socket_close(s);
    expect(e, there, "last");
    turn_for(e, 10);
    int64_t n = mv_socket_write(there, "x", 1);
    turn_for(e, 20);
    if (n == 1)
        n = mv_socket_write(there, "x", 1);
    assert_int_equal(n, MV_SOCKET_GONE);
    mv_socket_close(there);
#endif
    mv_socket_close(t.listener);
    close_ends(e);
}

#ifndef _WIN32 /* a pair is TCP there, and who closes it over unread bytes takes back \
                */
/* It says all of it, and is gone before the target has read it or says something: no
 * byte is lost, and the end is one. */
static void who_leaves_has_said_all(void **state)
{
    struct ends *e = open_to_self();
    struct target t = open_target();
    intptr_t there, s = make(e, &t, &there);
    struct outbound_writer writer = {.key = KEY};
    struct outbound_pieces pieces;
    uint8_t *bytes = test_calloc(1, 65536);
    size_t said = 0, heard = 0;
    (void)state;
    assert_int_equal(mv_socket_write(there, "hello", 5), 5); /* and nobody reads it */
    for (unsigned turn = 0; said < MIB; turn++) {
        assert_true(turn < 200000);
        size_t n = MV_MIN((size_t)MIB - said, (size_t)65536);
        outbound_write(&writer, bytes, n, &pieces);
        int64_t moved =
            mv_socket_write(s, pieces.piece[0].base, pieces.piece[0].length);
        said += outbound_wrote(&writer, n, moved > 0 ? (size_t)moved : 0);
        mv_loop_turn(&e->loop);
        if (moved < 0) {
            int64_t got = mv_socket_read(there, bytes, 4096);
            heard += got > 0 ? (size_t)got : 0;
            memset(bytes, 0, 4096);
        }
    }
    say(e, s, close_bytes, sizeof close_bytes);
    mv_socket_close(s);
    (void)mv_socket_write(there, "more", 4);
    int64_t n = 1;
    for (unsigned turn = 0; n != 0 && turn < 200000; turn++) {
        mv_loop_turn(&e->loop);
        n = mv_socket_read(there, bytes, 4096);
        assert_int_not_equal(n, MV_SOCKET_GONE);
        heard += n > 0 ? (size_t)n : 0;
    }
    assert_int_equal(n, 0);
    assert_int_equal(heard, MIB);
    test_free(bytes);
    mv_socket_close(there);
    mv_socket_close(t.listener);
    close_ends(e);
}

#endif

static void rules_decide(void **state)
{
    struct ends *e = open_to_self();
    struct target t = open_target();
    intptr_t s, there;
    (void)state;
    ask_ipv4(e, s = guest_comes(e), "\10\10\10\10", 53);
    hear_refusal(e, s, OUTBOUND_NOT_ALLOWED);
    ask_ipv4(e, s = guest_comes(e), "\177\0\0\2", t.port);
    hear_refusal(e, s, OUTBOUND_NOT_ALLOWED);
    ask_name(e, s = guest_comes(e), "127.0.0.2", t.port);
    hear_refusal(e, s, OUTBOUND_NOT_ALLOWED);
    ask_name(e, s = guest_comes(e), "example.invalid", t.port);
    hear_refusal(e, s, OUTBOUND_NOT_ALLOWED);
    ask(e, s = guest_comes(e), OUTBOUND_IPV6, "\0\0\0\0\0\0\0\0\0\0\xff\xff\177\0\0\2",
        16, t.port);
    hear_refusal(e, s, OUTBOUND_NOT_ALLOWED); /* the IPv4 address by another name */
    ask(e, s = guest_comes(e), OUTBOUND_IPV6, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16,
        t.port);
    hear_refusal(e, s, OUTBOUND_NOT_ALLOWED);
    ask_name(e, s = guest_comes(e), "LocalHost.", t.port);
    there = accept_one(e, &t); /* ::1 is tried, too, where it comes first */
    expect_status(e, s, OUTBOUND_OK);
    mv_socket_close(s);
    mv_socket_close(there);
    ask_name(e, s = guest_comes(e), "127.0.0.1", t.port);
    there = accept_one(e, &t);
    expect_status(e, s, OUTBOUND_OK);
    mv_socket_close(s);
    mv_socket_close(there);
    mv_socket_close(t.listener);
    close_ends(e);
}

/* A name opens no address of this computer's own. */
static void names_lead_outside(void **state)
{
    static const char *const rules[] = {"allow localhost", "allow no.name.invalid",
                                        "allow 0.0.0.0/0", "allow ::/0", NULL};
    /* Which some resolver would read as localhost. */
    static const char *const tricks[] = {"localhost..", "\\108ocalhost", ".localhost"};
    struct ends *e = open_with(rules);
    intptr_t s = guest_comes(e);
    (void)state;
    ask_name(e, s, "localhost", 22);
    hear_refusal(e, s, OUTBOUND_NOT_ALLOWED);
    ask_name(e, s = guest_comes(e), "no.name.invalid", 22);
    hear_refusal(e, s, OUTBOUND_NO_NAME);
    for (unsigned i = 0; i < MV_ARRAY_LEN(tricks); i++) {
        ask_name(e, s = guest_comes(e), tricks[i], 22);
        hear_refusal(e, s, OUTBOUND_NO_NAME);
    }
    close_ends(e);
}

static void nobody_listens(void **state)
{
    struct ends *e = open_to_self();
    struct target t = open_target();
    intptr_t s = guest_comes(e);
    (void)state;
    mv_socket_close(t.listener);
    ask_ipv4(e, s, "\177\0\0\1", t.port);
    hear_refusal(e, s, OUTBOUND_REFUSED);
    close_ends(e);
}

static void nonsense_is_shown_the_door(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } before[] = {{"\0", 1},
                  {"\2\1\0\0\0\0\0\0\0\4\0\0\0\2\0\0\0", 17},
                  {"\1\1\0\0\0\0\0\0\0\xff\xff\xff\xff", 13}},
      after[] = {{"\5\115\0\0\0\0\0\0\0\0\0\0\0", 13}, /* no such type */
                 {"\3\1\0\0\0\0\0\0\0\1\0\0\0x", 14},  /* another's key */
                 {"\4\115\0\0\0\0\0\0\0\1\0\0\0x", 14},
                 {"\4\115\0\0\0\0\0\0\0\0\0\0\0\3", 14},
                 {"\1\115\0\0\0\0\0\0\0\6\0\0\0\1\1\0\0\0\0", 19}};
    struct ends *e = open_to_self();
    struct target t = open_target();
    intptr_t there, s;
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(before); i++) {
        say(e, s = guest_comes(e), before[i].bytes, before[i].length);
        (void)hear_end(e, s);
    }
    for (unsigned i = 0; i < MV_ARRAY_LEN(after); i++) {
        s = make(e, &t, &there);
        say(e, s, after[i].bytes, after[i].length);
        (void)hear_end(e, s);
        hear_reset(e, there);
    }
    mv_socket_close(t.listener);
    close_ends(e);
}

/* Where none of it is allowed: what is understood is refused, and nothing is dialled.
 */
static void every_example_is_told(void **state)
{
    static const char *const rules[] = {"allow 192.0.2.1", NULL};
    struct ends *e = open_with(rules);
    struct example said;
    uint8_t heard[OUTBOUND_RESPONSE];
    unsigned seen = 0;
    FILE *file = examples_open("outbound.md");
    (void)state;
    while (example_next(file, &said)) {
        if (strcmp(said.name, "CONNECT"))
            continue;
        intptr_t s = guest_comes(e);
        seen++;
        say(e, s, said.bytes, said.length);
        if (!strcmp(said.words, "more")) {
            assert_int_equal(mv_socket_wait(s, 0, 0), 0);
            mv_socket_close(s);
            continue;
        }
        if (strcmp(said.words, "wrong")) {
            bool ill = !strncmp(said.words, "answer ", 7);
            hear(e, s, heard, sizeof heard);
            assert_memory_equal(heard + 1, said.bytes + 1, 8); /* its key */
            assert_int_equal(heard[OUTBOUND_HEAD + 1],
                             ill ? atoi(said.words + 7) : OUTBOUND_NOT_ALLOWED);
        }
        (void)hear_end(e, s);
    }
    (void)fclose(file);
    assert_int_equal(seen, 14);
    close_ends(e);
}

static void a_connect_comes_in_pieces(void **state)
{
    struct ends *e = open_to_self();
    struct target t = open_target();
    struct outbound_target target = {
        .key = KEY, .type = OUTBOUND_IPV4, .length = 4, .address = {127, 0, 0, 1}};
    uint8_t bytes[OUTBOUND_CONNECT_MAX];
    intptr_t s = guest_comes(e);
    (void)state;
    target.port = t.port;
    size_t length = outbound_connect_write(bytes, &target);
    for (size_t i = 0; i < length; i++)
        say(e, s, bytes + i, 1);
    mv_socket_close(accept_one(e, &t));
    expect_status(e, s, OUTBOUND_OK);
    (void)mv_socket_close(s);
    s = guest_comes(e); /* what cannot be meant yet is no part of it */
    bytes[length] = 3;
    say(e, s, bytes, length + 1);
    (void)hear_end(e, s);
    mv_socket_close(t.listener);
    close_ends(e);
}

/* Fills both directions before anybody reads, then compares what comes. */
static void slow_readers_lose_nothing(void **state)
{
    struct ends *e = open_to_self();
    struct target t = open_target();
    intptr_t there, s = make(e, &t, &there);
    struct outbound_writer writer = {.key = KEY};
    struct outbound_reader reader = {.key = KEY};
    struct outbound_pieces pieces;
    uint8_t *bytes = test_malloc(65536), *got = test_malloc(65536);
    size_t up = 0, up_got = 0, down = 0, down_got = 0, payload;
    const size_t all = 8 * (size_t)MIB;
    (void)state;
    for (size_t i = 0; i < 65536; i++)
        bytes[i] = (uint8_t)(i ^ i >> 8);
    for (unsigned turn = 0; up_got < all || down_got < all; turn++) {
        assert_true(turn < 200000);
        size_t n = MV_MIN(all - up, 65536 - up % 65536);
        if (n > 0) {
            outbound_write(&writer, bytes + up % 65536, n, &pieces);
            int64_t moved =
                mv_socket_write(s, pieces.piece[0].base, pieces.piece[0].length);
            up += outbound_wrote(&writer, n, moved > 0 ? (size_t)moved : 0);
        }
        n = MV_MIN(all - down, 65536 - down % 65536);
        int64_t moved = n ? mv_socket_write(there, bytes + down % 65536, n) : 0;
        down += moved > 0 ? (size_t)moved : 0;
        mv_loop_turn(&e->loop);
        if (turn < 2000)
            continue; /* nobody reads yet */
        moved = mv_socket_read(there, got, 65536 - up_got % 65536);
        if (moved > 0) {
            assert_memory_equal(got, bytes + up_got % 65536, (size_t)moved);
            up_got += (size_t)moved;
        }
        moved = mv_socket_read(s, got, 30000);
        for (size_t at = 0; moved > 0 && at < (size_t)moved;) {
            int heads = outbound_read(&reader, got + at, (size_t)moved - at, &payload);
            assert_true(heads >= 0);
            at += (size_t)heads;
            for (size_t i = 0; i < payload; i++)
                assert_int_equal(got[at + i], bytes[(down_got + i) % 65536]);
            reader.left -= (uint32_t)payload;
            down_got += payload;
            at += payload;
        }
    }
    test_free(bytes);
    test_free(got);
    mv_socket_close(s);
    mv_socket_close(there);
    mv_socket_close(t.listener);
    close_ends(e);
}

/* All places taken, given back, and taken again. */
static void places_come_back(void **state)
{
    struct ends *e = open_to_self();
    static intptr_t s[250];
    struct target t = open_target();
    static intptr_t there[MV_ARRAY_LEN(s)];
    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < MV_ARRAY_LEN(s); i++) {
            s[i] = guest_comes(e);
            uint8_t bytes[OUTBOUND_CONNECT_MAX];
            struct outbound_target target = {.key = KEY,
                                             .type = OUTBOUND_IPV4,
                                             .length = 4,
                                             .address = {127, 0, 0, 1},
                                             .port = t.port};
            size_t length = outbound_connect_write(bytes, &target);
            assert_int_equal(mv_socket_write(s[i], bytes, length), length);
            there[i] = accept_one(e, &t);
        }
        for (unsigned i = 0; i < MV_ARRAY_LEN(s); i++) {
            expect_status(e, s[i], OUTBOUND_OK);
            say(e, s[i], close_bytes, sizeof close_bytes);
            mv_socket_close(there[i]);
        }
        for (unsigned i = 0; i < MV_ARRAY_LEN(s); i++) {
            expect_close(e, s[i]);
            assert_int_equal(hear_end(e, s[i]), 0);
        }
        assert_true(e->ports.outbound->made <= MV_ARRAY_LEN(s));
        assert_int_equal(e->ports.outbound->opening, 0);
    }
    mv_socket_close(t.listener);
    close_ends(e);
}

static void the_machine_ends_first(void **state)
{
    struct ends *e = open_to_self();
    struct target t = open_target();
    intptr_t there, s = make(e, &t, &there), asking = guest_comes(e);
    (void)state;
    ask_name(e, asking, "localhost", 1);
    ask_name(e, guest_comes(e), "localhost", 1);
    mv_vsock_ports_end(&e->ports);
    hear_reset(e, there);
    (void)hear_end(e, s);
    mv_socket_close(asking);
    mv_socket_close(t.listener);
    close_ends(e);
}

static void settings(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {{"example.com", "neither"},        {"permit example.com", "neither"},
               {"allower x", "neither"},          {"allow", "names no TARGET"},
               {"deny", "names no TARGET"},       {"deny ", "names no TARGET"},
               {"allow 10.0.0.0/40", "outbound"}, {"allow exa mple", "outbound"}};
    struct ends *e = open_ends(NULL);
    microvm_error err;
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(bad); i++) {
        char *text = copy_of(bad[i].text);
        struct mv_config_list list = {.text = {text}, .count = 1};
        assert_int_equal(mv_outbound_open(&e->ports, &list, &err), MICROVM_E_INVALID);
        assert_non_null(strstr(err.message, "outbound '"));
        assert_non_null(strstr(err.message, bad[i].says));
        assert_null(e->ports.outbound);
        test_free(text);
    }
    assert_ok(mv_vsock_listen(&e->ports, MICROVM_SOCKET_STREAM, OUTBOUND_PORT, &err),
              &err);
    close_ends(e);
    e = open_to_self();
    assert_int_equal(
        mv_vsock_listen(&e->ports, MICROVM_SOCKET_STREAM, OUTBOUND_PORT, &err),
        MICROVM_E_STATE);
    close_ends(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_rules_nobody_is_there),
        cmocka_unit_test(bytes_go_both_ways),
        cmocka_unit_test(each_direction_ends_by_itself),
        cmocka_unit_test(a_cut_is_no_end),
#ifndef _WIN32
        cmocka_unit_test(who_leaves_has_said_all),
#endif
        cmocka_unit_test(rules_decide),
        cmocka_unit_test(names_lead_outside),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(nonsense_is_shown_the_door),
        cmocka_unit_test(every_example_is_told),
        cmocka_unit_test(a_connect_comes_in_pieces),
        cmocka_unit_test(slow_readers_lose_nothing),
        cmocka_unit_test(places_come_back),
        cmocka_unit_test(the_machine_ends_first),
        cmocka_unit_test(settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
