/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The host's end of a vsock device without one: listeners and their backlog, dials with
 * and without deadlines, the UNIX socket's line. A made-up device says yes, no or
 * nothing.
 */
#include "ports_bed.h"

#include "scratch.h"
#include "util/bytes.h"

#include <stdio.h>

enum { DEAF_MOST = 300 };

/* -- dials -- */

struct dial {
    struct mv_vsock_dial dial;
    unsigned taken, failed;
    int code;
};

static intptr_t dial_take(struct mv_vsock_dial *dial, uint32_t host_port)
{
    struct dial *d = MV_CONTAINER(dial, struct dial, dial);
    d->taken++;
    return (intptr_t)host_port; /* is not used */
}

static void dial_failed(struct mv_vsock_dial *dial, int code, const char *why)
{
    struct dial *d = MV_CONTAINER(dial, struct dial, dial);
    assert_true(why[0] != '\0');
    d->failed++;
    d->code = code;
}

static struct dial new_dial(unsigned limit_ms)
{
    return (struct dial){
        .dial = {.type = MICROVM_SOCKET_STREAM,
                 .port = PORT,
                 .deadline_ns = limit_ms ? uv_hrtime() + limit_ms * 1000000ull : 0,
                 .take = dial_take,
                 .failed = dial_failed}};
}

static void a_dial_is_answered(void **state)
{
    struct ends *e = open_ends(NULL);
    struct dial d = new_dial(0);
    (void)state;
    mv_vsock_dial(&e->ports, &d.dial);
    assert_int_equal(e->dials, 0); /* never from inside */
    turn_for(e, 5);
    assert_int_equal(e->dials, 1);
    d.dial.first = (struct mv_span){&d, 7};
    struct mv_span first = {NULL, 0};
    assert_int_equal(e->host.answered(e->host.ctx, e->asked, 1234, &first), 1234);
    assert_ptr_equal(first.base, &d);
    assert_int_equal(first.length, 7);
    assert_int_equal(d.taken, 1);
    turn_for(e, 5);
    assert_int_equal(d.failed, 0);
    close_ends(e);
}

static void a_dial_without_deadline_is_tried_once(void **state)
{
    struct ends *e = open_ends(NULL);
    struct dial d = new_dial(0);
    (void)state;
    mv_vsock_dial(&e->ports, &d.dial);
    turn_for(e, 5);
    e->host.refused(e->host.ctx, e->asked, MV_VSOCK_REFUSED);
    turn_for(e, 10);
    assert_int_equal(d.failed, 1);
    assert_int_equal(d.code, MICROVM_E_IO);
    assert_int_equal(e->dials, 1);
    e->says = MV_VSOCK_NOT_YET;
    d = new_dial(0);
    mv_vsock_dial(&e->ports, &d.dial);
    turn_for(e, 5);
    assert_int_equal(d.code, MICROVM_E_TIMEOUT);
    e->says = MV_VSOCK_FULL;
    d = new_dial(1000);
    mv_vsock_dial(&e->ports, &d.dial);
    turn_for(e, 5);
    assert_int_equal(d.code, MICROVM_E_DEVICE);
    close_ends(e);
}

/* While it is refused it is tried again, each time a little later; at its deadline it
 * fails, whatever happens. */
static void a_deadline_is_kept(void **state)
{
    struct ends *e = open_ends(NULL);
    struct dial d = new_dial(100);
    uint64_t began = uv_hrtime();
    (void)state;
    mv_vsock_dial(&e->ports, &d.dial);
    while (!d.failed && uv_hrtime() - began < 2000000000u) {
        turn_for(e, 1);
        if (e->asked)
            e->host.refused(e->host.ctx, e->asked, MV_VSOCK_REFUSED);
        e->asked = NULL;
    }
    assert_int_equal(d.code, MICROVM_E_IO);
    assert_true(uv_hrtime() - began >= 100000000u);
    assert_in_range(e->dials, 3, 8);
    d = new_dial(30); /* nobody says anything */
    mv_vsock_dial(&e->ports, &d.dial);
    turn_for(e, 60);
    assert_int_equal(d.code, MICROVM_E_TIMEOUT);
    assert_int_equal(e->hang_ups, 1);
    close_ends(e);
}

