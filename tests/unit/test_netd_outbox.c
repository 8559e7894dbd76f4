/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Frames for the guest on a real socket: in order, none lost while there is room, and
 * what is lost is counted.
 */
#include "check.h"
#include "outbox.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct outbox box;
static int guest;
static uint8_t got[GATE_FRAME_MAX + 1];

static int begin(void **state)
{
    int pair[2];
    (void)state;
    memset(&box, 0, sizeof box);
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    box.socket = pair[0];
    guest = pair[1];
    return 0;
}

static int end(void **state)
{
    (void)state;
    (void)close(box.socket);
    (void)close(guest);
    return 0;
}

static void add(uint8_t number, size_t length)
{
    memset(outbox_place(&box), number, length);
    outbox_add(&box, length);
}

/* The length of the next frame, all of whose bytes are `number`; 0: there is none. */
static size_t take(uint8_t number)
{
    ssize_t n = recv(guest, got, sizeof got, 0);
    for (ssize_t i = 0; i < n; i++)
        assert_int_equal(got[i], number);
    return n < 0 ? 0 : (size_t)n;
}

static void frames_are_gathered(void **state)
{
    (void)state;
    for (uint8_t i = 1; i < 6; i++)
        add(i, 100u + i);
    assert_int_equal(take(1), 0);
    outbox_send(&box);
    assert_int_equal(box.used, 0);
    for (uint8_t i = 1; i < 6; i++)
        assert_int_equal(take(i), 100 + i);
    for (uint8_t i = 0; i < OUTBOX_BATCH; i++)
        add(i, 100);
    for (uint8_t i = 0; i < OUTBOX_BATCH; i++)
        assert_int_equal(take(i), 100); /* a whole batch goes at once */
    assert_int_equal(box.sent, 5 + OUTBOX_BATCH);
}

static void large_ones_go_at_once_but_not_before_others(void **state)
{
    (void)state;
    static uint8_t large[GATE_FRAME_MAX];
    memset(large, 7, sizeof large);
    assert_false(outbox_direct(&box, large, 100));
    add(3, 100);
    assert_true(outbox_direct(&box, large, sizeof large));
    assert_int_equal(take(3), 100);
    assert_int_equal(take(7), sizeof large);
    assert_int_equal(box.sent, 2);
}

static void what_the_socket_does_not_take_waits_in_order(void **state)
{
    (void)state;
    unsigned added = 0, taken = 0;
    static uint8_t large[GATE_FRAME_MAX];
    while (box.dropped == 0)
        add((uint8_t)added++, GATE_FRAME_MAX);
    added--;
    assert_true(box.waits && box.used == OUTBOX_FRAMES - 1);
    assert_true(added >= OUTBOX_FRAMES);
    assert_false(outbox_direct(&box, large, sizeof large));
    while (taken < added) {
        if (take((uint8_t)taken))
            taken++;
        else
            outbox_send(&box);
    }
    assert_int_equal(take(0), 0);
    assert_true(box.sent == added && box.dropped == 1 && !box.waits);
}

static void a_guest_that_is_gone_is_no_endless_loop(void **state)
{
    (void)state;
    (void)close(guest);
    add(1, 100);
    add(2, 100);
    outbox_send(&box);
    assert_true(box.used == 0 && box.dropped == 2 && box.sent == 0);
    guest = -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(frames_are_gathered, begin, end),
        cmocka_unit_test_setup_teardown(large_ones_go_at_once_but_not_before_others,
                                        begin, end),
        cmocka_unit_test_setup_teardown(what_the_socket_does_not_take_waits_in_order,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_guest_that_is_gone_is_no_endless_loop, begin,
                                        end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
