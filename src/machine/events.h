/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The queue of events that the application takes, with one pollable handle. Bounded:
 * when nobody takes them the oldest stay and later ones are counted as lost.
 */
#ifndef MV_MACHINE_EVENTS_H
#define MV_MACHINE_EVENTS_H

#include "os/notify.h"
#include "os/thread.h"

enum { MV_EVENTS_MAX = 64 }; /* a life has about ten */

struct mv_events {
    uv_mutex_t lock;
    microvm_event event[MV_EVENTS_MAX];
    unsigned first, count, lost;
    struct mv_notify notify;
};

int mv_events_open(struct mv_events *events, microvm_error *err);
void mv_events_close(struct mv_events *events);

/* Fills in size and time. Any thread. */
void mv_events_push(struct mv_events *events, microvm_event event);

/* The same, unless one of this type and port waits already: for what may happen often
 * and needs to be said once. */
void mv_events_push_once(struct mv_events *events, microvm_event event);

/* 1: *out is the next event, up to out->size bytes of it; 0: none. */
int mv_events_take(struct mv_events *events, microvm_event *out);

#endif
