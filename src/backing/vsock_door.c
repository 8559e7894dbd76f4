/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Doors: places for callers, what they say, and their limits of time. */
#include "backing/vsock_door.h"

#include "util/assert.h"
#include "util/bytes.h"

#include <stdlib.h>

#define LIMIT_NS \
    10000000000ull /* who has not said where to by then gives up its place */
#define LATER_NS                                                        \
    10000000ull /* to look again, for a place or for the rest of a word \
                 */

static void caller_forget(struct mv_vsock_caller *caller)
{
    mv_watch_remove(&caller->watch);
    caller->socket = MV_SOCKET_NONE;
    caller->dialling = false;
}

static void caller_drop(struct mv_vsock_caller *caller)
{
    intptr_t socket = caller->socket;
    mv_watch_remove(&caller->watch);
    mv_socket_close(socket);
    caller_forget(caller);
}

static intptr_t caller_take(struct mv_vsock_dial *dial, uint32_t host_port)
{
    struct mv_vsock_caller *caller = MV_CONTAINER(dial, struct mv_vsock_caller, dial);
    intptr_t socket = caller->socket;
    if (!caller->door->manner->taken(caller, host_port)) {
        caller_drop(caller);
        return MV_SOCKET_NONE;
    }
    caller_forget(caller);
    return socket;
}

static void caller_failed(struct mv_vsock_dial *dial, int code, const char *why)
{
    struct mv_vsock_caller *caller = MV_CONTAINER(dial, struct mv_vsock_caller, dial);
    (void)code;
    (void)why;
    if (caller->door->manner->failed)
        caller->door->manner->failed(caller);
    caller_drop(caller);
}

void mv_vsock_door_dial(struct mv_vsock_caller *caller)
{
    uint64_t patience_ns = caller->door->manner->patience_ns;
    caller->dialling = true;
    caller->dial.deadline_ns = patience_ns ? uv_hrtime() + patience_ns : 0;
    mv_vsock_dial(caller->door->ports, &caller->dial);
}

/* One message of the caller; false: there is no other now. */
static bool caller_hear(struct mv_vsock_caller *caller, unsigned events)
{
    uint8_t bytes[MV_VSOCK_HEARD_MOST];
    const struct mv_vsock_manner *manner = caller->door->manner;
    int64_t got = mv_socket_peek(caller->socket, bytes, manner->most);
    int used = 0;
    if (got > 0)
        used = manner->hear(caller, bytes, (size_t)got);
    else if (got != MV_SOCKET_AGAIN)
        used = -1;
    if (used < 0 || (used == 0 && events & (MV_WATCH_GONE | MV_WATCH_END))) {
        if (got >
            0) /* closing with bytes in it would be a reset, and lose our answer */
            (void)mv_socket_read(caller->socket, bytes, (size_t)got);
        caller_drop(caller);
        return false;
    }
    if (used > 0) {
        (void)mv_socket_read(caller->socket, bytes, (size_t)used);
        caller->seen = 0;
        return !caller->dialling;
    }
    /* Where the system tells of bytes again and again that stay in the socket, it is
     * not asked for a while. */
    bool news = got != caller->seen;
    caller->seen = got;
    if (news || got <= 0) {
        mv_watch_again(&caller->watch, MV_WATCH_READ);
    } else {
        mv_watch_mute(&caller->watch, MV_WATCH_READ);
        caller->look_ns = uv_hrtime() + LATER_NS;
        mv_vsock_ports_rearm(caller->door->ports);
    }
    return false;
}

static void caller_ready(struct mv_watch *watch, unsigned events)
{
    struct mv_vsock_caller *caller = MV_CONTAINER(watch, struct mv_vsock_caller, watch);
    /* While it is dialling: more of it, or it has gone, which `taken` will find. */
    if (!(events & MV_WATCH_READ) || caller->dialling)
        return;
    while (caller_hear(caller, events))
        continue;
}

/* -- places -- */

static struct mv_vsock_caller *door_place(struct mv_vsock_door *door)
{
    for (unsigned i = 0; i < door->manner->callers; i++) {
        if (door->caller[i].socket == MV_SOCKET_NONE)
            return &door->caller[i];
    }
    return NULL;
}

