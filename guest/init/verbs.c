/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a client can ask for. A verb is a row of the table. Those that may have to wait
 * for a disk are files of their own; the others are answered at once.
 */
#define _GNU_SOURCE
#include "copy.h"
#include "exec.h"
#include "main_command.h"
#include "power.h"
#include "sync.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { REPLY_BYTES = 2048, FAILED = 125 };

/* Who answers: also how a client finds out whether somebody does. */
static void verb_info(struct session *session, const struct agent_frame *request)
{
    uint8_t strings[REPLY_BYTES];
    struct agent_writer w = {.data = strings, .size = sizeof strings};
    struct utsname name;
    (void)request;
    if (uname(&name) == 0) {
        agent_put(&w, "kernel", name.release);
        agent_put(&w, "machine", name.machine);
        agent_put(&w, "hostname", name.nodename);
    }
    agent_put_number(&w, "processors", sysconf(_SC_NPROCESSORS_ONLN));
    session_answer(session, &w);
}

static void verb_metrics(struct session *session, const struct agent_frame *request)
{
    uint8_t strings[REPLY_BYTES];
    struct agent_writer w = {.data = strings, .size = sizeof strings};
    struct sysinfo info;
    (void)request;
    if (sysinfo(&info) < 0) {
        session_refuse(session, FAILED, "sysinfo: %s", strerror(errno));
        return;
    }
    int64_t unit = info.mem_unit;
    agent_put_number(&w, "uptime_s", (int64_t)info.uptime);
    agent_put_number(&w, "processes", info.procs);
    agent_put_number(&w, "load_1m_milli", (int64_t)(info.loads[0] * 1000 >> 16));
    agent_put_number(&w, "memory_bytes", (int64_t)info.totalram * unit);
    agent_put_number(&w, "memory_free_bytes", (int64_t)info.freeram * unit);
    agent_put_number(&w, "memory_shared_bytes", (int64_t)info.sharedram * unit);
    agent_put_number(&w, "swap_bytes", (int64_t)info.totalswap * unit);
    agent_put_number(&w, "swap_free_bytes", (int64_t)info.freeswap * unit);
    session_answer(session, &w);
}

/* After a pause or a restored snapshot the host knows better. */
static void verb_time(struct session *session, const struct agent_frame *request)
{
    int64_t ns = agent_strings_number(request->data, request->length, "unix_ns", -1, 0,
                                      INT64_MAX / 2);
    struct timespec now = {.tv_sec = (time_t)(ns / 1000000000),
                           .tv_nsec = (long)(ns % 1000000000)};
    if (ns < 0)
        session_refuse(session, FAILED, "time: unix_ns is no number of nanoseconds");
    else if (clock_settime(CLOCK_REALTIME, &now) < 0)
        session_refuse(session, FAILED, "time: %s", strerror(errno));
    else
        session_answer(session, NULL);
}

/* Answered before it is begun, for afterwards nobody is there to answer. */
static void verb_shutdown(struct session *session, const struct agent_frame *request)
{
    const char *how = agent_strings_get(request->data, request->length, "how", 0);
    bool reboot = how && !strcmp(how, "reboot");
    if (how && !reboot && strcmp(how, "poweroff") != 0) {
        session_refuse(session, FAILED, "shutdown: '%s' is neither poweroff nor reboot",
                       how);
        return;
    }
    if (!power_begin(reboot)) {
        session_refuse(session, FAILED, "shutdown: this is not the first process");
        return;
    }
    session_answer(session, NULL);
}

static const struct {
    const char *name;
    void (*begin)(struct session *session, const struct agent_frame *request);
} verbs[] = {
    {"exec", exec_begin}, {"main", main_command_begin}, {"put", put_begin},
    {"get", get_begin},   {"info", verb_info},          {"metrics", verb_metrics},
    {"sync", sync_begin}, {"time", verb_time},          {"shutdown", verb_shutdown},
};

void verb_begin(struct session *session, const struct agent_frame *request)
{
    session->deadline_ms = 0;
    if (!agent_strings_valid(request->data, request->length)) {
        session_refuse(session, FAILED, "the request is no list of strings");
        return;
    }
    session->version = agent_version(request->data, request->length);
    if (session->version < 0) {
        session_refuse(session, FAILED, "the request's version is no number from 1 on");
        return;
    }
    if (agent_strings_number(request->data, request->length, "timeout_ms", -1, 0,
                             AGENT_TIMEOUT_MAX_MS) < 0) {
        session_refuse(session, FAILED,
                       "the request has no timeout_ms (0: it may take any time)");
        return;
    }
    const char *name = agent_strings_get(request->data, request->length, "do", 0);
    for (unsigned i = 0; name && i < sizeof verbs / sizeof verbs[0]; i++) {
        if (!strcmp(name, verbs[i].name)) {
            verbs[i].begin(session, request);
            return;
        }
    }
    session_refuse(session, FAILED, "the agent (version %d) cannot do '%.100s'",
                   AGENT_VERSION, name ? name : "");
}
