/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The serial port: what drivers look for, interrupts and their priorities, nothing lost
 * either way, every register at every width, saved and loaded anywhere.
 */
#include "around.h"
#include "check.h"

#include "chip/uart8250.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };
enum { FCR = IIR };
enum { DTR = 1, RTS = 2, OUT1 = 4, OUT2 = 8, LOOP = 16 };

struct port {
    struct mv_uart8250 uart;
    struct around_line line;
    struct around_host host;
};

static void port_open(struct port *port)
{
    microvm_error err;
    *port = (struct port){.host.room = SIZE_MAX};
    struct mv_irq irq = around_irq(&port->line);
    struct mv_chardev chardev = around_chardev(&port->host);
    assert_ok(mv_uart8250_open(&port->uart, &irq, &chardev, &err), &err);
}

static int setup(void **state)
{
    static struct port port;
    port_open(&port);
    *state = &port;
    return 0;
}

static int teardown(void **state)
{
    struct port *port = *state;
    mv_uart8250_close(&port->uart);
    return 0;
}

static uint8_t in(struct port *port, unsigned offset)
{
    return (uint8_t)mv_uart8250_bus.read(&port->uart, offset, 1);
}

static void out(struct port *port, unsigned offset, uint8_t value)
{
    mv_uart8250_bus.write(&port->uart, offset, 1, value);
}

static void type(struct port *port, const char *text)
{
    struct mv_chardev_user user = mv_uart8250_user(&port->uart);
    port->host.in = (const uint8_t *)text;
    port->host.in_length = strlen(text);
    user.input(user.device);
}

static void make_room(struct port *port, size_t room)
{
    struct mv_chardev_user user = mv_uart8250_user(&port->uart);
    port->host.room = room;
    user.room(user.device);
}

static void registers_after_power_on(void **state)
{
    struct port *port = *state;
    const uint8_t expected[] = {0, 0, 0x01, 0, 0, 0x60, 0xb0, 0};
    for (unsigned i = 0; i < MV_UART8250_SIZE; i++)
        assert_int_equal(in(port, i), expected[i]);
    assert_false(port->line.level);
}

/* drivers/tty/serial/8250: autoconfig, autoconfig_16550a. */
static void linux_finds_a_16550a(void **state)
{
    struct port *port = *state;
    out(port, IER, 0);
    assert_int_equal(in(port, IER) & 0x0f, 0);
    out(port, IER, 0x0f);
    assert_int_equal(in(port, IER) & 0x0f, 0x0f);
    out(port, IER, 0);
    out(port, MCR, LOOP | OUT2 | RTS);
    assert_int_equal(in(port, MSR) & 0xf0, 0x90);
    out(port, MCR, 0);
    out(port, LCR, 0xbf); /* an extended register here would make it a 16650 */
    assert_int_not_equal(in(port, IIR), 0);
    out(port, FCR, 0);
    out(port, LCR, 0);
    out(port, FCR, 1);
    assert_int_equal(in(port, IIR) >> 6, 3); /* 16550A */
    out(port, FCR, 0x21);
    assert_int_equal(in(port, IIR) >> 5 & 1, 0); /* no 64-byte FIFO: not a 16750 */
    out(port, IER, 0x40);
    assert_int_equal(in(port, IER) & 0x40, 0); /* no XScale */
    out(port, FCR, 0);
    assert_int_equal(in(port, IIR) >> 6, 0);
}

/* serial8250_do_startup: does the transmitter's interrupt come again when it is enabled
 * again, and does it come at all? */
static void linux_finds_no_transmitter_bug(void **state)
{
    struct port *port = *state;
    for (int i = 0; i < 2; i++) {
        out(port, IER, 0x02);
        assert_int_equal(in(port, IIR), 0x02);
        assert_int_equal(in(port, IIR), 0x01); /* reading took it back */
        out(port, IER, 0);
    }
    assert_int_equal(in(port, LSR), 0x60);
}

static void divisor_and_scratch(void **state)
{
    struct port *port = *state;
    out(port, IER, 0x05);
    out(port, LCR, 0x83);
    out(port, DATA, 0x34);
    out(port, IER, 0x12);
    out(port, SCR, 0x56);
    assert_int_equal(in(port, DATA), 0x34);
    assert_int_equal(in(port, IER), 0x12);
    out(port, LCR, 0x03);
    assert_int_equal(in(port, IER), 0x05);
    assert_int_equal(in(port, SCR), 0x56);
    assert_int_equal(in(port, LCR), 0x03);
    assert_int_equal(port->host.out_length, 0);
}

