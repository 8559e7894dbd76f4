/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the tests of the host's end of a vsock device share: a loop, and a made-up
 * device that says yes, no or nothing.
 */
#ifndef TESTS_UNIT_PORTS_BED_H
#define TESTS_UNIT_PORTS_BED_H

#include "check.h"

#include "backing/vsock_ports.h"

#include <stdlib.h>

enum { PORT = 25 };

struct ends {
    struct mv_loop loop;
    struct mv_vsock_ports ports;
    struct mv_vsock_host host;
    enum mv_vsock_dialling says; /* of the made-up device */
    void *asked;                 /* the dial that it has */
    microvm_socket_type type;    /* that it shall have, */
    uint32_t port;               /* and where it shall go */
    unsigned dials, hang_ups, arrivals;
};

static inline enum mv_vsock_dialling device_dial(void *device, microvm_socket_type type,
                                                 uint32_t port, void *dial)
{
    struct ends *e = device;
    e->type = type;
    e->port = port;
    e->dials++;
    if (e->says == MV_VSOCK_DIALLED)
        e->asked = dial;
    return e->says;
}

static inline void device_hang_up(void *device, void *dial)
{
    struct ends *e = device;
    assert_ptr_equal(dial, e->asked);
    e->asked = NULL;
    e->hang_ups++;
}

static inline void arrived(void *ctx, uint32_t port)
{
    struct ends *e = ctx;
    assert_int_equal(port, PORT);
    e->arrivals++;
}

static inline struct ends *open_ends(const char *path)
{
    struct ends *e = test_calloc(1, sizeof *e);
    microvm_error err;
    assert_ok(mv_loop_open(&e->loop, &err), &err);
    int rc = mv_vsock_ports_open(&e->ports, &e->loop, path, &err);
    if (path && rc == MICROVM_E_UNSUPPORTED) {
        mv_loop_close(&e->loop);
        test_free(e);
        print_message("skipped: %s\n", err.message);
        skip();
    }
    assert_ok(rc, &err);
    e->ports.device = (struct mv_vsock_user){device_dial, device_hang_up, e};
    e->ports.arrived = arrived;
    e->ports.ctx = e;
    e->host = mv_vsock_ports_host(&e->ports);
    return e;
}

static inline void close_ends(struct ends *e)
{
    mv_vsock_ports_close(&e->ports);
    mv_loop_close(&e->loop);
    test_free(e);
}

static inline void turn_for(struct ends *e, unsigned ms)
{
    uint64_t end = uv_hrtime() + ms * 1000000ull;
    do {
        mv_loop_turn(&e->loop);
        uv_sleep(1);
    } while (uv_hrtime() < end);
    mv_loop_turn(&e->loop); /* on a busy computer that sleep was long */
    mv_loop_turn(&e->loop);
}

#endif
