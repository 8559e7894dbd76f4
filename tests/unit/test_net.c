/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Network backings by themselves: the application's calls, and a tap in a network
 * namespace of its own, where the host allows that.
 */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include "check.h"
#include "netend.h"

#include "backing/net_callback.h"
#include "util/bytes.h"

#if defined(__linux__)
#include <poll.h>
#endif
#include <stdatomic.h>

/* -- the application -- */

static void calls_carry_frames_both_ways(void **state)
{
    (void)state;
    struct netend t;
    microvm_error err;
    static uint8_t frame[MV_NET_FRAME_MAX], got[MV_NET_FRAME_MAX];
    assert_ok(netend_open(&t, (struct mv_net_config){.kind = MV_NET_CALLBACK}, &err),
              &err);
    assert_true(mv_net_is_callback(t.net));
    t.net->ops->listen(t.net, true);
    for (unsigned i = 0; i < 40; i++) { /* around the ring several times */
        size_t length = i % 2 ? MV_NET_FRAME_MAX - i : MV_NET_FRAME_MIN + i;
        netend_fill(frame, length, i);
        assert_ok(mv_net_callback_send(t.net, frame, length, 0, &err), &err);
        t.stops = true;
        netend_turn(&t);
        assert_int_equal(t.readable, i + 1);
        netend_expect_frame(&t, length, i);
        t.net->ops->listen(t.net, true);
        assert_true(netend_transmit(&t, frame, length));
        assert_int_equal(mv_net_callback_receive(t.net, got, sizeof got, 0, &err),
                         length);
        assert_memory_equal(got, frame, length);
    }
    assert_int_equal(mv_net_callback_receive(t.net, got, sizeof got, 0, &err),
                     MICROVM_E_TIMEOUT);
    assert_int_equal(mv_net_callback_receive(t.net, got, sizeof got, 20, &err),
                     MICROVM_E_TIMEOUT);
    assert_int_equal(mv_net_callback_send(t.net, frame, 13, 0, &err),
                     MICROVM_E_INVALID);
    assert_int_equal(mv_net_callback_send(t.net, frame, MV_NET_FRAME_MAX + 1, 0, &err),
                     MICROVM_E_INVALID);
    netend_close(&t);
}

static void calls_find_full_rings_and_the_end(void **state)
{
    (void)state;
    struct netend t;
    microvm_error err;
    static uint8_t frame[MV_NET_FRAME_MAX];
    unsigned sent = 0, queued = 0;
    assert_ok(netend_open(&t, (struct mv_net_config){.kind = MV_NET_CALLBACK}, &err),
              &err);
    while (!mv_net_callback_send(t.net, frame, 9000, 0, &err))
        queued++;
    assert_int_equal(err.code, MICROVM_E_TIMEOUT);
    assert_true(queued >= 20);
    while (netend_transmit(&t, frame, 9000))
        sent++;
    assert_int_equal(sent, queued);
    assert_int_equal(mv_net_callback_receive(t.net, frame, 100, 0, &err),
                     MICROVM_E_INVALID); /* it stays */
    assert_int_equal(mv_net_callback_receive(t.net, frame, sizeof frame, 0, &err),
                     9000);
    netend_turn(&t);
    assert_int_equal(t.writable, 1);
    assert_true(netend_transmit(&t, frame, 9000));
    mv_net_callback_end(t.net);
    assert_int_equal(mv_net_callback_send(t.net, frame, 60, MICROVM_FOREVER, &err),
                     MICROVM_E_NOT_RUNNING);
    for (unsigned i = 0; i < sent; i++) /* what was sent can still be had */
        assert_int_equal(mv_net_callback_receive(t.net, frame, sizeof frame, 0, &err),
                         9000);
    assert_int_equal(
        mv_net_callback_receive(t.net, frame, sizeof frame, MICROVM_FOREVER, &err),
        MICROVM_E_NOT_RUNNING);
#if defined(__linux__)
    struct pollfd handle = {(int)mv_net_callback_handle(t.net), POLLIN, 0};
    assert_int_equal(poll(&handle, 1, 0), 1); /* who polls hears of it */
#endif
    netend_close(&t);
}

struct waiter {
    struct netend *t;
    int rc;
};

