/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Copies from the host's side, where the agent is a list of frames that wait in the
 * socket already: what the application is told, how it cancels, and when time is over.
 * That trees arrive as they were is for tests/e2e/test_cp.py.
 */
#define _GNU_SOURCE
#include "check.h"

#include "os/loop.h"
#include "os/socket.h"
#include "proto/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIRECTORY "version=1\0type=directory\0"
#define FOLDER    "type=directory\0path=\0mode=493\0"

struct news {
    unsigned progress, skipped, cancel_after;
    uint64_t bytes, entries;
    char path[32], why[32];
};

static int hear(void *user, const microvm_copy_news *news)
{
    struct news *heard = user;
    assert_int_equal(news->size, sizeof *news);
    if (news->type == MICROVM_COPY_SKIPPED) {
        heard->skipped++;
        (void)snprintf(heard->path, sizeof heard->path, "%s", news->path);
        (void)snprintf(heard->why, sizeof heard->why, "%s", news->why);
    } else {
        heard->progress++;
        heard->bytes = news->bytes;
        heard->entries = news->entries;
    }
    return heard->cancel_after && heard->progress >= heard->cancel_after;
}

struct agent {
    intptr_t ours, theirs;
    char folder[64], target[80];
};

static void agent_open(struct agent *agent)
{
    intptr_t pair[2];
    assert_int_equal(mv_socket_pair(MICROVM_SOCKET_STREAM, pair, NULL), 0);
    *agent = (struct agent){
        .ours = pair[0], .theirs = pair[1], .folder = "/tmp/copy.XXXXXX"};
    assert_non_null(mkdtemp(agent->folder));
    (void)snprintf(agent->target, sizeof agent->target, "%s/new", agent->folder);
}

static void agent_close(struct agent *agent)
{
    (void)rmdir(agent->target);
    assert_int_equal(rmdir(agent->folder), 0); /* nothing else is in it */
    mv_socket_close(agent->theirs);
}

static void say(struct agent *agent, enum agent_type type, const void *data,
                size_t length)
{
    uint8_t header[AGENT_HEADER_BYTES];
    agent_header_write(header, type, (uint32_t)length);
    assert_int_equal(mv_socket_write(agent->theirs, header, sizeof header),
                     sizeof header);
    if (length)
        assert_int_equal(mv_socket_write(agent->theirs, data, length), length);
}
#define SAY(agent, type, text) say(agent, type, text, sizeof text - 1)

static void news_are_told(void **state)
{
    struct agent agent;
    struct news heard = {0};
    microvm_copy copy = MICROVM_COPY_INIT;
    microvm_error err;
    (void)state;
    agent_open(&agent);
    copy.news = hear;
    copy.user = &heard;
    SAY(&agent, AGENT_REPLY, DIRECTORY);
    SAY(&agent, AGENT_ENTRY, FOLDER);
    SAY(&agent, AGENT_ENTRY, "type=skipped\0path=null\0target=a device\0");
    SAY(&agent, AGENT_EXIT, "code=0\0");
    assert_ok(microvm_copy_from_on(agent.ours, "/dev", agent.target, &copy, &err),
              &err);
    assert_int_equal(heard.skipped, 1);
    assert_string_equal(heard.path, "null");
    assert_string_equal(heard.why, "a device");
    assert_int_equal(heard.entries, 2);
    assert_true(heard.progress >= 1);
    agent_close(&agent);
}

static void the_application_cancels(void **state)
{
    struct agent agent;
    struct news heard = {.cancel_after = 1};
    microvm_copy copy = MICROVM_COPY_INIT;
    microvm_error err;
    (void)state;
    agent_open(&agent);
    copy.news = hear;
    copy.user = &heard;
    SAY(&agent, AGENT_REPLY, "version=1\0type=file\0size=9\0");
    SAY(&agent, AGENT_ENTRY, "type=file\0path=\0");
    SAY(&agent, AGENT_OUTPUT, "half"); /* and nothing more */
    assert_error(microvm_copy_from_on(agent.ours, "/f", agent.target, &copy, &err),
                 &err, MICROVM_E_STATE, "cancelled");
    assert_int_equal(heard.bytes, 4);
    agent_close(&agent);
}

