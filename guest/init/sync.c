/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The request "sync", by a process of its own: a disk may take as long as it likes, and
 * nothing can interrupt who waits for it. When the request's time is over the client is
 * told, and the process goes on alone.
 */
#include "sync.h"

#include "procs.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { SYNCS_MAX = 16, FAILED = 125, TIME_OVER = 124 };

static struct sync {
    pid_t pid;               /* 0: a free place */
    struct session *session; /* NULL: the client has gone */
} syncs[SYNCS_MAX];

static bool sync_frame(struct session *session, const struct agent_frame *frame)
{
    (void)session, (void)frame;
    return false;
}

static void sync_idle(struct session *session)
{
    (void)session;
}

static void sync_closed(struct session *session)
{
    struct sync *sync = session->request;
    sync->session = NULL;
}

static void sync_expired(struct session *session)
{
    session_refuse(session, TIME_OVER, "sync: the time for it is over");
}

static const struct session_ops sync_ops = {
    .frame = sync_frame,
    .idle = sync_idle,
    .closed = sync_closed,
    .expired = sync_expired,
};

void sync_begin(struct session *session, const struct agent_frame *request)
{
    struct sync *place = syncs;
    (void)request;
    while (place < syncs + SYNCS_MAX && place->pid)
        place++;
    if (place == syncs + SYNCS_MAX) {
        session_refuse(session, FAILED, "sync: %d are on the way already", SYNCS_MAX);
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        procs_close_from(0);
        sync();
        _exit(0);
    }
    if (pid < 0) {
        session_refuse(session, FAILED, "sync: fork: %s", strerror(errno));
        return;
    }
    *place = (struct sync){pid, session};
    session->ops = &sync_ops;
    session->request = place;
    session_limit(session, request);
}

void sync_reaped(int pid)
{
    for (unsigned i = 0; i < SYNCS_MAX; i++) {
        struct session *session = syncs[i].session;
        if (!pid || syncs[i].pid != pid)
            continue;
        syncs[i].pid = 0;
        if (session)
            session_answer(session, NULL);
    }
}
