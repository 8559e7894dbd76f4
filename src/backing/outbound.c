/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Rules, and connections until they are made. */
#include "backing/outbound.h"

#include "util/bytes.h"
#include "util/str.h"

#include <ctype.h>
#include <stdlib.h>

#define LIMIT_NS 30000000000ull /* from its coming to its target */
#define EACH_NS  8000000000ull  /* for an address, then the next is tried */

/* -- places -- */

static struct mv_outbound_conn *conn_take(struct mv_outbound *o)
{
    struct mv_outbound_conn *c = o->free;
    if (c)
        o->free = c->next;
    else if (o->made < MV_OUTBOUND_MOST)
        c = &o->conn[o->made++];
    return c;
}

static void conn_free(struct mv_outbound_conn *c)
{
    struct mv_outbound *o = c->owner;
    o->opening -= c->phase != MV_OUTBOUND_OPEN;
    mv_names_leave(o->names, &c->name);
    mv_watch_remove(&c->guest);
    mv_watch_remove(&c->target);
    mv_socket_close(c->guest.socket);
    c->phase = MV_OUTBOUND_FREE;
    c->next = o->free;
    o->free = c;
}

/* The target is told that this was not all, and so is the guest: no Close has come. */
static void conn_cut(struct mv_outbound_conn *c)
{
    intptr_t target = c->target.socket;
    conn_free(c);
    mv_tcp_reset(target);
}

static void conn_end(struct mv_outbound_conn *c)
{
    intptr_t target = c->target.socket;
    conn_free(c);
    mv_socket_close(target);
}

/* -- until it is open -- */

/* A few bytes into a pair that holds none. */
static bool conn_answer(struct mv_outbound_conn *c, enum outbound_status status)
{
    uint8_t response[OUTBOUND_RESPONSE];
    outbound_response_write(response, c->asked.key, status);
    return mv_socket_write(c->guest.socket, response, sizeof response) ==
           OUTBOUND_RESPONSE;
}

static void conn_refuse(struct mv_outbound_conn *c, enum outbound_status status)
{
    (void)conn_answer(c, status);
    conn_cut(c);
}

static void conn_relay(struct mv_outbound_conn *c)
{
    if (!mv_outbound_relay(c))
        conn_cut(c);
    else if (mv_outbound_is_over(c))
        conn_end(c);
}

static void conn_open(struct mv_outbound_conn *c)
{
    if (!conn_answer(c, OUTBOUND_OK)) {
        conn_cut(c);
        return;
    }
    c->owner->opening--;
    c->phase = MV_OUTBOUND_OPEN;
    c->reader = (struct outbound_reader){.key = c->asked.key};
    c->writer = (struct outbound_writer){.key = c->asked.key};
    conn_relay(c);
}

static enum outbound_status status_of(enum mv_tcp_why why)
{
    static const enum outbound_status status[] = {
        [MV_TCP_CONNECTED] = OUTBOUND_OK,
        [MV_TCP_FAILED] = OUTBOUND_FAILURE,
        [MV_TCP_REFUSED] = OUTBOUND_REFUSED,
        [MV_TCP_NO_HOST] = OUTBOUND_HOST_UNREACHABLE,
        [MV_TCP_NO_NETWORK] = OUTBOUND_NETWORK_UNREACHABLE,
        [MV_TCP_TIMED_OUT] = OUTBOUND_TIMED_OUT};
    return status[why];
}

static void target_ready(struct mv_watch *watch, unsigned events);

/* The first address from `at` on that may be tried and lets itself. */
static void conn_dial(struct mv_outbound_conn *c)
{
    struct mv_outbound *o = c->owner;
    enum mv_tcp_why why;
    c->phase = MV_OUTBOUND_DIALLING;
    for (; c->at < c->name.count; c->at++) {
        const struct mv_address *to = &c->name.address[c->at];
        if (!mv_egress_allows(&o->rules, to, c->asked.port, MV_EGRESS_TCP, c->named)) {
            c->worst = OUTBOUND_NOT_ALLOWED;
            continue;
        }
        intptr_t socket = mv_tcp_dial(to, c->asked.port, &why);
        if (socket == MV_SOCKET_NONE) {
            c->worst = status_of(why);
            continue;
        }
        c->target.ready = target_ready;
        c->next_ns = uv_hrtime() + EACH_NS;
        if (!mv_watch_add(o->watches, &c->target, socket)) {
            mv_watch_again(&c->target, MV_WATCH_WRITE);
            mv_vsock_ports_rearm(o->ports);
            return;
        }
        c->target.socket = MV_SOCKET_NONE;
        mv_socket_close(socket);
    }
    conn_refuse(c, c->worst);
}

