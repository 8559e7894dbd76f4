/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The console's host end: nothing is lost either way when one side is slow, output
 * without a listener is dropped, end of file comes after the last byte.
 */
#include "check.h"

#include "backing/tty.h"
#include "os/socket.h"
#include "util/bytes.h"

#include <stdlib.h>
#include <string.h>

struct bench {
    struct mv_loop loop;
    struct mv_tty tty;
    struct mv_chardev dev;
    intptr_t app;
    int rooms, inputs;
};

static void got_room(void *device)
{
    ((struct bench *)device)->rooms++;
}

static void got_input(void *device)
{
    ((struct bench *)device)->inputs++;
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    microvm_error err;
    assert_ok(mv_loop_open(&b->loop, &err), &err);
    assert_ok(mv_tty_open(&b->tty, &b->loop, &err), &err);
    b->tty.user = (struct mv_chardev_user){got_room, got_input, b};
    b->dev = mv_tty_chardev(&b->tty);
    b->app = MV_SOCKET_NONE;
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    mv_socket_close(b->app);
    mv_tty_close(&b->tty);
    mv_loop_close(&b->loop);
    free(b);
    return 0;
}

static void attach(struct bench *b)
{
    microvm_error err;
    assert_ok(mv_tty_attach(&b->tty, &b->app, &err), &err);
}

static void fill(uint8_t *data, size_t length, unsigned seed)
{
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)(seed + i * 7 + (i >> 8));
}

static void output_without_a_listener_is_dropped(void **state)
{
    struct bench *b = *state;
    uint8_t data[1000] = {0};
    for (int i = 0; i < 100; i++) {
        assert_int_equal(b->dev.put(b->dev.ctx, data, sizeof data), sizeof data);
        mv_loop_turn(&b->loop);
    }
    assert_int_equal(b->tty.out.used, 0);
}

/* Puts what the ring takes of [*put, total), and lets the loop work. */
static size_t put_some(struct bench *b, const uint8_t *data, size_t *put, size_t total)
{
    size_t want = MV_MIN((size_t)MV_TTY_OUT_BYTES, total - *put);
    size_t taken = b->dev.put(b->dev.ctx, data + *put, want);
    *put += taken;
    mv_loop_turn(&b->loop);
    return taken;
}

static void a_slow_reader_loses_nothing(void **state)
{
    struct bench *b = *state;
    enum { TOTAL = 16 << 20 }; /* more than any system keeps in its sockets */
    uint8_t *sent = malloc(TOTAL), *got = malloc(TOTAL);
    size_t put = 0, read = 0;
    fill(sent, TOTAL, 3);
    attach(b);
    while (put_some(b, sent, &put, TOTAL) > 0 && put < TOTAL)
        ;
    assert_true(put < TOTAL); /* nobody reads: the device is held back */
    while (read < TOTAL) {
        int64_t n = mv_socket_read(b->app, got + read, TOTAL - read);
        read += n > 0 ? (size_t)n : 0;
        (void)put_some(b, sent, &put, TOTAL);
    }
    assert_memory_equal(sent, got, TOTAL);
    assert_true(b->rooms > 0); /* it was told when to go on */
    assert_int_equal(b->tty.out_bytes, TOTAL);
    free(sent);
    free(got);
}

/* So many bytes have been sent, and no more; they may take a moment (Windows). */
static void expect_output(struct bench *b, size_t wanted)
{
    uint8_t got[MV_TTY_OUT_BYTES];
    size_t taken = 0;
    for (int i = 0; i < 200 && taken < wanted; i++) {
        mv_loop_turn(&b->loop);
        (void)mv_socket_wait(b->app, 0, 10);
        int64_t n = mv_socket_read(b->app, got, sizeof got);
        taken += n > 0 ? (size_t)n : 0;
    }
    assert_int_equal(taken, wanted);
    assert_int_equal(mv_socket_read(b->app, got, sizeof got), MV_SOCKET_AGAIN);
}