static void wait_for_frame(void *arg)
{
    struct waiter *w = arg;
    uint8_t frame[2000];
    w->rc = (int)mv_net_callback_receive(w->t->net, frame, sizeof frame,
                                         MICROVM_FOREVER, NULL);
}

static void a_call_that_waits_is_woken(void **state)
{
    (void)state;
    struct netend t;
    microvm_error err;
    uv_thread_t thread;
    uint8_t frame[100] = {0};
    struct waiter w = {&t, 0};
    assert_ok(netend_open(&t, (struct mv_net_config){.kind = MV_NET_CALLBACK}, &err),
              &err);
    assert_int_equal(uv_thread_create(&thread, wait_for_frame, &w), 0);
    uv_sleep(20);
    assert_true(netend_transmit(&t, frame, sizeof frame));
    assert_int_equal(uv_thread_join(&thread), 0);
    assert_int_equal(w.rc, 100);
    netend_close(&t);
}

static void a_user_network_without_its_program_says_so(void **state)
{
    (void)state;
    const struct mv_net_user_config user = {.program = "/nowhere/microvm-netd"};
    struct netend t;
    microvm_error err;
    int rc = netend_open(&t, (struct mv_net_config){.kind = MV_NET_USER, .user = &user},
                         &err);
#if defined(__linux__)
    assert_int_equal(rc, MICROVM_E_IO);
    assert_non_null(strstr(err.message, "/nowhere/microvm-netd"));
#else
    assert_int_equal(rc, MICROVM_E_UNSUPPORTED);
#endif
}

/* -- taps -- */

#if defined(__linux__)
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a process that has a network of its own: the tap is up, what the host sends
 * through a packet socket arrives, what we send arrives there. */
static void tap_up(const char *name)
{
    struct ifreq ifr = {.ifr_flags = IFF_UP};
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    (void)snprintf(ifr.ifr_name, sizeof ifr.ifr_name, "%s", name);
    assert_int_equal(ioctl(s, SIOCSIFFLAGS, &ifr), 0);
    (void)close(s);
}

#include <netpacket/packet.h>

static int packet_socket(const char *name, uint16_t type)
{
    int s = socket(AF_PACKET, SOCK_RAW, htons(type));
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(type),
                             .sll_ifindex = (int)if_nametoindex(name)};
    assert_int_equal(bind(s, (struct sockaddr *)&at, sizeof at), 0);
    return s;
}

enum { TAP_BURST = 24, TAP_BYTES = 12 + 2000 };

/* More than one call takes, the last of them nonsense: all that can be sent arrives, in
 * order; what waited for us when they were sent is received, in order, and then what
 * came later. */
static void tap_carries_bursts(struct netend *t, int packet)
{
    static uint8_t frame[TAP_BURST][TAP_BYTES], got[12 + MV_NET_FRAME_MAX];
    uint64_t drops = t->net->sent_drops;
    const struct mv_span in[] = {{got, 12}, {got + 12, 7}, {got + 19, sizeof got - 19}};
    for (unsigned i = 0; i < TAP_BURST; i++) {
        const struct mv_span out[] = {{frame[i], 12}, {frame[i] + 12, TAP_BYTES - 12}};
        netend_fill(frame[i] + 12, TAP_BYTES - 12, i);
        memset(frame[i] + 12, 0xff, 6);
        frame[i][24] = 0x88;
        frame[i][25] = 0xb5;
        frame[i][0] = i == TAP_BURST - 1;
        mv_store16(frame[i] + 6, 60000);
        if (i < 3)
            assert_int_equal(send(packet, frame[i] + 12, 100, 0), 100);
        assert_true(t->net->ops->send(t->net, out, 2, TAP_BYTES));
    }
    t->net->ops->commit(t->net);
    assert_int_equal(t->net->sent_drops, drops + 1);
    assert_true(t->net->prompt || t->net->held > 0); /* where there is a ring */
    for (unsigned i = 0; i < TAP_BURST - 1; i++) {
        assert_int_equal(recv(packet, got, sizeof got, 0), TAP_BYTES - 12);
        assert_memory_equal(got, frame[i] + 12, TAP_BYTES - 12);
    }
    assert_int_equal(send(packet, frame[3] + 12, 100, 0), 100);
    for (unsigned i = 0; i < 4; i++) {
        size_t n = 0;
        for (unsigned tries = 0; tries < 100 && (n != 112 || got[24] != 0x88); tries++)
            n = t->net->ops->receive(t->net, in, 3);
        assert_int_equal(n, 112);
        assert_memory_equal(got + 12, frame[i] + 12, 100);
        got[24] = 0;
    }
}

