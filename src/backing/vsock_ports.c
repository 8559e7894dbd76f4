/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Listeners and dials. One timer serves all dials: it is set to the earliest time at
 * which something is to be done, and not set when there is nothing, so nobody polls.
 */
#include "backing/vsock_ports.h"

#include "backing/outbound.h"
#include "backing/vsock_door.h"

#include "os/error.h"
#include "util/bytes.h"

#include <stdlib.h>

#define MS_NS 1000000ull

enum {
    TRY_MS = 2000,      /* for the guest to answer one try: as long as Linux waits */
    RETRY_FIRST_MS = 2, /* between tries: doubled each time up to the last */
    RETRY_LAST_MS = 128
};

/* -- listeners -- */

static struct mv_vsock_listener *ports_find(struct mv_vsock_ports *ports, uint32_t port)
{
    for (unsigned i = 0; i < MV_VSOCK_LISTENERS; i++) {
        if (ports->listener[i].open && ports->listener[i].port == port)
            return &ports->listener[i];
    }
    return NULL;
}

int mv_vsock_listen(struct mv_vsock_ports *ports, microvm_socket_type type,
                    uint32_t port, microvm_error *err)
{
    int rc = mv_socket_has(type, err);
    if (rc)
        return rc;
    if (ports_find(ports, port) || (ports->outbound && port == OUTBOUND_PORT))
        return mv_fail(err, MICROVM_E_STATE, "vsock: port %u is listened on already",
                       port);
    for (unsigned i = 0; i < MV_VSOCK_LISTENERS; i++) {
        struct mv_vsock_listener *l = &ports->listener[i];
        if (l->open)
            continue;
        l->open = true;
        l->type = type;
        l->port = port;
        l->first = l->count = 0;
        return 0;
    }
    return mv_fail(err, MICROVM_E_STATE, "vsock: at most %d ports can be listened on",
                   MV_VSOCK_LISTENERS);
}

static intptr_t listener_take(struct mv_vsock_listener *l)
{
    intptr_t socket = l->backlog[l->first];
    l->first = (l->first + 1) % MV_VSOCK_BACKLOG;
    l->count--;
    return socket;
}

static void listener_close(struct mv_vsock_listener *l)
{
    while (l->count > 0)
        mv_socket_close(listener_take(l));
    l->open = false;
}

static int ports_not_listening(uint32_t port, microvm_error *err)
{
    return mv_fail(err, MICROVM_E_STATE, "vsock: port %u is not listened on", port);
}

int mv_vsock_unlisten(struct mv_vsock_ports *ports, uint32_t port, microvm_error *err)
{
    struct mv_vsock_listener *l = ports_find(ports, port);
    if (!l)
        return ports_not_listening(port, err);
    listener_close(l);
    return 0;
}

int mv_vsock_accept(struct mv_vsock_ports *ports, uint32_t port, intptr_t *out,
                    microvm_error *err)
{
    struct mv_vsock_listener *l = ports_find(ports, port);
    if (!l)
        return ports_not_listening(port, err);
    if (l->count == 0)
        return 0;
    *out = listener_take(l);
    return 1;
}

static void ports_ready(void *ctx)
{
    struct mv_vsock_ports *ports = ctx;
    for (struct mv_vsock_dial *d = ports->dials; d; d = d->next) {
        if (!d->asked)
            d->due_ns = 0;
    }
    mv_vsock_ports_rearm(ports);
}

/* The pair's one end for the device, the other for the application. */
static intptr_t ports_arrived(void *ctx, microvm_socket_type type, uint32_t port,
                              uint32_t from)
{
    struct mv_vsock_ports *ports = ctx;
    struct mv_vsock_listener *l = ports_find(ports, port);
    intptr_t pair[2];
    (void)from;
    if (ports->outbound && port == OUTBOUND_PORT && type == MICROVM_SOCKET_STREAM)
        return mv_outbound_arrived(ports->outbound);
    if (!l)
        return mv_vsock_uds_arrived(ports, type, port);
    if (l->type != type || l->count == MV_VSOCK_BACKLOG ||
        mv_socket_pair(type, pair, NULL))
        return MV_SOCKET_NONE;
    l->backlog[(l->first + l->count++) % MV_VSOCK_BACKLOG] = pair[0];
    mv_vsock_link_add(ports, pair[1], pair[0]);
    if (l->count == 1 && ports->arrived)
        ports->arrived(ports->ctx, port);
    if (l->count == 1 && port == MICROVM_AGENT_PORT)
        ports_ready(ports); /* its agent listens now: who waits need not wait longer */
    return pair[1];
}

/* -- dials -- */

static void dial_remove(struct mv_vsock_ports *ports, struct mv_vsock_dial *dial)
{
    struct mv_vsock_dial **at = &ports->dials;
    while (*at != dial)
        at = &(*at)->next;
    *at = dial->next;
    dial->wanted = dial->asked = false;
}