/* A guest that reports itself ready has an agent that listens: the pause after the last
 * refusal is over. */
static void a_guests_word_ends_the_pause(void **state)
{
    struct ends *e = open_ends(NULL);
    struct dial d = new_dial(10000);
    microvm_error err;
    intptr_t device;
    (void)state;
    e->ports.arrived = NULL;
    assert_int_equal(
        mv_vsock_listen(&e->ports, MICROVM_SOCKET_STREAM, MICROVM_AGENT_PORT, &err), 0);
    mv_vsock_dial(&e->ports, &d.dial);
    for (unsigned i = 0; i < 7; i++) { /* up to pauses of 128 ms */
        uint64_t began = uv_hrtime();
        while (!e->asked && uv_hrtime() - began < 2000000000u)
            turn_for(e, 1);
        e->host.refused(e->host.ctx, e->asked, MV_VSOCK_REFUSED);
        e->asked = NULL;
    }
    unsigned before = e->dials;
    device = e->host.arrived(e->host.ctx, MICROVM_SOCKET_STREAM, MICROVM_AGENT_PORT, 1);
    turn_for(e, 5);
    assert_int_equal(e->dials, before + 1);
    mv_socket_close(device);
    close_ends(e);
}

/* pitfalls, 9: who waits for a driver waits for its word, not with a timer that ticks.
 */
static void waiting_for_a_driver_does_not_poll(void **state)
{
    struct ends *e = open_ends(NULL);
    struct dial d = new_dial(10000);
    (void)state;
    e->says = MV_VSOCK_NOT_YET;
    mv_vsock_dial(&e->ports, &d.dial);
    turn_for(e, 50);
    assert_int_equal(e->dials, 1);
    e->says = MV_VSOCK_DIALLED;
    e->host.ready(e->host.ctx);
    turn_for(e, 5);
    assert_int_equal(e->dials, 2);
    e->host.refused(e->host.ctx, e->asked, MV_VSOCK_LOST); /* and gone again */
    turn_for(e, 50);
    assert_int_equal(e->dials, 2);
    assert_int_equal(d.failed, 0);
    mv_vsock_dial_cancel(&e->ports, &d.dial);
    mv_vsock_dial_cancel(&e->ports, &d.dial);
    turn_for(e, 5);
    assert_false(uv_is_active((const uv_handle_t *)e->ports.timer));
    assert_int_equal(d.failed + d.taken, 0);
    close_ends(e);
}

static void the_end_fails_all_dials(void **state)
{
    struct ends *e = open_ends(NULL);
    struct dial d[3] = {new_dial(0), new_dial(60000), new_dial(60000)};
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        mv_vsock_dial(&e->ports, &d[i].dial);
    e->says = MV_VSOCK_NOT_YET;
    turn_for(e, 5);
    mv_vsock_ports_end(&e->ports);
    assert_int_equal(d[0].code, MICROVM_E_TIMEOUT);
    assert_int_equal(d[1].code, MICROVM_E_NOT_RUNNING);
    assert_int_equal(d[2].code, MICROVM_E_NOT_RUNNING);
    close_ends(e);
}

/* -- listeners -- */