static void conn_next(struct mv_outbound_conn *c, enum outbound_status worst)
{
    mv_watch_remove(&c->target);
    mv_socket_close(c->target.socket);
    c->target.socket = MV_SOCKET_NONE;
    c->worst = worst;
    c->at++;
    conn_dial(c);
}

static void target_ready(struct mv_watch *watch, unsigned events)
{
    struct mv_outbound_conn *c = MV_CONTAINER(watch, struct mv_outbound_conn, target);
    if (c->phase == MV_OUTBOUND_OPEN) {
        conn_relay(c);
    } else if (events & MV_WATCH_WRITE) {
        enum mv_tcp_why why = mv_tcp_dialled(watch->socket);
        if (why == MV_TCP_CONNECTED)
            conn_open(c);
        else
            conn_next(c, status_of(why));
    }
}

static void name_answered(struct mv_name *name)
{
    struct mv_outbound_conn *c = MV_CONTAINER(name, struct mv_outbound_conn, name);
    c->worst = OUTBOUND_NO_NAME;
    conn_dial(c);
}

/* As rules are written: lower case, no dot at its end. False: it is no host's name (RFC
 * 1123, 2.1; with the underscore that some have): a resolver that reads "\101" as "A",
 * or passes over a second dot, would find what a rule for the name has not met. */
static bool name_take(struct mv_name *name, const struct outbound_target *asked)
{
    _Static_assert((int)MV_NAME_TEXT > OUTBOUND_ADDRESS_MAX, "it has room");
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
    size_t length = asked->length;
    for (size_t i = 0; i < length; i++)
        name->text[i] = (char)tolower(asked->address[i]);
    length -= name->text[length - 1] == '.';
    name->text[length] = '\0';
    return length > 0 && strspn(name->text, plain) == length && name->text[0] != '.' &&
           name->text[length - 1] != '.' && !strstr(name->text, "..");
}

/* Rules decide before a name is asked for: the question alone says something to
 * whoever answers. */
static void conn_name(struct mv_outbound_conn *c)
{
    struct mv_outbound *o = c->owner;
    bool well = name_take(&c->name, &c->asked);
    if (mv_address_parse(c->name.text, &c->name.address[0])) {
        c->name.count = 1;
        conn_dial(c);
    } else if (!well) {
        conn_refuse(c, OUTBOUND_NO_NAME);
    } else if (!mv_egress_allows_name(&o->rules, c->name.text)) {
        conn_refuse(c, OUTBOUND_NOT_ALLOWED);
    } else {
        c->phase = MV_OUTBOUND_NAMING;
        c->named = mv_egress_named(&o->rules, c->name.text);
        c->name.answered = name_answered;
        mv_names_ask(o->names, &c->name);
    }
}

static void conn_begin(struct mv_outbound_conn *c, enum outbound_status status)
{
    mv_watch_again(&c->guest, MV_WATCH_READ); /* its end is heard of */
    if (status != OUTBOUND_OK) {
        conn_refuse(c, status);
    } else if (c->asked.type == OUTBOUND_NAME) {
        conn_name(c);
    } else {
        if (c->asked.type == OUTBOUND_IPV4)
            c->name.address[0] = mv_address_v4(c->asked.address);
        else
            memcpy(c->name.address[0].byte, c->asked.address, 16);
        c->name.count = 1;
        conn_dial(c);
    }
}

/* It says where to, and nothing more until it is answered (outbound.md). */
static void conn_hear(struct mv_outbound_conn *c)
{
    enum outbound_status status;
    int64_t n = mv_socket_read(c->guest.socket, c->connect + c->heard,
                               sizeof c->connect - c->heard);
    if (n == MV_SOCKET_AGAIN) {
        mv_watch_again(&c->guest, MV_WATCH_READ);
        return;
    }
    int used = -1;
    if (n > 0) {
        c->heard += (size_t)n;
        used = outbound_connect_read(c->connect, c->heard, &c->asked, &status);
    }
    if (used == 0)
        mv_watch_again(&c->guest, MV_WATCH_READ);
    else if (used == (int)c->heard)
        conn_begin(c, status);
    else
        conn_cut(c);
}

static void guest_ready(struct mv_watch *watch, unsigned events)
{
    struct mv_outbound_conn *c = MV_CONTAINER(watch, struct mv_outbound_conn, guest);
    c->guest_gone |= (events & MV_WATCH_GONE) != 0;
    if (c->phase == MV_OUTBOUND_OPEN) {
        conn_relay(c);
    } else if (c->phase == MV_OUTBOUND_HEARING) {
        conn_hear(c);
    } else if (events & MV_WATCH_READ) {
        uint8_t byte; /* it has gone, or does not wait: nothing was to come */
        if (mv_socket_peek(watch->socket, &byte, 1) != MV_SOCKET_AGAIN)
            conn_cut(c);
    }
}

