/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Commands in the guest, from the host's side. The agent is a list of frames that wait
 * in the socket already: a right one's, and those of one that lies.
 */
#include "check.h"

#include "os/loop.h"
#include "os/socket.h"
#include "proto/agent.h"
#include "util/bytes.h"

#include <string.h>

static const char *const cat[] = {"cat", NULL};

struct agent {
    intptr_t socket;
    uint8_t heard[4096]; /* what the client sent */
    size_t length, at;
};

static void say(struct agent *agent, enum agent_type type, const void *data,
                size_t length)
{
    uint8_t header[AGENT_HEADER_BYTES];
    agent_header_write(header, type, (uint32_t)length);
    assert_int_equal(mv_socket_write(agent->socket, header, sizeof header),
                     sizeof header);
    if (length)
        assert_int_equal(mv_socket_write(agent->socket, data, length), length);
}

static void say_number(struct agent *agent, uint32_t number)
{
    uint8_t bytes[4];
    mv_store32(bytes, number);
    say(agent, AGENT_TAKEN, bytes, sizeof bytes);
}

#define SAY_STRINGS(agent, type, strings) say(agent, type, strings, sizeof strings - 1)

/* The next frame that the client sent. */
static void hear(struct agent *agent, struct agent_frame *frame)
{
    int32_t n;
    agent->length -= agent->at;
    memmove(agent->heard, agent->heard + agent->at, agent->length);
    agent->at = 0;
    while ((n = agent_frame_read(frame, agent->heard, agent->length)) == 0) {
        int64_t got = mv_socket_read(agent->socket, agent->heard + agent->length,
                                     sizeof agent->heard - agent->length);
        if (got == MV_SOCKET_AGAIN) { /* where a pair is TCP, it takes its time */
            assert_int_equal(mv_socket_wait(agent->socket, 0, 1000), 1);
            continue;
        }
        assert_true(got > 0);
        agent->length += (size_t)got;
    }
    assert_true(n > 0);
    agent->at = (size_t)n;
}

static int start(struct agent *agent, const char *reply, size_t length,
                 const microvm_command *command, microvm_process **out,
                 microvm_error *err)
{
    intptr_t pair[2];
    assert_int_equal(mv_socket_pair(MICROVM_SOCKET_STREAM, pair, NULL), 0);
    *agent = (struct agent){.socket = pair[1]};
    if (reply)
        say(agent, AGENT_REPLY, reply, length);
    return microvm_exec_on(pair[0], command, 200, out, err);
}

static microvm_process *started(struct agent *agent, uint32_t flags)
{
    static const char reply[] = "version=1\0pid=7\0";
    microvm_command command = MICROVM_COMMAND_INIT;
    microvm_process *p;
    microvm_error err;
    command.argv = cat;
    command.flags = flags;
    assert_ok(start(agent, reply, sizeof reply - 1, &command, &p, &err), &err);
    struct agent_frame frame;
    hear(agent, &frame);
    assert_int_equal(frame.type, AGENT_REQUEST);
    return p;
}

static void asks_for_what_it_was_given(void **state)
{
    static const char *const argv[] = {"sh", "-c", "", NULL};
    static const char *const env[] = {"A=b=c", "B=", NULL};
    static const char reply[] = "version=1\0pid=7\0";
    microvm_command command = MICROVM_COMMAND_INIT;
    struct agent agent;
    struct agent_frame f;
    microvm_process *p;
    microvm_error err;
    (void)state;
    command.argv = argv;
    command.env = env;
    command.cwd = "/tmp";
    command.user = "me:us";
    command.flags = MICROVM_COMMAND_TTY | MICROVM_COMMAND_INPUT;
    command.columns = 100;
    command.timeout_ms = 5000;
    assert_ok(start(&agent, reply, sizeof reply - 1, &command, &p, &err), &err);
    hear(&agent, &f);
    assert_int_equal(f.type, AGENT_REQUEST);
    assert_true(agent_strings_valid(f.data, f.length));
    const struct {
        const char *key, *value;
        size_t index;
    } wanted[] = {
        {"do", "exec", 0},    {"arg", "sh", 0},    {"arg", "-c", 1},
        {"arg", "", 2},       {"arg", NULL, 3},    {"env", "A=b=c", 0},
        {"env", "B=", 1},     {"cwd", "/tmp", 0},  {"user", "me:us", 0},
        {"input", "1", 0},    {"tty", "1", 0},     {"columns", "100", 0},
        {"rows", NULL, 0},    {"version", "1", 0}, {"timeout_ms", "5000", 0},
        {"timeout", NULL, 0},
    };
    for (unsigned i = 0; i < MV_ARRAY_LEN(wanted); i++) {
        const char *value =
            agent_strings_get(f.data, f.length, wanted[i].key, wanted[i].index);
        if (wanted[i].value)
            assert_string_equal(value, wanted[i].value);
        else
            assert_null(value);
    }
    microvm_process_free(p);
    mv_socket_close(agent.socket);
}

