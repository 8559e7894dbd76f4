/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Driving libslirp. While many frames wait for the guest no host socket is read: so a
 * slow guest slows its senders down.
 */
#define _GNU_SOURCE
#include "stack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
    SLOW_MS = 500,        /* libslirp's slow timers tick a little more often */
    QUIET_MS = 60 * 1000, /* how often a quiet stack looks for UDP flows to forget */
    OUTBOX_HIGH = OUTBOX_FRAMES / 2
};

static int64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t now_ms(void)
{
    return now_ns() / 1000000;
}

/* ---- frames to the guest --------------------------------------------------------- */

static slirp_ssize_t stack_send_packet(const void *data, size_t length, void *opaque)
{
    struct stack *stack = opaque;
    if (length > GATE_FRAME_MAX)
        return -1;
    if (!gate_looks_at(&stack->gate, data, length) &&
        outbox_direct(&stack->out, data, length))
        return (slirp_ssize_t)length;
    uint8_t *frame = outbox_place(&stack->out);
    memcpy(frame, data, length);
    size_t n = gate_to_guest(&stack->gate, frame, length, (uint64_t)now_ms());
    if (n > 0)
        outbox_add(&stack->out, n);
    return (slirp_ssize_t)length;
}

/* ---- frames from the guest ------------------------------------------------------- */

static void frame_from_guest(struct stack *stack, const uint8_t *frame, size_t length)
{
    size_t reply;
    stack->received++;
    switch (gate_from_guest(&stack->gate, frame, length, (uint64_t)now_ms(),
                            outbox_place(&stack->out), &reply)) {
    case GATE_PASS:
        slirp_input(stack->slirp, frame, (int)length);
        break;
    case GATE_REPLY:
        outbox_add(&stack->out, reply);
        break;
    case GATE_DROP:
        break;
    }
}

/* False: the guest's side has closed the socket. */
static bool frames_receive(struct stack *stack)
{
    struct mmsghdr message[STACK_BATCH];
    struct iovec iov[STACK_BATCH];
    memset(message, 0, sizeof message);
    for (unsigned i = 0; i < STACK_BATCH; i++) {
        iov[i] = (struct iovec){stack->in[i], GATE_FRAME_MAX};
        message[i].msg_hdr.msg_iov = &iov[i];
        message[i].msg_hdr.msg_iovlen = 1;
    }
    int n = recvmmsg(stack->out.socket, message, STACK_BATCH, MSG_DONTWAIT, NULL);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    for (int i = 0; i < n; i++) {
        if (message[i].msg_len == 0)
            return false;
        if (message[i].msg_len >= PACKET_ETHERNET &&
            !(message[i].msg_hdr.msg_flags & MSG_TRUNC))
            frame_from_guest(stack, stack->in[i], message[i].msg_len);
    }
    return true;
}

/* ---- what libslirp asks for ------------------------------------------------------ */

static void stack_guest_error(const char *message, void *opaque)
{
    (void)message, (void)opaque;
}

static int64_t stack_clock(void *opaque)
{
    (void)opaque;
    return now_ns();
}

static void *stack_timer_new(SlirpTimerId id, void *arg, void *opaque)
{
    struct stack *stack = opaque;
    stack->timer_id = id;
    stack->timer_arg = arg;
    stack->timer_ms = -1;
    return &stack->timer_ms;
}

static void stack_timer_free(void *timer, void *opaque)
{
    struct stack *stack = opaque;
    (void)timer;
    stack->timer_ms = -1;
}

static void stack_timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    (void)opaque;
    *(int64_t *)timer = expire_ms;
}

static void stack_ignore_fd(int fd, void *opaque)
{
    (void)fd, (void)opaque;
}

static void stack_notify(void *opaque)
{
    (void)opaque; /* there is one thread: it is awake */
}

static const SlirpCb callbacks = {
    .send_packet = stack_send_packet,
    .guest_error = stack_guest_error,
    .clock_get_ns = stack_clock,
    .timer_free = stack_timer_free,
    .timer_mod = stack_timer_mod,
    .register_poll_fd = stack_ignore_fd,
    .unregister_poll_fd = stack_ignore_fd,
    .notify = stack_notify,
    .timer_new_opaque = stack_timer_new,
};