static void the_time_is_limited(void **state)
{
    struct agent agent;
    microvm_copy copy = MICROVM_COPY_INIT;
    microvm_error err;
    (void)state;
    copy.timeout_ms = 150;
    agent_open(&agent); /* it says nothing */
    assert_error(microvm_copy_from_on(agent.ours, "/f", agent.target, &copy, &err),
                 &err, MICROVM_E_TIMEOUT, "in time");
    agent_close(&agent);
    agent_open(&agent); /* it stands still in the middle */
    SAY(&agent, AGENT_REPLY, DIRECTORY);
    SAY(&agent, AGENT_ENTRY, FOLDER);
    assert_error(microvm_copy_from_on(agent.ours, "/f", agent.target, &copy, &err),
                 &err, MICROVM_E_TIMEOUT, "the time for the copy is over");
    agent_close(&agent);
    agent_open(&agent); /* it takes, and does not say that it has */
    SAY(&agent, AGENT_REPLY, "version=1\0");
    assert_error(microvm_copy_to_on(agent.ours, agent.folder, "/f", &copy, &err), &err,
                 MICROVM_E_TIMEOUT, "the time for the copy is over");
    agent_close(&agent);
}

static void the_guests_refusal_is_its_own(void **state)
{
    struct agent agent;
    microvm_error err;
    (void)state;
    agent_open(&agent);
    SAY(&agent, AGENT_REPLY, "error='/f': No such file\0code=1\0");
    assert_error(microvm_copy_from_on(agent.ours, "/f", agent.target, NULL, &err), &err,
                 MICROVM_E_INVALID, "'/f': No such file");
    assert_int_equal(err.os_code, 1);
    agent_close(&agent);
    agent_open(&agent);
    SAY(&agent, AGENT_REPLY, "version=1\0");
    SAY(&agent, AGENT_EXIT, "error=no room\0code=1\0");
    assert_error(microvm_copy_to_on(agent.ours, agent.folder, "/f", NULL, &err), &err,
                 MICROVM_E_INVALID, "in the guest: no room");
    assert_int_equal(err.os_code, 1);
    agent_close(&agent);
}

static void arguments_are_checked(void **state)
{
    struct agent agent;
    microvm_copy copy = MICROVM_COPY_INIT;
    microvm_error err;
    (void)state;
    agent_open(&agent);
    copy.size = 8;
    assert_error(microvm_copy_from_on(agent.ours, "/f", agent.target, &copy, &err),
                 &err, MICROVM_E_INVALID, "MICROVM_COPY_INIT");
    agent_close(&agent);
    agent_open(&agent);
    assert_error(microvm_copy_from_on(agent.ours, "", agent.target, NULL, &err), &err,
                 MICROVM_E_INVALID, "NULL or empty");
    agent_close(&agent);
    agent_open(&agent);
    assert_error(microvm_copy_to_on(agent.ours, NULL, "/f", NULL, &err), &err,
                 MICROVM_E_INVALID, "NULL or empty");
    agent_close(&agent);
    agent_open(&agent);
    assert_error(microvm_copy_to_on(agent.ours, "/no/such", "/f", NULL, &err), &err,
                 MICROVM_E_IO, "'/no/such'");
    agent_close(&agent);
    assert_error(microvm_copy_to(NULL, "/", "/f", NULL, &err), &err, MICROVM_E_INVALID,
                 "NULL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(news_are_told),
        cmocka_unit_test(the_application_cancels),
        cmocka_unit_test(the_time_is_limited),
        cmocka_unit_test(the_guests_refusal_is_its_own),
        cmocka_unit_test(arguments_are_checked),
    };
    struct mv_loop loop; /* of the process: sockets want one to have been */
    if (mv_loop_open(&loop, NULL))
        return 1;
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    mv_loop_close(&loop);
    return failures;
}