static void output_that_is_held_comes_at_once_later(void **state)
{
    struct bench *b = *state;
    uint8_t data[MV_TTY_OUT_BYTES] = {0};
    attach(b);
    mv_tty_hold(&b->tty, true);
    for (int i = 0; i < 10; i++)
        assert_int_equal(b->dev.put(b->dev.ctx, data, 10), 10);
    mv_loop_turn(&b->loop);
    expect_output(b, 0);
    mv_tty_flush(&b->tty);
    expect_output(b, 100);
    /* Nobody releases it: half a ring is enough. */
    assert_int_equal(b->dev.put(b->dev.ctx, data, sizeof data / 2 - 1),
                     sizeof data / 2 - 1);
    mv_loop_turn(&b->loop);
    expect_output(b, 0);
    assert_int_equal(b->dev.put(b->dev.ctx, data, 1), 1);
    expect_output(b, sizeof data / 2);
    assert_int_equal(b->dev.put(b->dev.ctx, data, 7), 7);
    mv_tty_hold(&b->tty, false);
    expect_output(b, 7);
}

static void input_waits_in_the_socket(void **state)
{
    struct bench *b = *state;
    enum { TOTAL = 256 << 10 };
    uint8_t *sent = malloc(TOTAL), *got = malloc(TOTAL);
    size_t written = 0, taken = 0;
    fill(sent, TOTAL, 9);
    attach(b);
    while (taken < TOTAL) {
        int64_t n = mv_socket_write(b->app, sent + written, TOTAL - written);
        written += n > 0 ? (size_t)n : 0;
        mv_loop_turn(&b->loop);
        assert_true(b->tty.in.used <= MV_TTY_IN_BYTES);
        taken += b->dev.get(b->dev.ctx, got + taken, 100);
    }
    assert_memory_equal(sent, got, TOTAL);
    assert_true(b->inputs > 0);
    free(sent);
    free(got);
}

static void end_of_file_comes_after_the_last_byte(void **state)
{
    struct bench *b = *state;
    char got[16];
    attach(b);
    assert_int_equal(b->dev.put(b->dev.ctx, "bye", 3), 3);
    mv_tty_end(&b->tty);
    assert_int_equal(mv_socket_read(b->app, got, sizeof got), 3);
    assert_int_equal(mv_socket_read(b->app, got, sizeof got), 0);
}

static void one_listener_at_a_time(void **state)
{
    struct bench *b = *state;
    intptr_t second;
    microvm_error err;
    char got[8];
    attach(b);
    assert_error(mv_tty_attach(&b->tty, &second, &err), &err, MICROVM_E_STATE,
                 "already");
    mv_socket_close(b->app); /* it leaves, and another may come */
    for (int i = 0; i < 3; i++)
        mv_loop_turn(&b->loop);
    attach(b);
    assert_int_equal(b->dev.put(b->dev.ctx, "new", 3), 3);
    mv_loop_turn(&b->loop);
    assert_int_equal(mv_socket_read(b->app, got, sizeof got), 3);
}

/* A guest that reads nothing: input ring and socket are full, nothing is watched. */
static void who_left_unnoticed_makes_way(void **state)
{
    struct bench *b = *state;
    static const char much[2 * MV_TTY_IN_BYTES];
#ifdef _WIN32
    skip(); /* Windows: sending nothing says nothing */
#endif
    attach(b);
    assert_int_equal(mv_socket_write(b->app, much, sizeof much), sizeof much);
    for (int i = 0; i < 3; i++)
        mv_loop_turn(&b->loop);
    mv_socket_close(b->app);
    for (int i = 0; i < 3; i++)
        mv_loop_turn(&b->loop);
    attach(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(output_without_a_listener_is_dropped, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_slow_reader_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(output_that_is_held_comes_at_once_later, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(input_waits_in_the_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(end_of_file_comes_after_the_last_byte, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_listener_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(who_left_unnoticed_makes_way, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
