/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A serial port as on every PC: National's PC16550D (data sheet of June 1995), with
 * FIFOs, interrupts and loopback. Sending takes no time: a byte is gone as soon as the
 * host's end takes it. Nothing is lost either way:
 *
 * - Output that the host's end does not take waits in the transmit FIFO, and LSR.THRE
 * is 0 until there is room. Only a driver that writes regardless, 16 bytes on, loses.
 * - Input is taken from the host's end while the guest listens: with RTS asserted, or
 *   with receive interrupts enabled and let through (OUT2). A driver that resets the
 * port while it sets it up, as Linux does, so throws away nothing that was typed
 * before.
 *
 * As on a PC, OUT2 gates the interrupt line. The receive time-out is not waited for:
 * what is below the trigger level is reported at once, with the code of the time-out.
 *
 * Absent: baud rate and frame format (kept, without effect), line errors other than
 * overrun (which only loopback can cause), break, DMA modes.
 */
#ifndef MV_CHIP_UART8250_H
#define MV_CHIP_UART8250_H

#include "core/bus.h"
#include "core/chardev.h"
#include "core/irq.h"
#include "core/state.h"
#include "os/thread.h"

enum {
    MV_UART8250_SIZE = 8, /* ports */
    MV_UART8250_FIFO = 16,
    MV_UART8250_STATE_VERSION = 1
};

struct mv_uart8250_fifo {
    uint8_t data[MV_UART8250_FIFO];
    uint8_t count; /* data[0] is the oldest: 16 bytes are as quickly moved as counted */
};

/* What the guest has made of the chip; all of it is saved. */
struct mv_uart8250_regs {
    uint8_t ier, lcr, mcr, scr, dll, dlm;
    uint8_t fcr;       /* FIFO enable and trigger level */
    uint8_t msr_delta; /* MSR bits 0 to 3 */
    bool overrun;      /* LSR.OE */
    bool thr_emptied;  /* the transmitter's interrupt, until IIR or THR is accessed */
    struct mv_uart8250_fifo rx, tx;
};

struct mv_uart8250 {
    uv_mutex_t lock; /* vCPUs and the loop: all below */
    struct mv_uart8250_regs regs;
    bool level; /* what the line was told last */
    struct mv_irq irq;
    struct mv_chardev host;
};

extern const struct mv_bus_ops mv_uart8250_bus;

int mv_uart8250_open(struct mv_uart8250 *uart, const struct mv_irq *irq,
                     const struct mv_chardev *host, microvm_error *err);
void mv_uart8250_close(struct mv_uart8250 *uart);

/* What the host's end calls, on the loop. */
struct mv_chardev_user mv_uart8250_user(struct mv_uart8250 *uart);

/* While no vCPU runs. After load the line has the level of the loaded state. */
void mv_uart8250_save(struct mv_uart8250 *uart, struct mv_writer *w);
int mv_uart8250_load(struct mv_uart8250 *uart, struct mv_reader *r, uint32_t version,
                     microvm_error *err);

#endif
