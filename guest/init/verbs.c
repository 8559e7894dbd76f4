/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a client can ask for. A verb is a row of the table; exec, put and get go on
 * after their reply, all others are answered at once and leave nothing behind.
 */
#define _GNU_SOURCE
#include "copy.h"
#include "exec.h"
#include "power.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { REPLY_BYTES = 2048, FAILED = 125 };

static void answer(struct session *session, struct agent_writer *w)
{
    agent_put_number(w, "version", AGENT_VERSION);
    session_send(session, AGENT_REPLY, w->data, w->length);
    session_end(session);
}

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
    answer(session, &w);
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
    answer(session, &w);
}

static void verb_sync(struct session *session, const struct agent_frame *request)
{
    uint8_t strings[REPLY_BYTES];
    struct agent_writer w = {.data = strings, .size = sizeof strings};
    (void)request;
    sync();
    answer(session, &w);
}

/* After a pause or a restored snapshot the host knows better. */
static void verb_time(struct session *session, const struct agent_frame *request)
{
    uint8_t strings[REPLY_BYTES];
    struct agent_writer w = {.data = strings, .size = sizeof strings};
    int64_t ns = agent_strings_number(request->data, request->length, "unix_ns", -1, 0,
                                      INT64_MAX / 2);
    struct timespec now = {.tv_sec = (time_t)(ns / 1000000000),
                           .tv_nsec = (long)(ns % 1000000000)};
    if (ns < 0)
        session_refuse(session, FAILED, "time: unix_ns is no number of nanoseconds");
    else if (clock_settime(CLOCK_REALTIME, &now) < 0)
        session_refuse(session, FAILED, "time: %s", strerror(errno));
    else
        answer(session, &w);
}

/* Answered before it is begun, for afterwards nobody is there to answer. */
static void verb_shutdown(struct session *session, const struct agent_frame *request)
{
    uint8_t strings[REPLY_BYTES];
    struct agent_writer w = {.data = strings, .size = sizeof strings};
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
    answer(session, &w);
}

static const struct {
    const char *name;
    void (*begin)(struct session *session, const struct agent_frame *request);
} verbs[] = {
    {"exec", exec_begin}, {"put", put_begin},          {"get", get_begin},
    {"info", verb_info},  {"metrics", verb_metrics},   {"sync", verb_sync},
    {"time", verb_time},  {"shutdown", verb_shutdown},
};

void verb_begin(struct session *session, const struct agent_frame *request)
{
    session->deadline_ms = 0;
    if (!agent_strings_valid(request->data, request->length)) {
        session_refuse(session, FAILED, "the request is no list of strings");
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
