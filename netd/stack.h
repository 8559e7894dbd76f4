/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The network of one machine: libslirp between the guest's frames and the host's
 * sockets, the gate in between, and the poll loop that drives them. One thread.
 *
 *     guest -- frames socket -- gate -- libslirp -- sockets of this process
 *
 * 10.0.2.0/24: .2 is the host, .3 our DNS, .15 the guest; fec0::/64 likewise. Frames
 * are large (MTU 65520): they never leave this computer, what leaves it are streams.
 */
#ifndef NETD_STACK_H
#define NETD_STACK_H

#include "forward.h"
#include "outbox.h"

#include <jansson.h>
#include <libslirp.h>
#include <poll.h>

enum { STACK_MTU_USUAL = 65520, STACK_BATCH = 8 };

struct stack {
    Slirp *slirp;
    struct gate gate;
    bool ipv6;
    int64_t timer_ms; /* libslirp's one timer; -1: not set */
    void *timer_arg;
    SlirpTimerId timer_id;

    struct pollfd *poll; /* of libslirp's sockets, from STACK_POLL_OWN on */
    unsigned polls, poll_room;
    /* Where reading went on from, of poll, and where it was stopped; 0: nowhere. */
    unsigned read_from, read_next;
    bool quiet; /* no TCP connection lives: nothing but listeners */

    struct outbox out; /* its socket is where the guest's frames come from, too */
    uint64_t received;
    uint8_t in[STACK_BATCH][GATE_FRAME_MAX];
};

/* The poll descriptors that are the caller's; libslirp's follow. */
enum { STACK_POLL_FRAMES, STACK_POLL_CONTROL, STACK_POLL_OWN };

struct stack_options {
    uint16_t mtu;
    bool restrict_to_forwards, ipv6, host_loopback;
};

/* False: libslirp refused. `stack` is zeroed but for out.socket and the gate's policy.
 */
bool stack_open(struct stack *stack, const struct stack_options *options);
void stack_close(struct stack *stack);

/* Waits for something and does it; true when poll[STACK_POLL_CONTROL] is readable.
 * False also when nothing happened; `gone` is set when the guest's side has closed. */
bool stack_turn(struct stack *stack, int control, bool *gone);

/* NULL, or what is wrong. `at` is forward_show's. */
const char *stack_forward(struct stack *stack, const char *text, bool add,
                          char at[FORWARD_AT_MAX]);

json_t *stack_stats(const struct stack *stack);

#endif
