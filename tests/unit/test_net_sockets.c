/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Network backings over sockets: frames both ways, peers that cut them into pieces,
 * send nonsense, do not read, or go.
 */
#include "check.h"
#include "netend.h"

#include "util/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A backing on one end of a pair; the other in *peer. */
static void open_pair(struct netend *t, int type, int *peer)
{
    int pair[2];
    microvm_error err;
    assert_int_equal(socketpair(AF_UNIX, type, 0, pair), 0);
    const struct mv_net_config config = {.kind = MV_NET_FD, .fd = pair[0]};
    assert_ok(netend_open(t, config, &err), &err);
    (void)close(pair[0]); /* it has its own */
    *peer = pair[1];
}

static void put_prefix(uint8_t to[4], uint32_t length)
{
    to[0] = (uint8_t)(length >> 24);
    to[1] = (uint8_t)(length >> 16);
    to[2] = (uint8_t)(length >> 8);
    to[3] = (uint8_t)length;
}

static void a_stream_is_cut_anywhere(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 3, 4, 5, 63, 64, 65, 1000};
    static uint8_t bytes[3 * 68];
    uint8_t got[MV_NET_FRAME_MAX];
    for (unsigned i = 0; i < 3; i++) {
        put_prefix(bytes + 68 * (size_t)i, 64);
        netend_fill(bytes + 68 * (size_t)i + 4, 64, i);
    }
    for (unsigned p = 0; p < MV_ARRAY_LEN(pieces); p++) {
        struct netend t;
        int peer;
        unsigned frames = 0;
        open_pair(&t, SOCK_STREAM, &peer);
        for (size_t at = 0; at < sizeof bytes; at += pieces[p]) {
            size_t n = MV_MIN(pieces[p], sizeof bytes - at);
            assert_int_equal(write(peer, bytes + at, n), n);
            while (netend_receive(&t, got) == 64) {
                assert_memory_equal(got, bytes + 68 * (size_t)frames + 4, 64);
                frames++;
            }
            assert_int_equal(frames, (at + n) / 68);
        }
        assert_int_equal(netend_receive(&t, got), 0);
        (void)close(peer);
        netend_close(&t);
    }
}

static void a_stream_carries_the_largest_frames(void **state)
{
    (void)state;
    struct netend t;
    int peer;
    static uint8_t frame[4 + MV_NET_FRAME_MAX], got[4 + MV_NET_FRAME_MAX];
    open_pair(&t, SOCK_STREAM, &peer);
    for (unsigned i = 0; i < 5; i++) {
        put_prefix(frame, MV_NET_FRAME_MAX);
        netend_fill(frame + 4, MV_NET_FRAME_MAX, i);
        assert_true(netend_transmit(&t, frame + 4, MV_NET_FRAME_MAX));
        assert_int_equal(recv(peer, got, sizeof got, MSG_WAITALL), sizeof got);
        assert_memory_equal(got, frame, sizeof got);
        size_t sent = 0;
        while (sent < sizeof frame) {
            ssize_t n = send(peer, frame + sent, sizeof frame - sent, MSG_DONTWAIT);
            if (n > 0)
                sent += (size_t)n;
            else
                assert_int_equal(netend_receive(&t, got), 0);
        }
        netend_expect_frame(&t, MV_NET_FRAME_MAX, i);
    }
    (void)close(peer);
    netend_close(&t);
}

/* Who sends what is thrown away does not keep the loop to himself, however much of it
 * there is; and what comes after it is heard. */