enum { STREAM_FRAMES = 3000, STREAM_BYTES = 100 };

struct stream {
    int packet;
    atomic_bool over;
};

/* Numbered in bytes 14 to 17, and filled by their numbers. */
static void stream_frame(uint8_t frame[STREAM_BYTES], uint32_t number)
{
    netend_fill(frame, STREAM_BYTES, number);
    memset(frame, 0xff, 6);
    frame[12] = 0x88;
    frame[13] = 0xb5;
    mv_store32(frame + 14, number);
}

static void stream_send(void *arg)
{
    struct stream *stream = arg;
    uint8_t frame[STREAM_BYTES];
    for (uint32_t i = 1; i <= STREAM_FRAMES; i++) {
        uint64_t until = uv_hrtime() + i % 13 * 3000;
        stream_frame(frame, i);
        (void)send(stream->packet, frame, sizeof frame, MSG_DONTWAIT);
        while (uv_hrtime() < until)
            continue;
    }
    atomic_store(&stream->over, true);
}

/* What arrives between two looks, also between the reads of one call: each frame whole,
 * none twice, in order. */
static void tap_receives_while_it_sends(struct netend *t, int packet)
{
    static uint8_t large[TAP_BYTES], got[12 + MV_NET_FRAME_MAX], wanted[STREAM_BYTES];
    const struct mv_span out[] = {{large, 12}, {large + 12, TAP_BYTES - 12}};
    const struct mv_span in[] = {{got, 12}, {got + 12, sizeof got - 12}};
    struct stream stream = {.packet = packet};
    uv_thread_t thread;
    uint32_t last = 0, count = 0;
    memset(large + 12, 0xff, 6);
    assert_int_equal(uv_thread_create(&thread, stream_send, &stream), 0);
    for (bool over = false; !over;) {
        over = atomic_load(&stream.over);
        for (unsigned i = 0; i < 4; i++)
            (void)t->net->ops->send(t->net, out, 2, TAP_BYTES);
        t->net->ops->commit(t->net);
        size_t n;
        while ((n = t->net->ops->receive(t->net, in, 2)) > 0) {
            if (got[24] != 0x88 || got[25] != 0xb5)
                continue;
            uint32_t number = mv_load32(got + 26);
            assert_int_equal(n, 12 + STREAM_BYTES);
            assert_true(number > last);
            stream_frame(wanted, number);
            assert_memory_equal(got + 12, wanted, STREAM_BYTES);
            last = number;
            count++;
        }
    }
    assert_int_equal(uv_thread_join(&thread), 0);
    assert_true(count > STREAM_FRAMES / 30); /* the queue of a tap has an end */
}

/* Segments as large as the host's stack lets anybody make them, with more tags before
 * them than a frame has place for. What is received is whole or not at all. */