static void dial_fail(struct mv_vsock_ports *ports, struct mv_vsock_dial *dial,
                      int code, const char *why)
{
    dial_remove(ports, dial);
    dial->failed(dial, code, why);
}

static uint64_t dial_pause_ns(const struct mv_vsock_dial *dial)
{
    unsigned doublings = MV_MIN(dial->tries, 10u);
    return MV_MIN((uint64_t)RETRY_FIRST_MS << doublings, (uint64_t)RETRY_LAST_MS) *
           MS_NS;
}

/* What a dial whose deadline is over, or that is tried once, is told. */
static void dial_over(struct mv_vsock_ports *ports, struct mv_vsock_dial *dial)
{
    if (dial->asked)
        ports->device.hang_up(ports->device.device, dial);
    if (dial->refused) { /* also where the last try has no answer yet */
        dial_fail(ports, dial, MICROVM_E_IO,
                  "the guest refused it: nobody listens on that port");
    } else if (dial->tries > 0) {
        dial_fail(ports, dial, MICROVM_E_TIMEOUT, "the guest did not answer in time");
    } else {
        dial_fail(ports, dial, MICROVM_E_TIMEOUT,
                  "the guest has no driver for vsock, or is not that far yet");
    }
}

/* An answer has limits of its own; a refusal is followed by the next try. */
static void dial_try(struct mv_vsock_ports *ports, struct mv_vsock_dial *dial,
                     uint64_t now_ns)
{
    bool last = now_ns >= dial->deadline_ns;
    if (last && (dial->asked || dial->tries > 0)) {
        dial_over(ports, dial);
        return;
    }
    if (dial->asked) {
        ports->device.hang_up(ports->device.device, dial);
        dial->asked = false;
    }
    switch (ports->device.dial(ports->device.device, dial->type, dial->port, dial)) {
    case MV_VSOCK_DIALLED:
        dial->asked = true;
        dial->tries++;
        dial->due_ns = now_ns + TRY_MS * MS_NS;
        if (!last)
            dial->due_ns = MV_MIN(dial->due_ns, dial->deadline_ns);
        break;
    case MV_VSOCK_NOT_YET:
        dial->due_ns = dial->deadline_ns; /* or when the driver is ready */
        if (last)
            dial_over(ports, dial);
        break;
    case MV_VSOCK_FULL:
        dial_fail(ports, dial, MICROVM_E_DEVICE,
                  "the machine has as many connections as it can have");
        break;
    case MV_VSOCK_UNABLE:
        dial_fail(ports, dial, MICROVM_E_UNSUPPORTED,
                  "the guest's driver has no SOCK_SEQPACKET; use a stream");
        break;
    }
}

/* The list may change while dials fail: it is looked at from the start again. */
static struct mv_vsock_dial *ports_due(struct mv_vsock_ports *ports, uint64_t now_ns)
{
    for (struct mv_vsock_dial *d = ports->dials; d; d = d->next) {
        if (d->due_ns <= now_ns)
            return d;
    }
    return NULL;
}

static void ports_timer(uv_timer_t *timer)
{
    struct mv_vsock_ports *ports = timer->data;
    struct mv_vsock_dial *dial;
    uint64_t now_ns = uv_hrtime();
    while ((dial = ports_due(ports, now_ns)))
        dial_try(ports, dial, now_ns);
    for (struct mv_vsock_door *d = ports->doors; d; d = d->next)
        mv_vsock_door_serve(d, now_ns);
    if (ports->outbound)
        mv_outbound_serve(ports->outbound, now_ns);
    mv_vsock_ports_rearm(ports);
}

void mv_vsock_ports_rearm(struct mv_vsock_ports *ports)
{
    uint64_t now_ns = uv_hrtime(), due_ns = UINT64_MAX;
    for (const struct mv_vsock_dial *d = ports->dials; d; d = d->next)
        due_ns = MV_MIN(due_ns, d->due_ns);
    for (const struct mv_vsock_door *d = ports->doors; d; d = d->next) {
        uint64_t door_ns = mv_vsock_door_due(d, now_ns);
        due_ns = MV_MIN(due_ns, door_ns);
    }
    if (ports->outbound) {
        uint64_t outbound_ns = mv_outbound_due(ports->outbound);
        due_ns = MV_MIN(due_ns, outbound_ns);
    }
    (void)uv_timer_stop(ports->timer);
    if (due_ns == UINT64_MAX)
        return;
    uint64_t wait_ms = due_ns > now_ns ? (due_ns - now_ns) / MS_NS + 1 : 0;
    uv_update_time(&ports->loop->uv);
    (void)uv_timer_start(ports->timer, ports_timer, wait_ms, 0);
}