static void door_add(struct mv_vsock_door *door, struct mv_vsock_caller *caller,
                     intptr_t socket)
{
    *caller = (struct mv_vsock_caller){.dial = {.type = MICROVM_SOCKET_STREAM,
                                                .theirs = MV_SOCKET_NONE,
                                                .take = caller_take,
                                                .failed = caller_failed},
                                       .watch = {.ready = caller_ready},
                                       .door = door,
                                       .socket = socket,
                                       .limit_ns = uv_hrtime() + LIMIT_NS};
    if (mv_watch_add(door->watches, &caller->watch, socket))
        caller_drop(caller);
}

static void door_accept(struct mv_vsock_door *door)
{
    struct mv_vsock_caller *caller;
    door->waits = false;
    while ((caller = door_place(door))) {
        intptr_t socket = mv_socket_accept(door->socket);
        if (socket == MV_SOCKET_AGAIN) {
            mv_watch_again(&door->watch, MV_WATCH_READ);
            break;
        }
        if (socket == MV_SOCKET_GONE) { /* no descriptors are left */
            door->waits = true;
            return;
        }
        door_add(door, caller, socket);
    }
    door->waits = !caller;
}

static void door_ready(struct mv_watch *watch, unsigned events)
{
    struct mv_vsock_door *door = MV_CONTAINER(watch, struct mv_vsock_door, watch);
    if (events & MV_WATCH_READ)
        door_accept(door);
    mv_vsock_ports_rearm(door->ports);
}

static bool caller_is_silent(const struct mv_vsock_caller *caller)
{
    return caller->socket != MV_SOCKET_NONE && !caller->dialling;
}

void mv_vsock_door_serve(struct mv_vsock_door *door, uint64_t now_ns)
{
    for (unsigned i = 0; i < door->manner->callers; i++) {
        struct mv_vsock_caller *caller = &door->caller[i];
        if (!caller_is_silent(caller))
            continue;
        if (caller->look_ns && caller->look_ns <= now_ns) {
            caller->look_ns = 0;
            mv_watch_again(&caller->watch, MV_WATCH_READ);
        }
        if (caller->limit_ns <= now_ns)
            caller_drop(caller);
    }
    if (door->waits)
        door_accept(door);
}

uint64_t mv_vsock_door_due(const struct mv_vsock_door *door, uint64_t now_ns)
{
    uint64_t due_ns = door->waits ? now_ns + LATER_NS : UINT64_MAX;
    for (unsigned i = 0; i < door->manner->callers; i++) {
        const struct mv_vsock_caller *caller = &door->caller[i];
        if (!caller_is_silent(caller))
            continue;
        due_ns = MV_MIN(due_ns, caller->limit_ns);
        if (caller->look_ns)
            due_ns = MV_MIN(due_ns, caller->look_ns);
    }
    return due_ns;
}

/* -- open and close -- */

static void door_turned(void *ctx)
{
    (void)ctx;
}

int mv_vsock_door_open(struct mv_vsock_door *door, struct mv_vsock_ports *ports,
                       const struct mv_vsock_manner *manner, intptr_t socket,
                       microvm_error *err)
{
    MV_ASSERT(manner->most <= MV_VSOCK_HEARD_MOST);
    *door = (struct mv_vsock_door){.manner = manner,
                                   .ports = ports,
                                   .socket = socket,
                                   .watch = {.ready = door_ready}};
    door->caller = calloc(manner->callers, sizeof *door->caller);
    if (!door->caller)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "vsock: no memory");
    for (unsigned i = 0; i < manner->callers; i++)
        door->caller[i].socket = MV_SOCKET_NONE;
    door->next = ports->doors;
    ports->doors = door;
    int rc = mv_watch_open(ports->loop, door_turned, door, &door->watches, err);
    if (!rc && mv_watch_add(door->watches, &door->watch, socket))
        rc = mv_fail(err, MICROVM_E_IO, "vsock: a socket cannot be watched");
    if (rc)
        mv_vsock_door_close(door);
    return rc;
}

void mv_vsock_door_close(struct mv_vsock_door *door)
{
    if (!door->caller)
        return;
    struct mv_vsock_door **at = &door->ports->doors;
    while (*at != door)
        at = &(*at)->next;
    *at = door->next;
    mv_watch_remove(&door->watch);
    for (unsigned i = 0; i < door->manner->callers; i++) {
        struct mv_vsock_caller *caller = &door->caller[i];
        if (caller->socket != MV_SOCKET_NONE) {
            mv_vsock_dial_cancel(door->ports, &caller->dial);
            caller_drop(caller);
        }
    }
    mv_watch_close(door->watches);
    free(door->caller);
    door->caller = NULL;
}