static void a_backlog_has_an_end(void **state)
{
    struct ends *e = open_ends(NULL);
    intptr_t device[MV_VSOCK_BACKLOG], s;
    microvm_error err;
    char byte;
    (void)state;
    assert_int_equal(e->host.arrived(e->host.ctx, MICROVM_SOCKET_STREAM, PORT, 1),
                     MV_SOCKET_NONE);
    assert_int_equal(mv_vsock_accept(&e->ports, PORT, &s, &err), MICROVM_E_STATE);
    assert_ok(mv_vsock_listen(&e->ports, MICROVM_SOCKET_STREAM, PORT, &err), &err);
    assert_int_equal(mv_vsock_listen(&e->ports, MICROVM_SOCKET_STREAM, PORT, &err),
                     MICROVM_E_STATE);
    assert_int_equal(mv_vsock_accept(&e->ports, PORT, &s, &err), 0);
    for (unsigned i = 0; i < MV_VSOCK_BACKLOG; i++) {
        device[i] = e->host.arrived(e->host.ctx, MICROVM_SOCKET_STREAM, PORT, i);
        assert_int_not_equal(device[i], MV_SOCKET_NONE);
        byte = (char)i;
        assert_int_equal(mv_socket_write(device[i], &byte, 1), 1);
    }
    assert_int_equal(e->arrivals, 1); /* told once */
    assert_int_equal(e->host.arrived(e->host.ctx, MICROVM_SOCKET_STREAM, PORT, 99),
                     MV_SOCKET_NONE);
    for (unsigned i = 0; i < MV_VSOCK_BACKLOG / 2; i++) { /* the oldest first */
        assert_int_equal(mv_vsock_accept(&e->ports, PORT, &s, &err), 1);
        assert_int_equal(mv_socket_read(s, &byte, 1), 1);
        assert_int_equal(byte, (char)i);
        mv_socket_close(s);
    }
    assert_ok(mv_vsock_unlisten(&e->ports, PORT, &err), &err); /* closes the others */
    assert_true(mv_socket_write(device[MV_VSOCK_BACKLOG - 1], &byte, 1) < 0);
    assert_int_equal(mv_vsock_unlisten(&e->ports, PORT, &err), MICROVM_E_STATE);
    for (unsigned i = 0; i < MV_VSOCK_BACKLOG; i++)
        mv_socket_close(device[i]);
    for (unsigned i = 0; i < MV_VSOCK_LISTENERS; i++)
        assert_ok(mv_vsock_listen(&e->ports, MICROVM_SOCKET_STREAM, i, &err), &err);
    assert_int_equal(mv_vsock_listen(&e->ports, MICROVM_SOCKET_STREAM, 1000, &err),
                     MICROVM_E_STATE);
    close_ends(e);
}

/* A port takes connections of one type. Where the host has no SOCK_SEQPACKET, nobody
 * can listen for it, and why is said. */
static void listeners_have_a_type(void **state)
{
    struct ends *e = open_ends(NULL);
    const microvm_socket_type messages = MICROVM_SOCKET_SEQPACKET;
    intptr_t s, device, pair[2];
    microvm_error err;
    char text[8];
    (void)state;
    int rc = mv_vsock_listen(&e->ports, messages, PORT, &err);
    if (mv_socket_has(messages, NULL)) {
        assert_int_equal(rc, MICROVM_E_UNSUPPORTED);
        assert_non_null(strstr(err.message, "SOCK_SEQPACKET"));
        assert_int_equal(mv_socket_pair(messages, pair, &err), MICROVM_E_UNSUPPORTED);
        close_ends(e);
        skip();
    }
    assert_ok(rc, &err);
    assert_int_equal(e->host.arrived(e->host.ctx, MICROVM_SOCKET_STREAM, PORT, 1),
                     MV_SOCKET_NONE);
    device = e->host.arrived(e->host.ctx, messages, PORT, 1);
    assert_int_not_equal(device, MV_SOCKET_NONE);
    assert_int_equal(mv_vsock_accept(&e->ports, PORT, &s, &err), 1);
    assert_int_equal(mv_socket_write(device, "one", 3), 3);
    assert_int_equal(mv_socket_write(device, "two", 3), 3);
    assert_int_equal(mv_socket_next(s), 3);
    assert_int_equal(mv_socket_read(s, text, sizeof text), 3);
    mv_socket_close(device);
    assert_int_equal(mv_socket_next(s), 3);
    assert_int_equal(mv_socket_read(s, text, sizeof text), 3);
    assert_int_equal(mv_socket_next(s), 0);
    mv_socket_close(s);
    close_ends(e);
}