static void runts_are_dropped_some_at_a_time(void **state)
{
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET};
    static uint8_t nothing[4096];
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(types); i++) {
        struct netend t;
        int peer;
        size_t runt = types[i] == SOCK_STREAM ? 4 : 1, runts = 0;
        uint8_t got[MV_NET_FRAME_MAX], frame[4 + 64];
        open_pair(&t, types[i], &peer);
        size_t bytes = types[i] == SOCK_STREAM ? sizeof nothing : runt;
        while (send(peer, nothing, bytes, MSG_DONTWAIT) == (ssize_t)bytes)
            runts += bytes / runt;
        assert_true(runts > 2 * MV_NET_RUNTS);
        t.net->ops->listen(t.net, true);
        t.stops = true;
        for (size_t left = runts; left > 0;) {
            uint64_t before = t.net->received_drops;
            unsigned heard = t.readable;
            netend_turn(&t);
            assert_true(t.readable > heard);
            assert_int_equal(netend_receive(&t, got), 0);
            assert_int_equal(t.net->received_drops - before,
                             MV_MIN(left, (size_t)MV_NET_RUNTS));
            left -= MV_MIN(left, (size_t)MV_NET_RUNTS);
            t.net->ops->listen(t.net, true);
        }
        put_prefix(frame, 64);
        netend_fill(frame + 4, 64, 7);
        size_t skip = types[i] == SOCK_STREAM ? 0 : 4;
        assert_int_equal(write(peer, frame + skip, sizeof frame - skip),
                         sizeof frame - skip);
        netend_expect_frame(&t, 64, 7);
        (void)close(peer);
        netend_close(&t);
    }
}

/* Frames are staged in the backing: the device that stopped must hear of them again. */
static void staged_frames_are_not_forgotten(void **state)
{
    (void)state;
    struct netend t;
    int peer;
    uint8_t bytes[5 * 68], got[MV_NET_FRAME_MAX];
    open_pair(&t, SOCK_STREAM, &peer);
    for (unsigned i = 0; i < 5; i++) {
        put_prefix(bytes + 68 * (size_t)i, 64);
        netend_fill(bytes + 68 * (size_t)i + 4, 64, i);
    }
    assert_int_equal(write(peer, bytes, sizeof bytes), sizeof bytes);
    t.stops = true;
    for (unsigned i = 0; i < 5; i++) {
        t.net->ops->listen(t.net, true);
        netend_turn(&t);
        assert_int_equal(t.readable, i + 1); /* once, then it stopped */
        netend_expect_frame(&t, 64, i);
    }
    t.net->ops->listen(t.net, true);
    netend_turn(&t);
    assert_int_equal(t.readable, 5);
    assert_int_equal(netend_receive(&t, got), 0);
    (void)close(peer);
    netend_close(&t);
}

/* The peer does not read: what the socket took in part is finished later, no frame is
 * sent between its halves, none is lost. */
static void a_slow_reader_is_waited_for(void **state)
{
    (void)state;
    struct netend t;
    int peer;
    unsigned sent = 0, got = 0;
    static uint8_t frame[4 + 40000], in[4 + 40000];
    open_pair(&t, SOCK_STREAM, &peer);
    while (sent < 200) {
        netend_fill(frame + 4, 40000, sent);
        if (netend_transmit(&t, frame + 4, 40000)) {
            sent++;
            continue;
        }
        unsigned before = t.writable;
        assert_int_equal(recv(peer, in, sizeof in, MSG_WAITALL), sizeof in);
        put_prefix(frame, 40000);
        netend_fill(frame + 4, 40000, got++);
        assert_memory_equal(in, frame, sizeof in);
        for (unsigned i = 0; i < 100 && t.writable == before; i++) {
            netend_turn(&t);
            if (t.writable == before) { /* not enough room yet */
                assert_int_equal(recv(peer, in, sizeof in, MSG_WAITALL), sizeof in);
                netend_fill(frame + 4, 40000, got++);
                assert_memory_equal(in, frame, sizeof in);
            }
        }
        assert_true(t.writable > before);
    }
    while (got < sent) {
        netend_turn(&t);
        assert_int_equal(recv(peer, in, sizeof in, MSG_WAITALL), sizeof in);
        put_prefix(frame, 40000);
        netend_fill(frame + 4, 40000, got++);
        assert_memory_equal(in, frame, sizeof in);
    }
    (void)close(peer);
    netend_close(&t);
}

