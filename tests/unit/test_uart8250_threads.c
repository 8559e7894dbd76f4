/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The serial port between a vCPU that polls and the loop's thread: all arrives both
 * ways, in order, also past a host's end that now and then refuses.
 */
#include "around.h"
#include "check.h"

#include "chip/uart8250.h"

#include <stdatomic.h>

enum { DATA = 0, IER = 1, FCR = 2, MCR = 4, LSR = 5 };
enum { RTS = 2, OUT2 = 8 };

enum { STREAM_BYTES = 2000, STREAM_REFUSES = 50 };

/* A host's end that now and then has neither room nor input, and then calls once. What
 * is not atomic is touched under the chip's lock only: put and get are called one at a
 * time. */
struct stream {
    struct mv_uart8250 uart;
    struct around_line line;
    unsigned puts, gets, sent, given;
    _Atomic bool room_wanted, input_wanted, ended;
    bool complete;
};

static size_t stream_put(void *ctx, const void *data, size_t length)
{
    struct stream *stream = ctx;
    const uint8_t *byte = data;
    if (stream->puts++ % STREAM_REFUSES == 0 || length == 0 ||
        *byte != (uint8_t)stream->sent) {
        stream->room_wanted = true;
        return 0;
    }
    stream->sent++;
    return 1;
}

static size_t stream_get(void *ctx, void *data, size_t length)
{
    struct stream *stream = ctx;
    uint8_t *byte = data;
    if (stream->gets++ % STREAM_REFUSES == 0 || length == 0) {
        stream->input_wanted = true;
        return 0;
    }
    *byte = (uint8_t)stream->given++;
    return 1;
}

static void stream_vcpu(void *arg)
{
    struct stream *stream = arg;
    unsigned sent = 0, received = 0;
    while (sent < STREAM_BYTES || received < STREAM_BYTES) {
        uint64_t lsr = mv_uart8250_bus.read(&stream->uart, LSR, 1);
        if (lsr & 0x20)
            mv_uart8250_bus.write(&stream->uart, DATA, 1, sent++ & 0xff);
        if ((lsr & 0x01) &&
            mv_uart8250_bus.read(&stream->uart, DATA, 1) != (received++ & 0xff))
            break;
    }
    stream->complete = sent >= STREAM_BYTES && received >= STREAM_BYTES;
    stream->ended = true;
}

/* A vCPU that polls against the loop's thread: all arrives, in order. */
static void vcpu_and_loop_at_once(void **state)
{
    static struct stream stream;
    struct mv_irq irq = around_irq(&stream.line);
    const struct mv_chardev chardev = {
        .put = stream_put, .get = stream_get, .ctx = &stream};
    microvm_error err;
    uv_thread_t thread;
    (void)state;
    assert_ok(mv_uart8250_open(&stream.uart, &irq, &chardev, &err), &err);
    struct mv_chardev_user user = mv_uart8250_user(&stream.uart);
    mv_uart8250_bus.write(&stream.uart, FCR, 1, 0x01);
    mv_uart8250_bus.write(&stream.uart, MCR, 1, RTS | OUT2);
    mv_uart8250_bus.write(&stream.uart, IER, 1, 0x03);
    assert_int_equal(uv_thread_create(&thread, stream_vcpu, &stream), 0);
    user.input(user.device); /* what came before anybody listened */
    while (!stream.ended) {  /* or the test runner's time is over */
        if (atomic_exchange(&stream.room_wanted, false))
            user.room(user.device);
        if (atomic_exchange(&stream.input_wanted, false))
            user.input(user.device);
    }
    assert_int_equal(uv_thread_join(&thread), 0);
    assert_true(stream.complete);
    user.room(user.device); /* the last byte, at the second asking */
    user.room(user.device);
    assert_true(stream.sent >= STREAM_BYTES);
    assert_int_equal(mv_uart8250_bus.read(&stream.uart, LSR, 1) & 0x20, 0x20);
    mv_uart8250_close(&stream.uart);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vcpu_and_loop_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