bool stack_open(struct stack *stack, const struct stack_options *options)
{
    const uint8_t dns[4] = {10, 0, 2, 3};
    SlirpConfig config = {
        .version = 4,
        .in_enabled = true,
        .vnetwork.s_addr = htonl(0x0a000200),
        .vnetmask.s_addr = htonl(0xffffff00),
        .vhost.s_addr = htonl(0x0a000202),
        .vdhcp_start.s_addr = htonl(0x0a00020f),
        .vnameserver.s_addr = htonl(0x0a000203),
        .in6_enabled = options->ipv6,
        .vprefix_len = 64,
        .if_mtu = options->mtu,
        .if_mru = options->mtu,
        .disable_host_loopback = !options->host_loopback,
    };
    (void)inet_pton(AF_INET6, "fec0::", &config.vprefix_addr6);
    (void)inet_pton(AF_INET6, "fec0::2", &config.vhost6);
    (void)inet_pton(AF_INET6, "fec0::3", &config.vnameserver6);
    stack->timer_ms = -1;
    stack->ipv6 = options->ipv6;
    stack->gate.mtu = options->mtu;
    /* libslirp's own way of it would lose what answers a datagram, too. */
    stack->gate.restricted = options->restrict_to_forwards;
    stack->gate.host[0] = mv_address_v4((const uint8_t[4]){10, 0, 2, 2});
    memcpy(stack->gate.host[1].byte, &config.vhost6, 16);
    stack->gate.dns[0] = mv_address_v4(dns);
    memcpy(stack->gate.dns[1].byte, &config.vnameserver6, 16);
    stack->slirp = slirp_new(&config, &callbacks, stack);
    return stack->slirp != NULL;
}

void stack_close(struct stack *stack)
{
    if (stack->slirp)
        slirp_cleanup(stack->slirp);
    free(stack->poll);
}

/* ---- polling --------------------------------------------------------------------- */

static bool stack_is_full(const struct stack *stack)
{
    return stack->out.used >= OUTBOX_HIGH;
}

static int stack_add_poll(int fd, int events, void *opaque)
{
    struct stack *stack = opaque;
    short wanted = 0;
    if (stack->polls == stack->poll_room) {
        unsigned room = stack->poll_room ? 2 * stack->poll_room : 64;
        struct pollfd *more = realloc(stack->poll, room * sizeof *more);
        if (!more)
            return -1;
        stack->poll = more;
        stack->poll_room = room;
    }
    bool full = stack_is_full(stack);
    if (events & SLIRP_POLL_IN && !full)
        wanted |= POLLIN;
    if (events & SLIRP_POLL_OUT)
        wanted |= POLLOUT;
    if (events & SLIRP_POLL_PRI && !full)
        wanted |= POLLPRI;
    /* Listeners and UDP are watched for input only; a connection for more. */
    if (events & (SLIRP_POLL_OUT | SLIRP_POLL_PRI))
        stack->quiet = false;
    stack->poll[stack->polls] = (struct pollfd){fd, wanted, 0};
    return (int)stack->polls++;
}

/* libslirp asks for one socket after the other, and reads each before the next. Where
 * there is no room for more the turn ends for reading, and the next begins there. */
static bool stack_may_read(struct stack *stack, unsigned index)
{
    if (index < stack->read_from)
        return false;
    if (stack_is_full(stack) && !stack->out.waits)
        outbox_send(&stack->out);
    if (!stack_is_full(stack))
        return true;
    if (stack->read_next == 0)
        stack->read_next = index;
    return false;
}

static int stack_revents(int index, void *opaque)
{
    struct stack *stack = opaque;
    int events = 0;
    if (index < STACK_POLL_OWN || (unsigned)index >= stack->polls)
        return 0;
    short got = stack->poll[index].revents;
    if (got & POLLIN && stack_may_read(stack, (unsigned)index))
        events |= SLIRP_POLL_IN;
    if (got & POLLOUT)
        events |= SLIRP_POLL_OUT;
    if (got & POLLPRI)
        events |= SLIRP_POLL_PRI;
    if (got & POLLERR)
        events |= SLIRP_POLL_ERR;
    if (got & POLLHUP)
        events |= SLIRP_POLL_HUP;
    return events;
}

static int stack_timeout(const struct stack *stack, uint32_t slirp_ms)
{
    uint32_t timeout_ms = slirp_ms;
    /* It asks to be called each second where nothing of it has a time; and its slow
     * timers tick for listeners, too, which have none. */
    if (timeout_ms > SLOW_MS)
        timeout_ms = UINT32_MAX;
    else if (stack->quiet && stack->polls > STACK_POLL_OWN)
        timeout_ms = QUIET_MS;
    if (stack->timer_ms >= 0) {
        int64_t left = stack->timer_ms - now_ms();
        if (left < (int64_t)timeout_ms)
            timeout_ms = left > 0 ? (uint32_t)left : 0;
    }
    return timeout_ms > INT32_MAX ? -1 : (int)timeout_ms;
}

