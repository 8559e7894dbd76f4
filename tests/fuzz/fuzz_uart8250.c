/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A guest that accesses the serial port at random, and a host that gives room and input
 * at random; in between the chip is saved and goes on in a fresh one. The line says
 * what IIR says, FIFOs do not overflow, nothing waits in vain, no byte is sent twice.
 */
#include "fuzz.h"

#include "around.h"
#include "chip/uart8250.h"

enum { IIR = 2, LSR = 5 };
enum { OUT2 = 8, LOOP = 16 };

struct port {
    struct mv_uart8250 uart[2]; /* the one that runs, and where it goes on */
    struct around_line line[2];
    unsigned now;
    struct around_host host;
    size_t written;
};

static void port_open(struct port *port, unsigned which)
{
    struct mv_irq irq = around_irq(&port->line[which]);
    struct mv_chardev chardev = around_chardev(&port->host);
    port->line[which] = (struct around_line){.level = false};
    MV_ASSERT(mv_uart8250_open(&port->uart[which], &irq, &chardev, NULL) == 0);
}

static void port_check(const struct port *port)
{
    const struct mv_uart8250_regs *regs = &port->uart[port->now].regs;
    MV_ASSERT(port->line[port->now].level == port->uart[port->now].level);
    MV_ASSERT(regs->rx.count <= MV_UART8250_FIFO);
    MV_ASSERT(regs->tx.count <= MV_UART8250_FIFO);
    MV_ASSERT(regs->tx.count == 0 || port->host.room == 0);
    MV_ASSERT(port->host.out_length + regs->tx.count <= port->written);
}

/* What the guest is told by the line and by reading is the same. */
static void port_ask(struct port *port)
{
    struct mv_uart8250 *uart = &port->uart[port->now];
    bool gated = (uart->regs.mcr & (OUT2 | LOOP)) != OUT2;
    bool sent = uart->regs.tx.count == 0;
    uint64_t lsr = mv_uart8250_bus.read(uart, LSR, 1);
    MV_ASSERT((lsr & 0x60) == (sent ? 0x60 : 0));
    MV_ASSERT((lsr & 1) == (uart->regs.rx.count > 0));
    bool level = port->line[port->now].level;
    bool none = mv_uart8250_bus.read(uart, IIR, 1) & 1;
    MV_ASSERT(level == (!gated && !none));
}

static void port_move(struct port *port)
{
    unsigned from = port->now, to = !port->now;
    struct mv_writer w;
    mv_writer_open(&w, 256);
    mv_uart8250_save(&port->uart[from], &w);
    MV_ASSERT(!w.failed);
    struct mv_reader r = {.data = w.data, .length = w.length};
    port_open(port, to);
    MV_ASSERT(mv_uart8250_load(&port->uart[to], &r, MV_UART8250_STATE_VERSION, NULL) ==
              0);
    MV_ASSERT(port->line[to].level == port->line[from].level);
    mv_writer_close(&w);
    mv_uart8250_close(&port->uart[from]);
    port->now = to;
}

static void port_step(struct port *port, struct fuzz *in)
{
    struct mv_uart8250 *uart = &port->uart[port->now];
    struct mv_chardev_user user = mv_uart8250_user(uart);
    uint8_t what = fuzz8(in);
    unsigned size = 1u << (what >> 3 & 3), offset = (what >> 5) & (8 - size);
    uint64_t value = 0;
    switch (what & 7) {
    case 0:
        port->host.room = fuzz8(in) % 64;
        user.room(user.device);
        break;
    case 1:
        value = fuzz8(in);
        port->host.in_length = MV_MIN(value, fuzz_left(in));
        port->host.in = in->data;
        user.input(user.device);
        break;
    case 2:
        port_move(port);
        break;
    case 3:
        port_ask(port);
        break;
    case 4:
    case 5:
        (void)mv_uart8250_bus.read(uart, offset, size);
        break;
    default:
        fuzz_bytes(in, &value, size);
        mv_uart8250_bus.write(uart, offset, size, value);
        port->written += offset == 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct fuzz in = {data, length};
    struct port port = {.host.room = 0};
    port_open(&port, 0);
    while (fuzz_left(&in)) {
        port_step(&port, &in);
        port_check(&port);
    }
    mv_uart8250_close(&port.uart[port.now]);
    return 0;
}