static void a_dial_has_a_type(void **state)
{
    struct ends *e = open_ends(NULL);
    struct dial d = new_dial(60000);
    (void)state;
    d.dial.type = MICROVM_SOCKET_SEQPACKET;
    e->says = MV_VSOCK_UNABLE; /* the guest's driver has none: not tried again */
    mv_vsock_dial(&e->ports, &d.dial);
    turn_for(e, 5);
    assert_int_equal(e->type, MICROVM_SOCKET_SEQPACKET);
    assert_int_equal(d.code, MICROVM_E_UNSUPPORTED);
    assert_int_equal(e->dials, 1);
    close_ends(e);
}

/* -- the UNIX socket -- */

static intptr_t call(struct ends *e, const char *path, const char *text)
{
    intptr_t s = mv_unix_connect(MICROVM_SOCKET_STREAM, path);
    assert_int_not_equal(s, MV_SOCKET_NONE);
    assert_int_equal(mv_socket_write(s, text, strlen(text)), strlen(text));
    turn_for(e, 10);
    return s;
}

static void callers_say_connect(void **state)
{
    char path[SCRATCH_PATH], text[64];
    (void)state;
    scratch_sparse(path, 1);
    scratch_remove(path);
    struct ends *e = open_ends(path);
    intptr_t s = call(e, path, "CONN"); /* in pieces */
    assert_int_equal(e->dials, 0);
    assert_int_equal(mv_socket_write(s, "ECT 25\nmore", 11), 11);
    turn_for(e, 10);
    assert_int_equal(e->dials, 1);
    struct mv_span first = {NULL, 0};
    intptr_t given = e->host.answered(e->host.ctx, e->asked, 1u << 30, &first);
    assert_int_equal(first.length, 0);
    assert_int_equal(mv_socket_read(s, text, sizeof text), 14);
    assert_memory_equal(text, "OK 1073741824\n", 14);
    assert_int_equal(mv_socket_read(given, text, sizeof text), 4);
    assert_memory_equal(text, "more", 4);
    mv_socket_close(s);
    mv_socket_close(given);
    s = call(e, path, "CONNECT 25\r\n"); /* refused: closed without a word */
    e->host.refused(e->host.ctx, e->asked, MV_VSOCK_REFUSED);
    turn_for(e, 10);
    assert_int_equal(mv_socket_read(s, text, sizeof text), 0);
    mv_socket_close(s);
    const char *const wrong[] = {
        "HELLO\n",      "CONNECT \n",
        "CONNECT -1\n", "CONNECT 4294967295\n",
        "connect 25\n", "CONNECT 00000000000000000000000000000025\n"};
    for (unsigned i = 0; i < MV_ARRAY_LEN(wrong); i++) {
        s = call(e, path, wrong[i]);
        assert_true(mv_socket_read(s, text, sizeof text) != MV_SOCKET_AGAIN);
        mv_socket_close(s);
    }
    assert_int_equal(e->dials, 2);
    close_ends(e);
    assert_int_equal(mv_unix_connect(MICROVM_SOCKET_STREAM, path),
                     MV_SOCKET_NONE); /* and its file is gone */
}

/* pitfalls, 11: a caller that goes while it is dialled frees its place; many that say
 * nothing hold up nobody for ever, and others wait in the backlog. */
static void places_are_limited(void **state)
{
    char path[SCRATCH_PATH];
    intptr_t silent[MV_VSOCK_CALLERS];
    (void)state;
    scratch_sparse(path, 1);
    scratch_remove(path);
    struct ends *e = open_ends(path);
    for (unsigned i = 0; i < MV_VSOCK_CALLERS; i++) {
        silent[i] = mv_unix_connect(MICROVM_SOCKET_STREAM, path);
        assert_int_not_equal(silent[i], MV_SOCKET_NONE);
    }
    turn_for(e, 10);
    intptr_t s = call(e, path, "CONNECT 25\n"); /* no place */
    assert_int_equal(e->dials, 0);
    mv_socket_close(silent[7]);
    turn_for(e, 50);
    assert_int_equal(e->dials, 1);
    for (unsigned i = 0; i < MV_VSOCK_CALLERS; i++) {
        if (i != 7)
            mv_socket_close(silent[i]);
    }
    mv_socket_close(s);
    turn_for(e, 10);
    close_ends(e);
}