static void sending_is_done_at_once(void **state)
{
    struct port *port = *state;
    out(port, FCR, 0x01);
    out(port, MCR, OUT2);
    for (unsigned i = 0; i < 40; i++) {
        out(port, DATA, (uint8_t)('A' + i));
        assert_int_equal(in(port, LSR), 0x60);
    }
    assert_int_equal(port->host.out_length, 40);
    assert_memory_equal(port->host.out, "ABCDEFGH", 8);
    out(port, IER, 0x02);
    assert_true(port->line.level);
    assert_int_equal(in(port, IIR), 0xc2);
    assert_false(port->line.level);
    out(port, DATA, 'x'); /* gone, so THR is empty again */
    assert_true(port->line.level);
    out(port, DATA, 'y');
    assert_int_equal(port->line.rises, 2);
}

static void output_waits_for_room(void **state)
{
    struct port *port = *state;
    out(port, FCR, 0x01);
    out(port, MCR, OUT2);
    out(port, IER, 0x02);
    (void)in(port, IIR);
    port->host.room = 2;
    for (unsigned i = 0; i < 18; i++)
        out(port, DATA, (uint8_t)('a' + i));
    assert_int_equal(in(port, LSR), 0);
    assert_int_equal(in(port, IIR), 0xc1);
    make_room(port, 10);
    assert_int_equal(in(port, LSR), 0); /* THRE: the FIFO is empty, not "has room" */
    assert_false(port->line.level);
    make_room(port, 6);
    assert_int_equal(in(port, LSR), 0x60);
    assert_true(port->line.level);
    assert_int_equal(port->host.out_length, 18);
    assert_memory_equal(port->host.out, "abcdefghijklmnopqr", 18);
}

static void a_driver_that_does_not_wait_loses(void **state)
{
    struct port *port = *state;
    port->host.room = 0;
    for (unsigned i = 0; i < 20; i++)
        out(port, DATA, (uint8_t)('a' + i));
    make_room(port, 100);
    assert_int_equal(port->host.out_length, MV_UART8250_FIFO);
    out(port, DATA, '!');
    assert_memory_equal(port->host.out, "abcdefghijklmnop!", 17);
}

static void fifo_reset_drops_what_waits(void **state)
{
    struct port *port = *state;
    out(port, FCR, 0x01);
    port->host.room = 0;
    out(port, DATA, 'a');
    out(port, FCR, 0x04); /* without the enable bit: only disables, which clears too */
    assert_int_equal(in(port, LSR), 0x60);
    out(port, FCR, 0x01);
    out(port, DATA, 'b');
    assert_int_equal(in(port, LSR), 0);
    out(port, FCR, 0x03);
    assert_int_equal(in(port, LSR), 0);
    out(port, FCR, 0x05);
    assert_int_equal(in(port, LSR), 0x60);
    make_room(port, 10);
    assert_int_equal(port->host.out_length, 0);
}

static void receives_with_trigger_levels(void **state)
{
    struct port *port = *state;
    static const uint8_t trigger[] = {1, 4, 8, 14};
    out(port, MCR, RTS | OUT2);
    out(port, IER, 0x01);
    for (unsigned level = 0; level < 4; level++) {
        out(port, FCR, (uint8_t)(0x01 | level << 6));
        type(port, "0123456789abcdefghijk");
        assert_true(port->line.level);
        for (unsigned left = MV_UART8250_FIFO; left > 0; left--) {
            assert_int_equal(in(port, IIR), left >= trigger[level] ? 0xc4 : 0xcc);
            assert_int_equal(in(port, LSR), 0x61);
            assert_int_equal(in(port, DATA), "fedcba9876543210"[left - 1]);
        }
        assert_int_equal(port->host.in_length, 0); /* refilled as it ran empty */
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(in(port, DATA), 'g' + i);
        assert_int_equal(in(port, LSR), 0x60);
        assert_int_equal(in(port, IIR), 0xc1);
        assert_false(port->line.level);
        assert_int_equal(in(port, DATA), 0);
    }
}

static void without_fifos_one_byte_at_a_time(void **state)
{
    struct port *port = *state;
    out(port, MCR, RTS | OUT2);
    out(port, IER, 0x01);
    type(port, "xyz");
    assert_int_equal(port->host.in_length, 2);
    assert_int_equal(in(port, IIR), 0x04);
    assert_int_equal(in(port, DATA), 'x');
    assert_true(port->line.level);
    out(port, FCR, 0x01); /* enabling the FIFOs keeps what waits */
    assert_int_equal(in(port, DATA), 'y');
    assert_int_equal(in(port, DATA), 'z');
}