void mv_vsock_dial(struct mv_vsock_ports *ports, struct mv_vsock_dial *dial)
{
    dial->asked = dial->refused = false;
    dial->wanted = true;
    dial->tries = 0;
    dial->due_ns = 0;
    dial->next = ports->dials;
    ports->dials = dial;
    mv_vsock_ports_rearm(ports); /* the first try is the timer's: not from inside */
}

void mv_vsock_dial_cancel(struct mv_vsock_ports *ports, struct mv_vsock_dial *dial)
{
    if (!dial->wanted)
        return;
    if (dial->asked)
        ports->device.hang_up(ports->device.device, dial);
    dial_remove(ports, dial);
    mv_vsock_ports_rearm(ports);
}

static intptr_t ports_answered(void *ctx, void *arg, uint32_t host_port,
                               struct mv_span *first)
{
    struct mv_vsock_ports *ports = ctx;
    struct mv_vsock_dial *dial = arg;
    dial_remove(ports, dial);
    mv_vsock_ports_rearm(ports);
    *first = dial->first;
    intptr_t theirs = dial->theirs;
    intptr_t ours = dial->take(dial, host_port); /* the dial may be gone now */
    if (theirs != MV_SOCKET_NONE)
        mv_vsock_link_add(ports, ours, theirs);
    return ours;
}

static void ports_refused(void *ctx, void *arg, enum mv_vsock_answer answer)
{
    struct mv_vsock_ports *ports = ctx;
    struct mv_vsock_dial *dial = arg;
    uint64_t now_ns = uv_hrtime();
    dial->asked = false;
    dial->refused = dial->refused || answer == MV_VSOCK_REFUSED;
    dial->due_ns = now_ns; /* tried once: over */
    if (answer == MV_VSOCK_LOST)
        dial->due_ns = dial->deadline_ns; /* or when there is a driver again */
    else if (now_ns < dial->deadline_ns)
        dial->due_ns = MV_MIN(now_ns + dial_pause_ns(dial), dial->deadline_ns);
    mv_vsock_ports_rearm(ports);
}

static void ports_closed(void *ctx, intptr_t socket, bool cut)
{
    mv_vsock_link_closed(ctx, socket, cut);
}

struct mv_vsock_host mv_vsock_ports_host(struct mv_vsock_ports *ports)
{
    return (struct mv_vsock_host){ports_arrived, ports_answered, ports_refused,
                                  ports_ready,   ports_closed,   ports};
}

/* -- open and close -- */

static void timer_closed(uv_handle_t *handle)
{
    free(handle);
}

static int ports_open_timer(struct mv_vsock_ports *ports, microvm_error *err)
{
    ports->timer = malloc(sizeof *ports->timer);
    ports->link = calloc(MV_VSOCK_LINKS, sizeof *ports->link);
    if (!ports->timer || !ports->link) {
        free(ports->timer);
        free(ports->link);
        ports->timer = NULL;
        return mv_fail(err, MICROVM_E_NO_MEMORY, "vsock: no memory");
    }
    (void)uv_timer_init(&ports->loop->uv, ports->timer); /* cannot fail */
    ports->timer->data = ports;
    return 0;
}

int mv_vsock_ports_open(struct mv_vsock_ports *ports, struct mv_loop *loop,
                        const char *path, microvm_error *err)
{
    *ports = (struct mv_vsock_ports){.loop = loop};
    int rc = ports_open_timer(ports, err);
    if (rc || !path)
        return rc;
    rc = mv_vsock_uds_open(ports, path, err);
    if (rc)
        mv_vsock_ports_close(ports);
    return rc;
}

void mv_vsock_ports_end(struct mv_vsock_ports *ports)
{
    while (ports->dials) {
        struct mv_vsock_dial *dial = ports->dials;
        if (dial->asked)
            ports->device.hang_up(ports->device.device, dial);
        dial_fail(ports, dial, MICROVM_E_NOT_RUNNING, "the machine has ended");
    }
    mv_vsock_uds_close(ports);
    while (ports->socks)
        mv_vsock_socks_end(ports->socks);
    mv_outbound_close(ports->outbound);
    mv_vsock_ports_rearm(ports);
}

void mv_vsock_ports_close(struct mv_vsock_ports *ports)
{
    if (!ports->timer)
        return;
    for (struct mv_vsock_dial *d = ports->dials; d; d = d->next)
        d->asked = false; /* the device is gone */
    mv_vsock_ports_end(ports);
    for (unsigned i = 0; i < MV_VSOCK_LISTENERS; i++) {
        if (ports->listener[i].open)
            listener_close(&ports->listener[i]);
    }
    uv_close((uv_handle_t *)ports->timer, timer_closed);
    ports->timer = NULL;
    free(ports->link);
    ports->link = NULL;
    ports->links = 0;
}