/* pitfalls, 7: who does not accept the guest's connections holds up nobody: they are
 * refused at once when its backlog is full, and when nobody listens. */
static void a_deaf_listener_blocks_nobody(void **state)
{
    char path[SCRATCH_PATH], deaf[SCRATCH_PATH + 16];
    intptr_t taken[DEAF_MOST], listener;
    unsigned n = 0;
    microvm_error err;
    (void)state;
    scratch_sparse(path, 1);
    scratch_remove(path);
    (void)snprintf(deaf, sizeof deaf, "%s_%d", path, 77);
    struct ends *e = open_ends(path);
    uint64_t began_ns = uv_hrtime();
    assert_int_equal(e->host.arrived(e->host.ctx, MICROVM_SOCKET_STREAM, 77, 1),
                     MV_SOCKET_NONE);
    assert_ok(mv_unix_listen(deaf, &listener, &err), &err);
    do {
        assert_true(n < DEAF_MOST);
        taken[n] = e->host.arrived(e->host.ctx, MICROVM_SOCKET_STREAM, 77, n);
    } while (taken[n++] != MV_SOCKET_NONE);
    assert_true(n > 1);
    assert_true(uv_hrtime() - began_ns < 1000000000);
    for (unsigned i = 0; i < n; i++)
        mv_socket_close(taken[i]);
    mv_unix_unlisten(listener, deaf);
    close_ends(e);
}

/* By the application's socket, until its number begins another. */
static void how_connections_ended(void **state)
{
    struct ends *e = open_ends(NULL);
    struct mv_vsock_ports *p = &e->ports;
    (void)state;
    assert_false(mv_vsock_link_was_cut(p, 11));
    mv_vsock_link_add(p, 10, 11);
    mv_vsock_link_add(p, 20, 21);
    e->host.closed(e->host.ctx, 10, true);
    e->host.closed(e->host.ctx, 20, false);
    e->host.closed(e->host.ctx, 30, true); /* no connection of the application */
    assert_true(mv_vsock_link_was_cut(p, 11));
    assert_false(mv_vsock_link_was_cut(p, 21));
    mv_vsock_link_add(p, 12, 11);
    assert_false(mv_vsock_link_was_cut(p, 11));
    for (intptr_t i = 0; i < 3 * MV_VSOCK_LINKS; i++) {
        mv_vsock_link_add(p, 100, 1000 + i);
        mv_vsock_link_closed(p, 100, true);
        assert_true(mv_vsock_link_was_cut(p, 1000 + i));
    }
    mv_vsock_link_closed(p, 12, true); /* those that live are not forgotten */
    assert_true(mv_vsock_link_was_cut(p, 11));
    close_ends(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(how_connections_ended),
        cmocka_unit_test(a_dial_is_answered),
        cmocka_unit_test(a_dial_without_deadline_is_tried_once),
        cmocka_unit_test(a_deadline_is_kept),
        cmocka_unit_test(a_guests_word_ends_the_pause),
        cmocka_unit_test(waiting_for_a_driver_does_not_poll),
        cmocka_unit_test(the_end_fails_all_dials),
        cmocka_unit_test(a_backlog_has_an_end),
        cmocka_unit_test(listeners_have_a_type),
        cmocka_unit_test(a_dial_has_a_type),
        cmocka_unit_test(callers_say_connect),
        cmocka_unit_test(places_are_limited),
        cmocka_unit_test(a_deaf_listener_blocks_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
