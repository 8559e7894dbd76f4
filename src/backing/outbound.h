/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Connections that the guest makes by way of this computer (proto/outbound.md), where
 * its user has said which:
 *
 *     program -- SOCKS5 --> outbound-proxy -- vsock 7601 --> here -- TCP --> target
 *
 * A connection hears where it is to go, has the name looked up, tries the addresses
 * that the rules allow, answers, and then passes bytes on in both directions. Nothing
 * is kept of them: what one socket does not take stays in the other. All on the loop;
 * only names are looked up beside it.
 *
 *   outbound.c        rules, and a connection until it is made
 *   outbound_relay.c  and then
 */
#ifndef MV_BACKING_OUTBOUND_H
#define MV_BACKING_OUTBOUND_H

#include "backing/vsock_ports.h"
#include "core/config.h"
#include "core/egress.h"
#include "os/names.h"
#include "proto/outbound.h"

enum {
    MV_OUTBOUND_MOST = 2048,        /* connections at a time */
    MV_OUTBOUND_SCRATCH = 64 * 1024 /* that are looked at, at once */
};

enum mv_outbound_phase {
    MV_OUTBOUND_FREE,
    MV_OUTBOUND_HEARING,
    MV_OUTBOUND_NAMING,
    MV_OUTBOUND_DIALLING,
    MV_OUTBOUND_OPEN
};

struct mv_outbound_conn {
    struct mv_watch guest, target; /* the guest's side: our end of a pair */
    struct mv_outbound *owner;
    struct mv_outbound_conn *next; /* of the free ones */
    enum mv_outbound_phase phase;

    /* Until it is open. */
    uint64_t limit_ns, next_ns; /* of all of it, and of the address that is tried */
    size_t heard;
    uint8_t connect[OUTBOUND_CONNECT_MAX];
    struct outbound_target asked;
    struct mv_name name;
    uint64_t named; /* rules that stand for its addresses, by its name */
    unsigned at;    /* the address that is tried */
    enum outbound_status worst;

    /* While it is. */
    struct outbound_reader reader; /* from the guest, */
    struct outbound_writer writer; /* and to it */
    bool guest_over;               /* the target has had all of the guest's */
    bool target_over;              /* and the guest all of the target's */
    bool guest_ended;              /* nothing more is read from its socket, */
    bool guest_gone;               /* which is closed */
    bool target_ended;             /* nor from the target's */
};

struct mv_outbound {
    struct mv_vsock_ports *ports;
    struct mv_watch_set *watches;
    struct mv_names *names;
    struct mv_egress rules;
    struct mv_outbound_conn *conn, *free; /* of which `made` have been in use */
    unsigned made, opening;
    uint8_t scratch[MV_OUTBOUND_SCRATCH];
};

/* Rules as the setting outbound has them. */
int mv_outbound_open(struct mv_vsock_ports *ports, const struct mv_config_list *rules,
                     microvm_error *err);
/* Accepts NULL. Connections are cut off, but for those whose guest has said all. */
void mv_outbound_close(struct mv_outbound *outbound);

/* -- for vsock_ports.c -- */

/* The guest connects: the device's end, or MV_SOCKET_NONE. */
intptr_t mv_outbound_arrived(struct mv_outbound *outbound);
/* What has taken too long; and when that is to be looked at next. */
void mv_outbound_serve(struct mv_outbound *outbound, uint64_t now_ns);
uint64_t mv_outbound_due(const struct mv_outbound *outbound);

/* -- outbound_relay.c -- */

/* Moves what can be moved; false: it is to be cut off. */
bool mv_outbound_relay(struct mv_outbound_conn *conn);
bool mv_outbound_is_over(const struct mv_outbound_conn *conn);

#endif