bool stack_turn(struct stack *stack, int control, bool *gone)
{
    uint32_t timeout_ms = UINT32_MAX;
    stack->polls = 0;
    stack->quiet = true;
    if (stack_add_poll(stack->out.socket, SLIRP_POLL_IN, stack) < 0 ||
        stack_add_poll(control, SLIRP_POLL_IN, stack) < 0) {
        *gone = true;
        return false;
    }
    slirp_pollfds_fill(stack->slirp, &timeout_ms, stack_add_poll, stack);
    struct pollfd *own = stack->poll;
    /* What the guest sends makes libslirp send, too: not while it takes nothing. */
    own[STACK_POLL_FRAMES].events =
        (short)((stack_is_full(stack) ? 0 : POLLIN) | (stack->out.waits ? POLLOUT : 0));
    own[STACK_POLL_CONTROL].events = POLLIN;
    int n = poll(stack->poll, stack->polls, stack_timeout(stack, timeout_ms));
    if (n < 0 && errno != EINTR)
        *gone = true;
    if (n < 0)
        return false;
    if (own[STACK_POLL_FRAMES].revents & POLLOUT)
        outbox_send(&stack->out);
    if (own[STACK_POLL_FRAMES].revents & (POLLIN | POLLHUP | POLLERR)) {
        /* Sockets apart: it looks at the clock. Else, after a sleep, libslirp would
         * take what it knows of the resolver to be a moment old. */
        slirp_pollfds_poll(stack->slirp, 1, stack_revents, stack);
        *gone = !frames_receive(stack);
    }
    bool asked = own[STACK_POLL_CONTROL].revents != 0;
    stack->read_next = 0;
    slirp_pollfds_poll(stack->slirp, 0, stack_revents, stack);
    stack->read_from = stack->read_next;
    if (stack->timer_ms >= 0 && stack->timer_ms <= now_ms()) {
        stack->timer_ms = -1;
        slirp_handle_timer(stack->slirp, stack->timer_id, stack->timer_arg);
    }
    if (stack->out.used > 0 && !stack->out.waits)
        outbox_send(&stack->out);
    return asked;
}

/* ---- forwards -------------------------------------------------------------------- */

/* libslirp lets one connection wait, so that of many at once all but a few would be
 * sent their SYN again, a second later. It keeps the socket to itself; listening a
 * second time makes the queue longer (listen(2) on Linux). */
static void forwards_lengthen_queues(void)
{
    enum {
        QUEUE = 128,
        DESCRIPTORS = 4096 /* more than a helper has at its usual limit */
    };
    for (int fd = 0; fd < DESCRIPTORS; fd++) {
        int listens = 0;
        socklen_t size = sizeof listens;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens)
            (void)listen(fd, QUEUE);
    }
}

const char *stack_forward(struct stack *stack, const char *text, bool add,
                          char at[FORWARD_AT_MAX])
{
    struct forward f;
    const char *bad = forward_parse(&f, text);
    if (bad)
        return bad;
    forward_show(&f, at);
    int flags = (f.udp ? SLIRP_HOSTFWD_UDP : 0) | (f.v6 ? SLIRP_HOSTFWD_V6ONLY : 0);
    if (add && f.v6 && !stack->ipv6)
        return "the guest has no IPv6 (ipv6=off)";
    if (add && f.udp && stack->gate.forwards == GATE_FORWARDS)
        return "there are 256 of UDP already";
    if (add && f.udp && gate_has(&stack->gate, at)) /* the system would let us twice */
        return strerror(EADDRINUSE);
    int rc = add ? slirp_add_hostxfwd(stack->slirp, &f.host.any, f.bytes, &f.guest.any,
                                      f.bytes, flags)
                 : slirp_remove_hostxfwd(stack->slirp, &f.host.any, f.bytes, flags);
    if (rc != 0)
        return add ? strerror(errno) : "there is no such forward";
    if (f.udp && add)
        gate_publish(&stack->gate, at, f.v6, forward_guest_port(&f));
    else if (f.udp)
        gate_unpublish(&stack->gate, at);
    else if (add)
        forwards_lengthen_queues();
    return NULL;
}

json_t *stack_stats(const struct stack *stack)
{
    const struct gate *gate = &stack->gate;
    return json_pack(
        "{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "ok", 1, "sent_frames",
        (json_int_t)stack->out.sent, "received_frames", (json_int_t)stack->received,
        "dropped_frames", (json_int_t)stack->out.dropped, "refused_connections",
        (json_int_t)gate->connections, "refused_names", (json_int_t)gate->names,
        "refused_answers", (json_int_t)gate->answers, "refused_malformed",
        (json_int_t)gate->malformed);
}