/* What was typed before the driver is ready is not thrown away by autoconfig and
 * serial8250_do_startup, which reset the FIFOs and read RBR "for luck". */
static void setting_up_loses_no_input(void **state)
{
    struct port *port = *state;
    type(port, "echo hello\n");
    out(port, IER, 0x0f);
    (void)in(port, LSR);
    out(port, IER, 0);
    for (uint8_t i = 0; i < 2; i++) {
        out(port, FCR, 0x01);
        out(port, FCR, 0x07);
        out(port, FCR, 0x00);
        (void)in(port, LSR);
        (void)in(port, DATA);
        (void)in(port, IIR);
        (void)in(port, MSR);
        out(port, MCR, OUT2);
    }
    out(port, IER, 0x05); /* set_termios: interrupts, then FIFOs, then RTS */
    out(port, FCR, 0x01);
    out(port, FCR, 0x81);
    out(port, MCR, DTR | RTS | OUT2);
    assert_true(port->line.level);
    for (const char *c = "echo hello\n"; *c; c++)
        assert_int_equal(in(port, DATA), *c);
    assert_int_equal(in(port, LSR), 0x60);
}

static void input_waits_while_nobody_listens(void **state)
{
    struct port *port = *state;
    type(port, "abc");
    out(port, IER, 0x01); /* interrupts that OUT2 does not let through */
    out(port, MCR, DTR | LOOP | RTS);
    assert_int_equal(in(port, LSR), 0x60);
    assert_int_equal(port->host.in_length, 3);
    out(port, MCR, OUT2);
    assert_int_equal(in(port, LSR), 0x61);
    assert_int_equal(port->host.in_length, 2);
}

static void loopback_connects_the_modem_lines(void **state)
{
    struct port *port = *state;
    (void)in(port, MSR);
    const uint8_t expected[16] = {0x00, 0x20, 0x10, 0x30, 0x40, 0x60, 0x50, 0x70,
                                  0x80, 0xa0, 0x90, 0xb0, 0xc0, 0xe0, 0xd0, 0xf0};
    for (uint8_t i = 0; i < 16; i++) {
        out(port, MCR, LOOP | i);
        assert_int_equal(in(port, MCR), LOOP | i);
        assert_int_equal(in(port, MSR) & 0xf0, expected[i]);
        assert_int_equal(in(port, MSR), expected[i]); /* deltas are read once */
    }
    out(port, MCR, LOOP | OUT1);
    (void)in(port, MSR);
    out(port, MCR, LOOP | DTR);
    assert_int_equal(in(port, MSR), 0x26); /* DSR changed, RI has ended */
    out(port, MCR, LOOP | DTR | OUT1);
    assert_int_equal(in(port, MSR), 0x60); /* RI's leading edge is no event */
}

static void loopback_receives_what_it_sends(void **state)
{
    struct port *port = *state;
    out(port, MCR, LOOP | OUT2);
    out(port, FCR, 0x01);
    out(port, IER, 0x0f);
    for (unsigned i = 0; i < 17; i++)
        out(port, DATA, (uint8_t)i);
    assert_int_equal(in(port, IIR), 0xc6); /* line status first: overrun */
    assert_int_equal(in(port, LSR), 0x63);
    assert_int_equal(in(port, IIR), 0xc4); /* then data */
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(in(port, DATA), i);
    assert_int_equal(in(port, IIR), 0xc2); /* then the transmitter, taken back */
    assert_int_equal(in(port, IIR), 0xc0); /* then the modem lines */
    (void)in(port, MSR);
    assert_int_equal(in(port, IIR), 0xc1);
    assert_int_equal(port->line.rises, 0); /* OUT2 does not reach its pin */
    assert_int_equal(port->host.out_length, 0);
}

static void out2_gates_the_line(void **state)
{
    struct port *port = *state;
    out(port, IER, 0x02);
    assert_false(port->line.level);
    out(port, MCR, OUT2);
    assert_true(port->line.level);
    out(port, MCR, OUT2 | LOOP);
    assert_false(port->line.level);
    out(port, MCR, OUT2);
    assert_true(port->line.level);
    out(port, IER, 0);
    assert_false(port->line.level);
}

