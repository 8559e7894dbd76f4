/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Questions to a VPN gateway's daemon, which is the test here: what goes out, what each
 * kind of answer becomes, and what is no answer.
 */
#include "check.h"

#include "microvm/runtime.h"
#include "os/loop.h"
#include "os/socket.h"
#include "proto/vpn.h"

#include <string.h>

enum { HERE, DAEMON, ROOM = 4096, SOON_MS = 200 };

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
    mv_socket_close(pair[DAEMON]);
    return 0;
}

/* The answer is there before the question, which makes no difference to who asks. */
static int ask(const intptr_t *pair, const microvm_vpn_request *request,
               const char *reply, microvm_vpn_answer *answer, microvm_error *err)
{
    assert_int_equal(mv_socket_send(pair[DAEMON], reply, strlen(reply), SOON_MS), 0);
    return microvm_vpn_ask_on(pair[HERE], request, SOON_MS, answer, err);
}

static void a_question_is_what_the_daemon_reads(void **state)
{
    const intptr_t *pair = *state;
    microvm_vpn_request request = MICROVM_VPN_REQUEST_INIT;
    microvm_vpn_answer answer = MICROVM_VPN_ANSWER_INIT;
    microvm_error err;
    struct vpn_request read;
    char text[ROOM], why[VPN_WHY_MAX];
    request.command = "vpn_start";
    request.profile = "work.ovpn";
    request.username = "ann";
    request.password = "\"se\\cr\"et\n";
    assert_ok(ask(pair, &request,
                  "{\"status\":\"connected\",\"tun_ip\":\"10.8.0.6\","
                  "\"state\":\"connected\",\"profile\":\"work.ovpn\"}\n",
                  &answer, &err),
              &err);
    assert_int_equal(answer.status, MICROVM_VPN_CONNECTED);
    assert_string_equal(answer.tun_ip, "10.8.0.6");
    assert_string_equal(answer.state, "connected");
    assert_null(answer.error);
    assert_null(answer.profiles);
    microvm_vpn_answer_free(&answer);
    microvm_vpn_answer_free(&answer); /* and again */
    int64_t length = mv_socket_read(pair[DAEMON], text, sizeof text);
    assert_true(length > 0 && text[length - 1] == '\n');
    assert_true(vpn_request_read(text, (size_t)length, &read, why));
    assert_int_equal(read.command, VPN_START);
    assert_true(read.detail);
    assert_string_equal(read.password, request.password);
    assert_null(read.response);
    vpn_request_free(&read);
}

static void profiles_are_a_list(void **state)
{
    microvm_vpn_request request = MICROVM_VPN_REQUEST_INIT;
    microvm_vpn_answer answer = MICROVM_VPN_ANSWER_INIT;
    microvm_error err;
    request.command = "list_profiles";
    assert_ok(ask(*state, &request, "{\"status\":\"ok\",\"profiles\":[\"a\",\"b\"]}\n",
                  &answer, &err),
              &err);
    assert_string_equal(answer.profiles[0], "a");
    assert_string_equal(answer.profiles[1], "b");
    assert_null(answer.profiles[2]);
    microvm_vpn_answer_free(&answer);
    assert_ok(
        ask(*state, &request, "{\"status\":\"ok\",\"profiles\":[]}\n", &answer, &err),
        &err);
    assert_null(answer.profiles[0]);
    microvm_vpn_answer_free(&answer);
}

static void an_error_is_an_answer(void **state)
{
    microvm_vpn_request request = MICROVM_VPN_REQUEST_INIT;
    microvm_vpn_answer answer = MICROVM_VPN_ANSWER_INIT;
    microvm_error err;
    request.command = "vpn_status";
    assert_ok(ask(*state, &request,
                  "{\"status\":\"error\",\"error\":\"no\",\"challenge\":\"PIN?\"}\n",
                  &answer, &err),
              &err);
    assert_int_equal(answer.status, MICROVM_VPN_ERROR);
    assert_string_equal(answer.error, "no");
    assert_string_equal(answer.challenge, "PIN?");
    microvm_vpn_answer_free(&answer);
}

static void what_is_no_answer(void **state)
{
    static const char *const wrong[] = {"pong\n", "{\"status\":\"flying\"}\n", "\n",
                                        "{\"status\":\"ok\",\"profiles\":[1]}\n"};
    microvm_vpn_request request = MICROVM_VPN_REQUEST_INIT;
    microvm_vpn_answer answer = MICROVM_VPN_ANSWER_INIT;
    microvm_error err;
    request.command = "ping";
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_error(ask(*state, &request, wrong[i], &answer, &err), &err, MICROVM_E_IO,
                     "no answer of its daemon");
    assert_error(ask(*state, &request, "", &answer, &err), &err, MICROVM_E_TIMEOUT,
                 "in time");
    request.command = "fly";
    assert_error(ask(*state, &request, "", &answer, &err), &err, MICROVM_E_INVALID,
                 "no command 'fly'");
    request.command = "vpn_start";
    request.profile = "\xff";
    assert_error(ask(*state, &request, "", &answer, &err), &err, MICROVM_E_INVALID,
                 "no UTF-8");
    assert_null(answer.memory);
}

#define ASK_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ASK_TEST(a_question_is_what_the_daemon_reads),
        ASK_TEST(profiles_are_a_list),
        ASK_TEST(an_error_is_an_answer),
        ASK_TEST(what_is_no_answer),
    };
    struct mv_loop loop; /* Windows has no sockets before there is one */
    if (mv_loop_open(&loop, NULL))
        return 1;
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    mv_loop_close(&loop);
    return failures;
}
