/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A client's connections, whose other end is the test: what ends them is told apart, a
 * limit of time is one for all of a call, and an answer is taken up to its newline and
 * no further.
 */
#include "check.h"

#include "microvm/runtime.h"
#include "os/loop.h"
#include "os/socket.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { HERE, GUEST, SOON_MS = 100, LATE_MS = 5000, LARGE = 64 << 20 };

static int set_up(void **state)
{
    static intptr_t pair[2];
    *state = pair;
    return mv_socket_pair(MICROVM_SOCKET_STREAM, pair, NULL);
}

static int tear_down(void **state)
{
    const intptr_t *pair = *state;
    mv_socket_close(pair[HERE]);
    mv_socket_close(pair[GUEST]);
    return 0;
}

static void guest_says(const intptr_t *pair, const char *text)
{
    assert_int_equal(mv_socket_send(pair[GUEST], text, strlen(text), SOON_MS), 0);
}

static void ends_are_told_apart(void **state)
{
    intptr_t *pair = *state;
    microvm_error err;
    char text[8];
    assert_error((int)microvm_client_recv(pair[HERE], text, 8, SOON_MS, &err), &err,
                 MICROVM_E_TIMEOUT, "in time");
    assert_ok(microvm_client_send(pair[HERE], "unread", 6, SOON_MS, &err), &err);
    guest_says(pair, "last");
    mv_socket_end_write(pair[GUEST]);
    assert_int_equal(microvm_client_recv(pair[HERE], text, 8, SOON_MS, &err), 4);
    assert_int_equal(microvm_client_recv(pair[HERE], text, 8, SOON_MS, &err), 0);
}

#ifndef _WIN32 /* wine says an end where there was a reset */
/* Whoever closes with something unread resets. */
static void a_reset_is_no_end(void **state)
{
    intptr_t *pair = *state;
    microvm_error err;
    char text[8], *reply;
    size_t length;
    assert_ok(microvm_client_send(pair[HERE], "unread", 6, SOON_MS, &err), &err);
    microvm_client_close(pair[GUEST]);
    pair[GUEST] = MV_SOCKET_NONE;
    assert_error((int)microvm_client_recv(pair[HERE], text, 8, SOON_MS, &err), &err,
                 MICROVM_E_IO, "reset");
    assert_int_equal(err.os_code, ECONNRESET);
    assert_error(microvm_client_send(pair[HERE], "x", 1, SOON_MS, &err), &err,
                 MICROVM_E_IO, "ended");
    assert_error(
        microvm_client_request_on(pair[HERE], "x", 1, SOON_MS, &reply, &length, &err),
        &err, MICROVM_E_IO, "ended");
}

#endif

static void a_request_that_nobody_takes(void **state)
{
    const intptr_t *pair = *state;
    microvm_error err;
    char *large = test_calloc(1, LARGE);
    uint64_t began = mv_socket_now_ms();
    assert_error(microvm_client_send(pair[HERE], large, LARGE, SOON_MS, &err), &err,
                 MICROVM_E_TIMEOUT, "in time");
    assert_true(mv_socket_now_ms() - began < LATE_MS);
    test_free(large);
}

struct drip {
    intptr_t socket;
    unsigned pieces;
};

static void drips(void *arg)
{
    const struct drip *drip = arg;
    for (unsigned i = 0; i < drip->pieces; i++) {
        (void)mv_socket_wait(drip->socket, 0, SOON_MS / 4);
        if (mv_socket_send(drip->socket, "x", 1, SOON_MS))
            return;
        uv_sleep(SOON_MS / 4);
    }
}

/* Not for each of its pieces. */
static void the_limit_is_for_all_of_it(void **state)
{
    const intptr_t *pair = *state;
    struct drip drip = {pair[GUEST], 40};
    microvm_error err;
    uv_thread_t thread;
    char *reply;
    size_t length;
    uint64_t began = mv_socket_now_ms();
    assert_int_equal(uv_thread_create(&thread, drips, &drip), 0);
    assert_error(microvm_client_request_on(pair[HERE], "x", 1, 2 * SOON_MS, &reply,
                                           &length, &err),
                 &err, MICROVM_E_TIMEOUT, "in time");
    assert_true(mv_socket_now_ms() - began < 15 * SOON_MS);
    (void)uv_thread_join(&thread);
}