static void a_stream_out_of_step_is_a_pulled_cable(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {MV_NET_FRAME_MAX + 1, 1 << 20, 0x80000000,
                                       0xffffffff};
    uint8_t got[MV_NET_FRAME_MAX], frame[100] = {0};
    for (unsigned i = 0; i < MV_ARRAY_LEN(lengths); i++) {
        struct netend t;
        int peer;
        uint8_t prefix[4];
        open_pair(&t, SOCK_STREAM, &peer);
        t.net->ops->listen(t.net, true);
        put_prefix(prefix, lengths[i]);
        assert_int_equal(write(peer, prefix, 4), 4);
        assert_int_equal(netend_receive(&t, got), 0);
        assert_int_equal(t.links, 0); /* never from within */
        netend_turn(&t);
        assert_int_equal(t.links, 1);
        assert_false(t.net->link);
        assert_int_equal(recv(peer, got, sizeof got, MSG_DONTWAIT), 0); /* it is told */
        assert_true(netend_transmit(&t, frame, sizeof frame)); /* into the void */
        assert_int_equal(t.net->sent_drops, 1);
        (void)close(peer);
        netend_close(&t);
    }
}

static void frames_too_short_are_skipped(void **state)
{
    (void)state;
    struct netend t;
    int peer;
    uint8_t bytes[4 + 4 + 13 + 4 + 60] = {0};
    open_pair(&t, SOCK_STREAM, &peer);
    put_prefix(bytes + 4, 13);
    put_prefix(bytes + 21, 60);
    netend_fill(bytes + 25, 60, 7);
    assert_int_equal(write(peer, bytes, sizeof bytes), sizeof bytes);
    netend_expect_frame(&t, 60, 7);
    assert_int_equal(t.net->received_drops, 2);
    (void)close(peer);
    netend_close(&t);
}

static void a_peer_that_goes_is_a_pulled_cable(void **state)
{
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    uint8_t frame[100] = {0}, got[MV_NET_FRAME_MAX];
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(types); i++) {
        struct netend t;
        int peer;
#if defined(__APPLE__)
        if (types[i] == SOCK_SEQPACKET)
            continue;
#endif
        open_pair(&t, types[i], &peer);
        (void)close(peer);
        if (types[i] == SOCK_DGRAM) { /* finds out by sending */
            assert_true(netend_transmit(&t, frame, sizeof frame));
        } else {
            t.net->ops->listen(t.net, true);
            netend_turn(&t);
            assert_int_equal(netend_receive(&t, got), 0);
        }
        netend_turn(&t);
        assert_false(t.net->link);
        assert_int_equal(t.links, 1);
        assert_true(netend_transmit(&t, frame, sizeof frame));
        netend_close(&t);
    }
}

static void datagrams_are_frames(void **state)
{
    static const int types[] = {SOCK_DGRAM, SOCK_SEQPACKET};
    static uint8_t frame[MV_NET_FRAME_MAX + 1000], got[MV_NET_FRAME_MAX + 1000];
    (void)state;
    for (unsigned k = 0; k < MV_ARRAY_LEN(types); k++) {
        struct netend t;
        int peer;
#if defined(__APPLE__)
        if (types[k] == SOCK_SEQPACKET)
            continue;
#endif
        open_pair(&t, types[k], &peer);
        t.net->ops->listen(t.net, true);
        for (unsigned i = 0; i < 4; i++) {
            size_t length = (size_t[]){14, 60, 1514, 9000}[i];
            netend_fill(frame, length, i);
            assert_int_equal(write(peer, frame, length), length);
            netend_turn(&t);
            assert_true(t.readable > 0);
            netend_expect_frame(&t, length, i);
            assert_true(netend_transmit(&t, frame, length));
            assert_int_equal(read(peer, got, sizeof got), length);
            assert_memory_equal(got, frame, length);
        }
        assert_int_equal(write(peer, frame, 13), 13);
        assert_int_equal(write(peer, frame, 60), 60);
        assert_int_equal(netend_receive(&t, got), 60);
        assert_int_equal(t.net->received_drops, 1);
        if (write(peer, frame, sizeof frame) > 0) {
            assert_int_equal(netend_receive(&t, got), 0);
            assert_int_equal(t.net->received_drops, 2);
        }
        (void)close(peer);
        netend_close(&t);
    }
}