static void output_comes_as_it_is(void **state)
{
    struct agent agent;
    microvm_process *p = started(&agent, 0);
    microvm_error err;
    char text[8];
    int stream = 0;
    (void)state;
    assert_error((int)microvm_process_read(p, text, 8, &stream, 0, &err), &err,
                 MICROVM_E_TIMEOUT, "said nothing in time");
    say(&agent, AGENT_OUTPUT, "twelve bytes", 12);
    say(&agent, AGENT_ERRORS, "", 0);
    say(&agent, AGENT_ERRORS, "oh", 2);
    assert_int_equal(microvm_process_read(p, text, 8, &stream, 1000, &err), 8);
    assert_memory_equal(text, "twelve b", 8);
    assert_int_equal(stream, 1);
    assert_int_equal(microvm_process_read(p, text, 8, &stream, 1000, &err), 4);
    assert_int_equal(microvm_process_read(p, text, 8, &stream, 1000, &err), 2);
    assert_int_equal(stream, 2);
    assert_int_equal(microvm_process_status(p), -1);
    SAY_STRINGS(&agent, AGENT_EXIT, "code=143\0signal=15\0");
    assert_int_equal(microvm_process_read(p, text, 8, &stream, 1000, &err), 0);
    assert_int_equal(microvm_process_read(p, text, 8, &stream, 1000, &err), 0);
    assert_int_equal(microvm_process_status(p), 143);
    assert_int_equal(microvm_process_wait(p, 0, &err), 143);
    microvm_process_free(p);
    mv_socket_close(agent.socket);
}

static void input_keeps_to_the_window(void **state)
{
    static uint8_t data[2 * AGENT_WINDOW];
    struct agent agent;
    struct agent_frame frame;
    microvm_process *p = started(&agent, MICROVM_COMMAND_INPUT);
    microvm_error err;
    char text[8];
    (void)state;
    assert_int_equal(microvm_process_write(p, data, 1000, 0, &err), 1000);
    hear(&agent, &frame);
    assert_int_equal(frame.type, AGENT_INPUT);
    assert_int_equal(frame.length, 1000);
    assert_int_equal(microvm_process_room(p), AGENT_WINDOW - 1000);
    assert_int_equal(microvm_process_write(p, data, sizeof data, 1000, &err),
                     AGENT_WINDOW - 1000);
    assert_int_equal(microvm_process_room(p), 0);
    assert_error((int)microvm_process_write(p, data, 1, 0, &err), &err,
                 MICROVM_E_TIMEOUT, "read nothing");
    say_number(&agent, 600);
    assert_int_equal(microvm_process_read(p, text, 8, NULL, 100, &err),
                     MICROVM_E_TIMEOUT);
    assert_int_equal(microvm_process_room(p), 600);
    assert_ok(microvm_process_end_input(p, &err), &err);
    assert_ok(microvm_process_end_input(p, &err), &err);
    assert_error((int)microvm_process_write(p, data, 1, 0, &err), &err, MICROVM_E_STATE,
                 "has ended");
    assert_int_equal(microvm_process_room(p), 0);
    microvm_process_free(p);
    mv_socket_close(agent.socket);
}

static void signals_and_sizes_are_frames(void **state)
{
    struct agent agent;
    struct agent_frame frame;
    microvm_process *p = started(&agent, MICROVM_COMMAND_TTY);
    microvm_error err;
    (void)state;
    assert_ok(microvm_process_signal(p, 15, &err), &err);
    hear(&agent, &frame);
    assert_int_equal(frame.type, AGENT_SIGNAL);
    assert_int_equal(frame.data[0], 15);
    assert_ok(microvm_process_resize(p, 300, 2, &err), &err);
    hear(&agent, &frame);
    assert_int_equal(frame.type, AGENT_RESIZE);
    assert_int_equal(mv_load16(frame.data), 300);
    assert_int_equal(mv_load16(frame.data + 2), 2);
    assert_int_equal(microvm_process_signal(p, 0, NULL), MICROVM_E_INVALID);
    assert_int_equal(microvm_process_signal(p, 65, NULL), MICROVM_E_INVALID);
    assert_int_equal(microvm_process_resize(p, 0, 2, NULL), MICROVM_E_INVALID);
    microvm_process_free(p);
    mv_socket_close(agent.socket);
}