intptr_t mv_outbound_arrived(struct mv_outbound *o)
{
    intptr_t pair[2];
    struct mv_outbound_conn *c = conn_take(o);
    if (!c)
        return MV_SOCKET_NONE;
    *c = (struct mv_outbound_conn){.guest = {.ready = guest_ready},
                                   .target = {.socket = MV_SOCKET_NONE},
                                   .owner = o,
                                   .phase = MV_OUTBOUND_HEARING,
                                   .limit_ns = uv_hrtime() + LIMIT_NS,
                                   .worst = OUTBOUND_FAILURE};
    o->opening++;
    c->guest.socket = MV_SOCKET_NONE;
    if (mv_socket_pair(MICROVM_SOCKET_STREAM, pair, NULL)) {
        conn_cut(c);
        return MV_SOCKET_NONE;
    }
    if (mv_watch_add(o->watches, &c->guest, pair[0])) {
        mv_socket_close(pair[1]);
        c->guest.socket = pair[0];
        conn_cut(c);
        return MV_SOCKET_NONE;
    }
    mv_vsock_ports_rearm(o->ports);
    return pair[1];
}

/* -- time -- */

static bool conn_is_opening(const struct mv_outbound_conn *c)
{
    return c->phase != MV_OUTBOUND_FREE && c->phase != MV_OUTBOUND_OPEN;
}

void mv_outbound_serve(struct mv_outbound *o, uint64_t now_ns)
{
    for (unsigned i = 0; i < o->made && o->opening > 0; i++) {
        struct mv_outbound_conn *c = &o->conn[i];
        if (!conn_is_opening(c))
            continue;
        if (c->limit_ns <= now_ns)
            conn_refuse(c, OUTBOUND_TIMED_OUT);
        else if (c->phase == MV_OUTBOUND_DIALLING && c->next_ns <= now_ns)
            conn_next(c, OUTBOUND_TIMED_OUT);
    }
}

uint64_t mv_outbound_due(const struct mv_outbound *o)
{
    uint64_t due_ns = UINT64_MAX;
    for (unsigned i = 0; i < o->made && o->opening > 0; i++) {
        const struct mv_outbound_conn *c = &o->conn[i];
        if (!conn_is_opening(c))
            continue;
        due_ns = MV_MIN(due_ns, c->limit_ns);
        if (c->phase == MV_OUTBOUND_DIALLING)
            due_ns = MV_MIN(due_ns, c->next_ns);
    }
    return due_ns;
}

/* -- open and close -- */

static int rules_add(struct mv_egress *rules, const char *text, microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    size_t word = strcspn(text, " ");
    const char *target = text[word] ? text + word + 1 : "";
    bool allow = word == 5 && !memcmp(text, "allow", 5);
    bool deny = word == 4 && !memcmp(text, "deny", 4);
    const char *what = !allow && !deny ? "it begins with neither allow nor deny"
                       : !*target      ? "it names no TARGET"
                                       : mv_egress_add(rules, allow, target);
    return what ? mv_fail(err, MICROVM_E_INVALID,
                          "outbound '%s': %s; a rule is 'allow TARGET' or 'deny "
                          "TARGET', as 'allow example.com:443'",
                          mv_str_show(shown, text), what)
                : 0;
}

static void turned(void *ctx)
{
    (void)ctx;
}

int mv_outbound_open(struct mv_vsock_ports *ports, const struct mv_config_list *rules,
                     microvm_error *err)
{
    int rc = 0;
    struct mv_outbound *o = calloc(1, sizeof *o);
    if (o)
        o->conn = calloc(MV_OUTBOUND_MOST, sizeof *o->conn);
    if (!o || !o->conn) {
        free(o);
        return mv_fail(err, MICROVM_E_NO_MEMORY, "outbound: no memory");
    }
    o->ports = ports;
    for (unsigned i = 0; i < rules->count && !rc; i++)
        rc = rules_add(&o->rules, rules->text[i], err);
    if (!rc)
        rc = mv_watch_open(ports->loop, turned, o, &o->watches, err);
    if (!rc)
        rc = mv_names_open(ports->loop, &o->names, err);
    if (rc) {
        mv_outbound_close(o);
        return rc;
    }
    ports->outbound = o;
    return 0;
}

void mv_outbound_close(struct mv_outbound *o)
{
    if (!o)
        return;
    if (o->ports->outbound == o)
        o->ports->outbound = NULL;
    for (unsigned i = 0; i < o->made; i++) {
        struct mv_outbound_conn *c = &o->conn[i];
        if (c->phase != MV_OUTBOUND_FREE && c->guest_over)
            conn_end(c);
        else if (c->phase != MV_OUTBOUND_FREE)
            conn_cut(c);
    }
    mv_names_close(o->names);
    mv_watch_close(o->watches);
    free(o->conn);
    free(o);
}
