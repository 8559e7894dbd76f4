/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A ring of events under a lock. The handle is readable exactly while events wait.
 */
#include "machine/events.h"

#include "os/error.h"
#include "util/bytes.h"

int mv_events_open(struct mv_events *events, microvm_error *err)
{
    events->first = events->count = events->lost = 0;
    int rc = mv_notify_open(&events->notify, err);
    if (rc)
        return rc;
    rc = uv_mutex_init(&events->lock);
    if (rc) {
        mv_notify_close(&events->notify);
        return mv_fail_uv(err, rc, "event queue");
    }
    return 0;
}

void mv_events_close(struct mv_events *events)
{
    mv_notify_close(&events->notify);
    uv_mutex_destroy(&events->lock);
}

void mv_events_push(struct mv_events *events, microvm_event event)
{
    event.size = sizeof event;
    event.time_ns = uv_hrtime();
    uv_mutex_lock(&events->lock);
    if (events->count == MV_EVENTS_MAX) {
        events->lost++;
    } else {
        events->event[(events->first + events->count) % MV_EVENTS_MAX] = event;
        events->count++;
    }
    mv_notify_signal(&events->notify);
    uv_mutex_unlock(&events->lock);
}

static bool events_waiting(struct mv_events *events, const microvm_event *event)
{
    for (unsigned i = 0; i < events->count; i++) {
        const microvm_event *e = &events->event[(events->first + i) % MV_EVENTS_MAX];
        if (e->type == event->type && e->port == event->port)
            return true;
    }
    return false;
}

void mv_events_push_once(struct mv_events *events, microvm_event event)
{
    uv_mutex_lock(&events->lock);
    bool waiting = events_waiting(events, &event);
    uv_mutex_unlock(&events->lock);
    if (!waiting)
        mv_events_push(events, event);
}

/* What was lost comes after what was kept, because it happened later. */
static bool events_next(struct mv_events *events, microvm_event *out)
{
    if (events->count) {
        *out = events->event[events->first];
        events->first = (events->first + 1) % MV_EVENTS_MAX;
        events->count--;
        return true;
    }
    if (!events->lost)
        return false;
    *out = (microvm_event){.size = sizeof *out,
                           .type = MICROVM_EVENT_LOST,
                           .time_ns = uv_hrtime(),
                           .count = events->lost};
    events->lost = 0;
    return true;
}

int mv_events_take(struct mv_events *events, microvm_event *out)
{
    microvm_event event;
    uint32_t size = out->size;
    uv_mutex_lock(&events->lock);
    bool got = events_next(events, &event);
    if (!events->count && !events->lost)
        (void)mv_notify_clear(&events->notify);
    uv_mutex_unlock(&events->lock);
    if (!got)
        return 0;
    memcpy(out, &event, MV_MIN(size, sizeof event));
    out->size = size;
    return 1;
}