static void refusals_are_passed_on(void **state)
{
    static const char no[] = "error=fly: No such file\0code=127\0";
    static const char strange[] = "error=no\0code=x\0";
    microvm_command command = MICROVM_COMMAND_INIT;
    struct agent agent;
    microvm_process *p = NULL;
    microvm_error err;
    (void)state;
    command.argv = cat;
    assert_error(start(&agent, no, sizeof no - 1, &command, &p, &err), &err,
                 MICROVM_E_INVALID, "fly: No such file");
    assert_int_equal(err.os_code, 127);
    mv_socket_close(agent.socket);
    assert_error(start(&agent, strange, sizeof strange - 1, &command, &p, &err), &err,
                 MICROVM_E_INVALID, "no");
    assert_int_equal(err.os_code, 126);
    mv_socket_close(agent.socket);
    assert_error(start(&agent, NULL, 0, &command, &p, &err), &err, MICROVM_E_TIMEOUT,
                 "said nothing in time");
    mv_socket_close(agent.socket);
    command.timeout_ms = -1;
    assert_error(start(&agent, no, sizeof no - 1, &command, &p, &err), &err,
                 MICROVM_E_INVALID, "negative");
    mv_socket_close(agent.socket);
    command.argv = cat + 1;
    assert_error(start(&agent, no, sizeof no - 1, &command, &p, &err), &err,
                 MICROVM_E_INVALID, "there is no command");
    mv_socket_close(agent.socket);
    assert_null(p);
}

/* What an agent could send that is none: always an error, never a wait. */
static void an_agent_that_lies_is_an_error(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } lies[] = {
#define LIE(text) {text, sizeof text - 1}
        LIE("\x09\x00\x00\x00"),                 /* no type */
        LIE("\x03\x01\x00\x01x"),                /* longer than may be */
        LIE("\x00\x00\x00\x00"),                 /* a request */
        LIE("\x01\x00\x00\x00"),                 /* another reply */
        LIE("\x05\x04\x00\x00\x01\x00\x00\x00"), /* took what was not sent */
        LIE("\x05\x03\x00\x00\x01\x00\x00"),
        LIE("\x08\x04\x00\x00"
            "code"), /* no strings */
#undef LIE
    };
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(lies); i++) {
        struct agent agent;
        microvm_process *p = started(&agent, MICROVM_COMMAND_INPUT);
        microvm_error err;
        char text[8];
        assert_int_equal(mv_socket_write(agent.socket, lies[i].bytes, lies[i].length),
                         lies[i].length);
        assert_int_equal(microvm_process_read(p, text, 8, NULL, 100, &err),
                         MICROVM_E_IO);
        assert_int_equal(microvm_process_status(p), -1);
        microvm_process_free(p);
        mv_socket_close(agent.socket);
    }
}

static void an_agent_that_goes_is_an_error(void **state)
{
    struct agent agent;
    microvm_process *p = started(&agent, MICROVM_COMMAND_INPUT);
    microvm_error err;
    char text[8];
    (void)state;
    say(&agent, AGENT_OUTPUT, "last", 4);
    mv_socket_close(agent.socket);
    assert_int_equal(microvm_process_read(p, text, 8, NULL, 100, &err), 4);
    assert_error((int)microvm_process_read(p, text, 8, NULL, 100, &err), &err,
                 MICROVM_E_IO, "agent has gone");
    assert_error(microvm_process_wait(p, 100, &err), &err, MICROVM_E_IO, "agent");
    microvm_process_free(p);
    microvm_process_free(NULL);
    assert_int_equal(microvm_process_status(NULL), -1);
    assert_int_equal(microvm_process_handle(NULL), -1);
}

int main(void)
{
    struct mv_loop loop; /* Windows has sockets once there is one */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_for_what_it_was_given),
        cmocka_unit_test(output_comes_as_it_is),
        cmocka_unit_test(input_keeps_to_the_window),
        cmocka_unit_test(signals_and_sizes_are_frames),
        cmocka_unit_test(refusals_are_passed_on),
        cmocka_unit_test(an_agent_that_lies_is_an_error),
        cmocka_unit_test(an_agent_that_goes_is_an_error),
    };
    if (mv_loop_open(&loop, NULL))
        return 1;
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    mv_loop_close(&loop);
    return failures;
}