static void ask(const intptr_t *pair, const char *reply)
{
    microvm_error err;
    char *text;
    size_t length;
    assert_ok(
        microvm_client_request_on(pair[HERE], "x", 1, SOON_MS, &text, &length, &err),
        &err);
    assert_int_equal(length, strlen(reply));
    assert_string_equal(text, reply);
    microvm_string_free(text);
}

static void what_follows_an_answer_stays(void **state)
{
    intptr_t *pair = *state;
    microvm_error err;
    char text[8];
    guest_says(pair, "one\n\ntwo\nmore");
    ask(pair, "one");
    ask(pair, "");
    ask(pair, "two");
    assert_int_equal(microvm_client_recv(pair[HERE], text, 8, SOON_MS, &err), 4);
    assert_memory_equal(text, "more", 4);
    guest_says(pair, "no newline");
    mv_socket_end_write(pair[GUEST]);
    ask(pair, "no newline");
    char *reply;
    size_t length;
    assert_error(
        microvm_client_request_on(pair[HERE], "x", 1, SOON_MS, &reply, &length, &err),
        &err, MICROVM_E_IO, "without an answer");
}

static void says_much(void *arg)
{
    const struct drip *much = arg;
    static char piece[1 << 16];
    memset(piece, 'x', sizeof piece);
    for (unsigned i = 0; i < much->pieces; i++) {
        if (mv_socket_send(much->socket, piece, sizeof piece, LATE_MS))
            return;
    }
    (void)mv_socket_send(much->socket, "\nrest", 5, LATE_MS);
}

static int ask_for_much(const intptr_t *pair, unsigned pieces, size_t *length,
                        microvm_error *err)
{
    struct drip much = {pair[GUEST], pieces};
    uv_thread_t thread;
    char *text = NULL;
    assert_int_equal(uv_thread_create(&thread, says_much, &much), 0);
    int rc =
        microvm_client_request_on(pair[HERE], "x", 1, 4 * LATE_MS, &text, length, err);
    if (rc) { /* so that the other one is not left waiting */
        char rest[4096];
        while (mv_socket_wait(pair[HERE], 0, SOON_MS) &&
               mv_socket_read(pair[HERE], rest, sizeof rest) > 0)
            continue;
    }
    (void)uv_thread_join(&thread);
    microvm_string_free(text);
    return rc;
}

static void answers_are_whole_up_to_their_limit(void **state)
{
    const intptr_t *pair = *state;
    microvm_error err;
    char rest[8];
    size_t length;
    assert_ok(ask_for_much(pair, 160, &length, &err), &err);
    assert_int_equal(length, 160u << 16);
    assert_int_equal(microvm_client_recv(pair[HERE], rest, 8, SOON_MS, &err), 4);
    assert_error(ask_for_much(pair, 1025, &length, &err), &err, MICROVM_E_IO, "64 MiB");
}

/* Who was built before the last member came has none. */
static void settings_of_any_size(void **state)
{
    static char none[] = "not a pointer";
    const size_t first = offsetof(microvm_runtime_config, machine);
    microvm_runtime_config config = MICROVM_RUNTIME_CONFIG_INIT;
    microvm_client *client;
    microvm_error err;
    (void)state;
    memcpy((char *)&config + first, none, sizeof config.machine);
    config.size = (uint32_t)first;
    assert_null(microvm_runtime_new(&config, &client, &err));
    assert_string_equal(err.message, "Kernel image not found");
    config.size = (uint32_t)first - 1;
    assert_null(microvm_runtime_new(&config, &client, &err));
    assert_non_null(strstr(err.message, "MICROVM_RUNTIME_CONFIG_INIT"));
}

#define CLIENT_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(ends_are_told_apart),
#ifndef _WIN32
        CLIENT_TEST(a_reset_is_no_end),
#endif
        CLIENT_TEST(a_request_that_nobody_takes),
        CLIENT_TEST(the_limit_is_for_all_of_it),
        CLIENT_TEST(what_follows_an_answer_stays),
        CLIENT_TEST(answers_are_whole_up_to_their_limit),
        CLIENT_TEST(settings_of_any_size),
    };
    struct mv_loop loop; /* Windows has no sockets before there is one */
    if (mv_loop_open(&loop, NULL))
        return 1;
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    mv_loop_close(&loop);
    return failures;
}