/* A wide access is its bytes, lowest first. */
static void wide_accesses_are_bytes(void **state)
{
    struct port *wide = *state;
    struct port narrow;
    port_open(&narrow);
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (unsigned offset = 0; offset + size <= MV_UART8250_SIZE; offset++) {
            uint64_t value = 0x1b078b0141030f05u >> offset, bytes = 0;
            mv_uart8250_bus.write(&wide->uart, offset, size,
                                  value & mv_size_mask(size));
            for (unsigned i = 0; i < size; i++)
                out(&narrow, offset + i, (uint8_t)(value >> 8 * i));
            for (unsigned i = 0; i < size; i++)
                bytes |= (uint64_t)in(&narrow, offset + i) << 8 * i;
            assert_int_equal(mv_uart8250_bus.read(&wide->uart, offset, size), bytes);
        }
    }
    assert_int_equal(wide->host.out_length, narrow.host.out_length);
    mv_uart8250_close(&narrow.uart);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* One step of a guest and a host that do anything; returns what the guest saw. */
static uint8_t random_step(struct port *port, uint32_t *seed)
{
    static const char text[] = "The quick brown fox jumps over the lazy dog.";
    unsigned what = next_random(seed) % 24, offset = next_random(seed) % 8;
    uint8_t value = (uint8_t)next_random(seed);
    if (what == 0) {
        type(port, text + value % sizeof text);
    } else if (what == 1) {
        make_room(port, value % 32);
    } else if (what < 12) {
        out(port, offset, offset == LCR ? value & 0x7f : value);
    } else {
        return in(port, offset);
    }
    return 0;
}

static void saved_and_loaded_it_goes_on(void **state)
{
    struct port *old = *state;
    for (uint32_t seed = 1; seed < 400; seed++) {
        struct port new;
        struct mv_writer w;
        microvm_error err;
        uint32_t random = seed;
        for (unsigned i = 0; i < 100; i++)
            (void)random_step(old, &random);
        port_open(&new);
        new.host = old->host;
        mv_writer_open(&w, 4096);
        mv_uart8250_save(&old->uart, &w);
        assert_false(w.failed);
        struct mv_reader r = {.data = w.data, .length = w.length};
        assert_ok(mv_uart8250_load(&new.uart, &r, MV_UART8250_STATE_VERSION, &err),
                  &err);
        mv_writer_close(&w);
        assert_int_equal(new.line.level, old->line.level);
        uint32_t random_new = random;
        for (unsigned i = 0; i < 100; i++) {
            assert_int_equal(random_step(old, &random), random_step(&new, &random_new));
            assert_int_equal(new.line.level, old->line.level);
        }
        assert_int_equal(new.host.out_length, old->host.out_length);
        assert_memory_equal(new.host.out, old->host.out, sizeof new.host.out);
        mv_uart8250_close(&new.uart);
    }
    assert_int_not_equal(old->host.out_length, 0);
}

static void refuses_impossible_states(void **state)
{
    struct port *port = *state;
    struct mv_writer w;
    microvm_error err;
    mv_writer_open(&w, 4096);
    mv_uart8250_save(&port->uart, &w);
    struct mv_reader r = {.data = w.data, .length = w.length};
    assert_error(mv_uart8250_load(&port->uart, &r, 2, &err), &err, MICROVM_E_INVALID,
                 "serial port: has format 2");
    r = (struct mv_reader){.data = w.data, .length = w.length - 1};
    assert_error(mv_uart8250_load(&port->uart, &r, 1, &err), &err, MICROVM_E_INVALID,
                 "too few");
    const uint8_t at[] = {0, 2, 6, 7, 10, 11};
    for (unsigned i = 0; i < sizeof at; i++) {
        uint8_t copy[64] = {0};
        memcpy(copy, w.data, w.length);
        copy[at[i]] = 0x20;
        size_t length = w.length + (at[i] >= 10 ? 16u : 0u);
        r = (struct mv_reader){.data = copy, .length = length};
        assert_error(mv_uart8250_load(&port->uart, &r, 1, &err), &err,
                     MICROVM_E_INVALID, "no guest can give it");
    }
    mv_writer_close(&w);
}

#define port_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        port_test(registers_after_power_on),
        port_test(linux_finds_a_16550a),
        port_test(linux_finds_no_transmitter_bug),
        port_test(divisor_and_scratch),
        port_test(sending_is_done_at_once),
        port_test(output_waits_for_room),
        port_test(a_driver_that_does_not_wait_loses),
        port_test(fifo_reset_drops_what_waits),
        port_test(receives_with_trigger_levels),
        port_test(without_fifos_one_byte_at_a_time),
        port_test(setting_up_loses_no_input),
        port_test(input_waits_while_nobody_listens),
        port_test(loopback_connects_the_modem_lines),
        port_test(loopback_receives_what_it_sends),
        port_test(out2_gates_the_line),
        port_test(wide_accesses_are_bytes),
        port_test(saved_and_loaded_it_goes_on),
        port_test(refuses_impossible_states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