/* A server's socket in a directory of its own. */
struct server {
    char path[100], dir[64];
    int fd;
};

static void server_open(struct server *s, int type)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(s->dir, sizeof s->dir, "%s/mvnetXXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(s->dir));
    (void)snprintf(s->path, sizeof s->path, "%s/socket", s->dir);
    (void)snprintf(at.sun_path, sizeof at.sun_path, "%s", s->path);
    s->fd = socket(AF_UNIX, type, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&at, sizeof at), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(s->fd, 1), 0);
}

static void server_close(struct server *s)
{
    (void)close(s->fd);
    (void)unlink(s->path);
    (void)rmdir(s->dir);
}

static void paths_are_connected_to(void **state)
{
    (void)state;
    struct server s;
    struct netend t;
    microvm_error err;
    uint8_t frame[100] = {0}, got[200];
    server_open(&s, SOCK_STREAM);
    const struct mv_net_config stream = {.kind = MV_NET_UNIXSTREAM, .where = s.path};
    assert_ok(netend_open(&t, stream, &err), &err);
    int peer = accept(s.fd, NULL, NULL);
    assert_true(netend_transmit(&t, frame, sizeof frame));
    assert_int_equal(read(peer, got, sizeof got), 104);
    (void)close(peer);
    netend_close(&t);
    server_close(&s);
    assert_int_equal(netend_open(&t, stream, &err), MICROVM_E_IO);
    assert_non_null(strstr(err.message, s.path));
    server_open(&s, SOCK_DGRAM);
    const struct mv_net_config gram = {.kind = MV_NET_UNIXGRAM, .where = s.path};
    assert_ok(netend_open(&t, gram, &err), &err);
    assert_true(netend_transmit(&t, frame, sizeof frame));
    struct sockaddr_un from;
    socklen_t length = sizeof from;
    assert_int_equal(
        recvfrom(s.fd, got, sizeof got, 0, (struct sockaddr *)&from, &length), 100);
#if defined(__linux__) /* where the backing has an address, it can be answered */
    assert_int_equal(sendto(s.fd, got, 100, 0, (struct sockaddr *)&from, length), 100);
    assert_int_equal(netend_receive(&t, (uint8_t[MV_NET_FRAME_MAX]){0}), 100);
#endif
    netend_close(&t);
    server_close(&s);
}

static void what_carries_no_frames_is_refused(void **state)
{
    (void)state;
    struct netend t;
    microvm_error err;
    int file = open("/dev/null", O_RDWR);
    struct mv_net_config config = {.kind = MV_NET_FD, .fd = file};
    assert_true(netend_open(&t, config, &err) < 0);
    assert_non_null(strstr(err.message, "fd="));
    (void)close(file);
    config.fd = 1 << 20; /* nobody has so many */
    assert_int_equal(netend_open(&t, config, &err), MICROVM_E_IO);
    static char path[200];
    memset(path, 'x', sizeof path - 1);
    config = (struct mv_net_config){.kind = MV_NET_UNIXSTREAM, .where = path};
    assert_int_equal(netend_open(&t, config, &err), MICROVM_E_INVALID);
}
int main(void)
{
    (void)signal(SIGPIPE, SIG_DFL); /* the backings must not raise it */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_is_cut_anywhere),
        cmocka_unit_test(a_stream_carries_the_largest_frames),
        cmocka_unit_test(runts_are_dropped_some_at_a_time),
        cmocka_unit_test(staged_frames_are_not_forgotten),
        cmocka_unit_test(a_slow_reader_is_waited_for),
        cmocka_unit_test(a_stream_out_of_step_is_a_pulled_cable),
        cmocka_unit_test(frames_too_short_are_skipped),
        cmocka_unit_test(a_peer_that_goes_is_a_pulled_cable),
        cmocka_unit_test(datagrams_are_frames),
        cmocka_unit_test(paths_are_connected_to),
        cmocka_unit_test(what_carries_no_frames_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
