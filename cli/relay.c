/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The parts of the relay that are the same on every system: the escape key, events,
 * and how a machine is asked to stop.
 */
#include "relay.h"

#include "cli.h"

unsigned escape_filter(struct escape *escape, const char *from, unsigned length,
                       char *to, bool *leave)
{
    unsigned used = 0;
    for (unsigned i = 0; i < length; i++) {
        bool is_escape = escape->on && from[i] == ESCAPE;
        if (is_escape && escape->held) {
            *leave = true;
            return used;
        }
        if (is_escape) {
            escape->held = true;
            continue;
        }
        if (escape->held)
            to[used++] = ESCAPE;
        escape->held = false;
        to[used++] = from[i];
    }
    return used;
}

bool relay_events(struct relay *relay)
{
    microvm_event event = MICROVM_EVENT_INIT;
    while (microvm_next_event(relay->vm, &event) == 1) {
        if (event.type == MICROVM_EVENT_CONNECT && relay->connected)
            relay->connected(relay->ctx, &event);
        bool news =
            event.type == MICROVM_EVENT_DEVICE || event.type == MICROVM_EVENT_LINK;
        if (news && !relay->quiet)
            say("%s", event.message);
    }
    microvm_state state = microvm_get_state(relay->vm);
    return state != MICROVM_STOPPED && state != MICROVM_FAILED;
}

bool relay_stop(struct relay *relay, bool *asked)
{
    microvm_error err;
    int rc = *asked ? 0 : microvm_begin(relay->vm, MICROVM_OP_SHUTDOWN, &err);
    if (rc == MICROVM_E_UNSUPPORTED && !relay->quiet)
        say("%s", err.message);
    if (!*asked && rc == 0) {
        *asked = true;
        if (!relay->quiet)
            say("asked the guest to power off; once more, or %d seconds, stop it",
                SHUTDOWN_GRACE_MS / 1000);
        return true;
    }
    *asked = true;
    (void)microvm_kill(relay->vm, NULL);
    return false;
}
