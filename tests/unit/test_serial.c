/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The whole way of the serial console but for the guest: a driver that works the chip's
 * registers as Linux does, the rings, the loop's thread, the socket, and an application
 * at its other end. Ten megabytes each way at the same time, and none is lost.
 */
#include "check.h"

#include "backing/tty.h"
#include "chip/uart8250.h"
#include "os/socket.h"
#include "os/thread.h"

#include <stdlib.h>

enum { DATA = 0, IER = 1, FCR = 2, MCR = 4, LSR = 5 };
enum { LSR_DATA = 0x01, LSR_THR_EMPTY = 0x20, FIFO = 16 };
enum { TOTAL = 10 << 20 };

struct way {
    struct mv_loop loop;
    struct mv_tty tty;
    struct mv_uart8250 uart;
    uint8_t *sent, *received; /* by the driver */
};

static void line_ignored(void *controller, unsigned line, bool level)
{
    (void)controller;
    (void)line;
    (void)level; /* this driver polls */
}

/* Guest side: a burst when the transmitter is empty, what has arrived otherwise. */
static void driver_run(void *arg)
{
    struct way *way = arg;
    size_t sent = 0, received = 0;
    while (sent < TOTAL || received < TOTAL) {
        uint64_t lsr = mv_uart8250_bus.read(&way->uart, LSR, 1);
        if (lsr & LSR_DATA && received < TOTAL)
            way->received[received++] =
                (uint8_t)mv_uart8250_bus.read(&way->uart, DATA, 1);
        for (int i = 0; i < FIFO && lsr & LSR_THR_EMPTY && sent < TOTAL; i++)
            mv_uart8250_bus.write(&way->uart, DATA, 1, way->sent[sent++]);
        if (!(lsr & (LSR_DATA | LSR_THR_EMPTY)))
            uv_sleep(0); /* an exit would give the others time, too */
    }
}

/* Host side: writes `out` and fills `in`, as far as each goes. */
static void application_run(intptr_t console, const uint8_t *out, uint8_t *in)
{
    size_t written = 0, read = 0;
    microvm_error err;
    while (read < TOTAL || written < TOTAL) {
        int64_t n = read < TOTAL ? microvm_console_read(console, in + read,
                                                        TOTAL - read, 1, &err)
                                 : 0;
        read += n > 0 ? (size_t)n : 0;
        n = written < TOTAL ? microvm_console_write(console, out + written,
                                                    TOTAL - written, 1, &err)
                            : 0;
        written += n > 0 ? (size_t)n : 0;
    }
}

static void fill(uint8_t *data, unsigned seed)
{
    for (size_t i = 0; i < TOTAL; i++)
        data[i] = (uint8_t)(seed + i * 13 + (i >> 8) * 7);
}

static void close_tty(void *arg)
{
    struct way *way = arg;
    mv_tty_close(&way->tty);
}

static void ten_megabytes_each_way(void **state)
{
    static struct way way;
    const struct mv_irq irq = {.set = line_ignored};
    uint8_t *out = malloc(TOTAL), *in = malloc(TOTAL);
    intptr_t console;
    uv_thread_t driver;
    microvm_error err;
    (void)state;
    way.sent = malloc(TOTAL);
    way.received = malloc(TOTAL);
    fill(way.sent, 1);
    fill(out, 2);
    assert_ok(mv_loop_open(&way.loop, &err), &err);
    assert_ok(mv_tty_open(&way.tty, &way.loop, &err), &err);
    const struct mv_chardev host = mv_tty_chardev(&way.tty);
    assert_ok(mv_uart8250_open(&way.uart, &irq, &host, &err), &err);
    way.tty.user = mv_uart8250_user(&way.uart);
    assert_ok(mv_tty_attach(&way.tty, &console, &err), &err);
    assert_ok(mv_loop_start(&way.loop, "test", &err), &err);
    mv_uart8250_bus.write(&way.uart, FCR, 1, 0x01);
    mv_uart8250_bus.write(&way.uart, MCR, 1, 0x0b);
    mv_uart8250_bus.write(&way.uart, IER, 1, 0x01);
    assert_int_equal(mv_thread_start(&driver, driver_run, &way), 0);
    application_run(console, out, in);
    assert_int_equal(uv_thread_join(&driver), 0);
    assert_memory_equal(in, way.sent, TOTAL);
    assert_memory_equal(way.received, out, TOTAL);
    microvm_console_close(console);
    mv_loop_run(&way.loop, close_tty, &way);
    mv_loop_close(&way.loop);
    mv_uart8250_close(&way.uart);
    free(way.sent);
    free(way.received);
    free(out);
    free(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_megabytes_each_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