static void tap_drops_giants(struct netend *t)
{
    static uint8_t out[10 + 70000], got[2 * (12 + MV_NET_FRAME_MAX)];
    const struct mv_span in[] = {{got, 12}, {got + 12, sizeof got - 12}};
    int s = packet_socket("mvtest0", 0), on = 1, size = 1 << 20;
    if (setsockopt(s, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on)) {
        print_message(
            "not run: tap_drops_giants: the emulator knows no such sockets\n");
        (void)close(s);
        return;
    }
    (void)setsockopt(s, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    out[0] = 1; /* NEEDS_CSUM */
    out[1] = 1; /* TCPV4 */
    mv_store16(out + 2, 54 + 12);
    mv_store16(out + 4, 1400);
    mv_store16(out + 6, 34 + 12);
    mv_store16(out + 8, 16);
    memset(out + 10, 0xff, 6);
    for (unsigned tag = 0; tag < 3; tag++)
        memcpy(out + 22 + 4 * (size_t)tag, "\x81\x00\x00\x01", 4);
    memcpy(out + 34, "\x08\x00\x45", 3);
    out[36 + 9] = 6;
    out[36 + 32] = 0x50;
    for (size_t bytes = 65500; bytes < 65536 + 60; bytes++)
        (void)send(s, out, 10 + bytes, MSG_DONTWAIT);
    uint64_t drops;
    size_t n, most = 0;
    do {
        drops = t->net->received_drops;
        n = t->net->ops->receive(t->net, in, 2);
        most = MV_MAX(most, n);
    } while (n > 0 || t->net->received_drops != drops);
    assert_true(most > 65000 && most <= 12 + MV_NET_FRAME_MAX);
    (void)close(s);
}

static void tap_in_namespace(void)
{
    struct netend t;
    microvm_error err;
    char name[] = "mvtest0", twice[] = "mvtest0", longer[] = "a-name-of-16-bytes";
    const struct mv_net_config config = {.kind = MV_NET_TAP, .where = name};
    assert_ok(netend_open(&t, config, &err), &err);
    assert_true(t.net->header && t.net->link);
    assert_int_equal(t.net->mtu, 1500);
    assert_true(t.net->send_offloads & MV_NET_TSO4);
    struct netend other;
    const struct mv_net_config again = {.kind = MV_NET_TAP, .where = twice};
    assert_int_equal(netend_open(&other, again, &err), MICROVM_E_IO); /* it is taken */
    const struct mv_net_config bad = {.kind = MV_NET_TAP, .where = longer};
    assert_int_equal(netend_open(&other, bad, &err), MICROVM_E_INVALID);
    tap_up(name);
    int packet = packet_socket(name, 0x88b5); /* for experiments */
    uint8_t frame[12 + 100] = {0}, got[12 + MV_NET_FRAME_MAX];
    netend_fill(frame + 12, 100, 1);
    memset(frame + 12, 0xff, 6);
    frame[24] = 0x88;
    frame[25] = 0xb5;
    const struct mv_span out[] = {{frame, 12}, {frame + 12, 100}};
    const struct mv_span in[] = {{got, 12}, {got + 12, 50}, {got + 62, 70000 - 5000}};
    assert_true(t.net->ops->send(t.net, out, 2, sizeof frame));
    t.net->ops->commit(t.net);
    assert_int_equal(recv(packet, got, sizeof got, 0), 100);
    assert_memory_equal(got, frame + 12, 100);
    t.net->ops->set_offloads(t.net, t.net->receive_offloads);
    assert_int_equal(send(packet, frame + 12, 100, 0), 100);
    t.net->ops->listen(t.net, true);
    netend_turn(&t);
    assert_true(t.readable > 0);
    size_t n = 0; /* IPv6 talks to itself on every interface that comes up */
    for (unsigned i = 0; i < 100 && n != 112; i++)
        n = t.net->ops->receive(t.net, in, 3);
    assert_int_equal(n, 112);
    assert_memory_equal(got + 12, frame + 12, 100);
    frame[0] = 1; /* a checksum far outside: the kernel says no, the frame is lost */
    mv_store16(frame + 6, 60000);
    assert_true(t.net->ops->send(t.net, out, 2, sizeof frame));
    t.net->ops->commit(t.net);
    assert_int_equal(t.net->sent_drops, 1);
    tap_carries_bursts(&t, packet);
    tap_receives_while_it_sends(&t, packet);
    tap_drops_giants(&t);
    (void)close(packet);
    netend_close(&t);
}

static void taps_carry_frames(void **state)
{
    int status;
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) { /* a failure here ends main with a status that is not 0 */
        if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
            _exit(77);
        int tun = open("/dev/net/tun", O_RDWR);
        if (tun < 0)
            _exit(77);
        (void)close(tun);
        tap_in_namespace();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("not run: no network namespace or no /dev/net/tun here\n");
        skip();
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_carry_frames_both_ways),
        cmocka_unit_test(calls_find_full_rings_and_the_end),
        cmocka_unit_test(a_call_that_waits_is_woken),
        cmocka_unit_test(a_user_network_without_its_program_says_so),
#if defined(__linux__)
        cmocka_unit_test(taps_carry_frames),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
