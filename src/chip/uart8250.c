/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The registers of the serial port. Every access goes the same way: lock, move bytes
 * and bits, then tell the line if its level changed. Section numbers are the data
 * sheet's.
 */
#include "chip/uart8250.h"

#include "chip/narrow.h"
#include "os/error.h"
#include "util/bytes.h"

/* Registers, table II; some ports are two of them. */
enum {
    UART_DATA = 0, /* RBR, THR; with DLAB DLL */
    UART_IER = 1,  /* with DLAB DLM */
    UART_IIR = 2,  /* written: FCR */
    UART_LCR = 3,
    UART_MCR = 4,
    UART_LSR = 5,
    UART_MSR = 6,
    UART_SCR = 7
};

enum {
    IER_RX = 1 << 0,
    IER_TX = 1 << 1,
    IER_LINE = 1 << 2,
    IER_MODEM = 1 << 3,
    IER_ALL = 0x0f
};

enum { /* 8.5: bits 0 to 3, in order of priority; bits 6 and 7 */
       IIR_LINE = 0x06,
       IIR_RX = 0x04,
       IIR_RX_TIMEOUT = 0x0c,
       IIR_TX = 0x02,
       IIR_MODEM = 0x00,
       IIR_NONE = 0x01,
       IIR_FIFO = 0xc0
};

enum {
    FCR_ENABLE = 1 << 0,
    FCR_CLEAR_RX = 1 << 1,
    FCR_CLEAR_TX = 1 << 2,
    FCR_TRIGGER = 0xc0
};

enum { LCR_DLAB = 1 << 7 };

enum {
    MCR_DTR = 1 << 0,
    MCR_RTS = 1 << 1,
    MCR_OUT1 = 1 << 2,
    MCR_OUT2 = 1 << 3,
    MCR_LOOP = 1 << 4,
    MCR_ALL = 0x1f
};

enum {
    LSR_DATA = 1 << 0,
    LSR_OVERRUN = 1 << 1,
    LSR_THR_EMPTY = 1 << 5,
    LSR_TX_EMPTY = 1 << 6
};

enum {
    MSR_DELTA = 0x0f,
    MSR_RI_ENDED = 1 << 2, /* the delta bit of RI tells its trailing edge only */
    MSR_CTS = 1 << 4,
    MSR_DSR = 1 << 5,
    MSR_RI = 1 << 6,
    MSR_DCD = 1 << 7
};

/* -- the parts ------------------------------------------------------------------- */

static uint8_t fifo_take(struct mv_uart8250_fifo *fifo)
{
    if (fifo->count == 0)
        return 0;
    uint8_t value = fifo->data[0];
    memmove(fifo->data, fifo->data + 1, --fifo->count);
    return value;
}

/* How many received bytes there is room for: one without FIFOs (RBR). */
static uint8_t uart_rx_depth(const struct mv_uart8250_regs *regs)
{
    return regs->fcr & FCR_ENABLE ? MV_UART8250_FIFO : 1;
}

static bool uart_listens(const struct mv_uart8250_regs *regs)
{
    if (regs->mcr & MCR_LOOP)
        return false;
    return (regs->mcr & MCR_RTS) || ((regs->mcr & MCR_OUT2) && (regs->ier & IER_RX));
}

/* Fetches input when the last of what there was is gone: the host's end then has been
 * asked until it had nothing, and so will call when it has. */
static void uart_receive(struct mv_uart8250 *uart)
{
    struct mv_uart8250_regs *regs = &uart->regs;
    if (regs->rx.count == 0 && uart_listens(regs))
        regs->rx.count =
            (uint8_t)uart->host.get(uart->host.ctx, regs->rx.data, uart_rx_depth(regs));
}

/* Offers the host's end what waits. */
static void uart_send(struct mv_uart8250 *uart)
{
    struct mv_uart8250_fifo *tx = &uart->regs.tx;
    if (tx->count == 0)
        return;
    size_t taken = uart->host.put(uart->host.ctx, tx->data, tx->count);
    tx->count = (uint8_t)(tx->count - taken);
    memmove(tx->data, tx->data + taken, tx->count);
    if (tx->count == 0)
        uart->regs.thr_emptied = true;
}

/* 8.6.4, bit 4: in loopback the outputs are the inputs. Else a host that is always
 * there and ready. */
static uint8_t uart_modem_inputs(uint8_t mcr)
{
    if (!(mcr & MCR_LOOP))
        return MSR_DCD | MSR_DSR | MSR_CTS;
    return (uint8_t)((mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
                     (mcr & MCR_OUT1 ? MSR_RI : 0) | (mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static uint8_t uart_iir(const struct mv_uart8250_regs *regs)
{
    static const uint8_t trigger[] = {1, 4, 8, 14};
    if ((regs->ier & IER_LINE) && regs->overrun)
        return IIR_LINE;
    if ((regs->ier & IER_RX) && regs->rx.count > 0)
        return regs->fcr & FCR_ENABLE && regs->rx.count < trigger[regs->fcr >> 6]
                   ? IIR_RX_TIMEOUT
                   : IIR_RX;
    if ((regs->ier & IER_TX) && regs->thr_emptied)
        return IIR_TX;
    if ((regs->ier & IER_MODEM) && regs->msr_delta)
        return IIR_MODEM;
    return IIR_NONE;
}

/* In loopback OUT2 does not reach its pin. */
static void uart_update_line(struct mv_uart8250 *uart)
{
    const struct mv_uart8250_regs *regs = &uart->regs;
    bool level =
        (regs->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2 && uart_iir(regs) != IIR_NONE;
    if (level == uart->level)
        return;
    uart->level = level;
    mv_irq_set(&uart->irq, level);
}

/* -- registers that do more than keep a value ----------------------------- */

static void uart_write_thr(struct mv_uart8250 *uart, uint8_t value)
{
    struct mv_uart8250_regs *regs = &uart->regs;
    if (regs->mcr & MCR_LOOP) {
        if (regs->rx.count < uart_rx_depth(regs))
            regs->rx.data[regs->rx.count++] = value;
        else
            regs->overrun = true;
        regs->thr_emptied = true;
        return;
    }
    regs->thr_emptied = false;
    if (regs->tx.count < MV_UART8250_FIFO)
        regs->tx.data[regs->tx.count++] = value;
    uart_send(uart);
}

static uint8_t uart_read_rbr(struct mv_uart8250 *uart)
{
    uint8_t value = fifo_take(&uart->regs.rx);
    uart_receive(uart);
    return value;
}

/* 8.4: enabling the transmitter's interrupt while THR is empty raises it. */
static void uart_write_ier(struct mv_uart8250 *uart, uint8_t value)
{
    struct mv_uart8250_regs *regs = &uart->regs;
    if ((value & ~regs->ier & IER_TX) && regs->tx.count == 0)
        regs->thr_emptied = true;
    regs->ier = value & IER_ALL;
    uart_receive(uart);
}

/* 8.5: reading it takes back the transmitter's interrupt, if it is the one told. */
static uint8_t uart_read_iir(struct mv_uart8250_regs *regs)
{
    uint8_t iir = uart_iir(regs);
    if (iir == IIR_TX)
        regs->thr_emptied = false;
    return iir | (regs->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

/* 8.4: without the enable bit the others are not programmed. Disabling clears both
 * FIFOs; enabling them keeps the byte that waits in RBR. */
static void uart_write_fcr(struct mv_uart8250 *uart, uint8_t value)
{
    struct mv_uart8250_regs *regs = &uart->regs;
    bool enable = value & FCR_ENABLE, disabled = !enable && (regs->fcr & FCR_ENABLE);
    if (disabled || (enable && (value & FCR_CLEAR_RX)))
        regs->rx.count = 0;
    if ((disabled || (enable && (value & FCR_CLEAR_TX))) && regs->tx.count > 0) {
        regs->tx.count = 0;
        regs->thr_emptied = true;
    }
    regs->fcr = enable ? value & (FCR_ENABLE | FCR_TRIGGER) : 0;
    uart_receive(uart);
}

static void uart_write_mcr(struct mv_uart8250 *uart, uint8_t value)
{
    struct mv_uart8250_regs *regs = &uart->regs;
    uint8_t before = uart_modem_inputs(regs->mcr), after = uart_modem_inputs(value);
    uint8_t delta = (uint8_t)((before ^ after) >> 4);
    if (after & MSR_RI)
        delta &= (uint8_t)~MSR_RI_ENDED;
    regs->msr_delta |= delta;
    regs->mcr = value & MCR_ALL;
    uart_receive(uart);
}

static uint8_t uart_read_lsr(struct mv_uart8250_regs *regs)
{
    uint8_t lsr = regs->tx.count == 0 ? LSR_THR_EMPTY | LSR_TX_EMPTY : 0;
    if (regs->rx.count > 0)
        lsr |= LSR_DATA;
    if (regs->overrun)
        lsr |= LSR_OVERRUN;
    regs->overrun = false;
    return lsr;
}

static uint8_t uart_read_msr(struct mv_uart8250_regs *regs)
{
    uint8_t msr = uart_modem_inputs(regs->mcr) | regs->msr_delta;
    regs->msr_delta = 0;
    return msr;
}

/* -- the bus's side ------------------------------------------------------- */

static uint8_t uart_read_register(struct mv_uart8250 *uart, uint64_t offset)
{
    struct mv_uart8250_regs *regs = &uart->regs;
    bool dlab = regs->lcr & LCR_DLAB;
    switch (offset) {
    case UART_DATA:
        return dlab ? regs->dll : uart_read_rbr(uart);
    case UART_IER:
        return dlab ? regs->dlm : regs->ier;
    case UART_IIR:
        return uart_read_iir(regs);
    case UART_LCR:
        return regs->lcr;
    case UART_MCR:
        return regs->mcr;
    case UART_LSR:
        return uart_read_lsr(regs);
    case UART_MSR:
        return uart_read_msr(regs);
    case UART_SCR:
        return regs->scr;
    default:
        return 0xff;
    }
}

static void uart_write_register(struct mv_uart8250 *uart, uint64_t offset,
                                uint8_t value)
{
    struct mv_uart8250_regs *regs = &uart->regs;
    bool dlab = regs->lcr & LCR_DLAB;
    switch (offset) {
    case UART_DATA:
        if (dlab)
            regs->dll = value;
        else
            uart_write_thr(uart, value);
        break;
    case UART_IER:
        if (dlab)
            regs->dlm = value;
        else
            uart_write_ier(uart, value);
        break;
    case UART_IIR:
        uart_write_fcr(uart, value);
        break;
    case UART_LCR:
        regs->lcr = value;
        break;
    case UART_MCR:
        uart_write_mcr(uart, value);
        break;
    case UART_SCR:
        regs->scr = value;
        break;
    default: /* LSR and MSR: for the factory's tests, 8.6.3 */
        break;
    }
}

static uint8_t uart_read8(void *chip, uint64_t offset)
{
    struct mv_uart8250 *uart = chip;
    uv_mutex_lock(&uart->lock);
    uint8_t value = uart_read_register(uart, offset);
    uart_update_line(uart);
    uv_mutex_unlock(&uart->lock);
    return value;
}

static void uart_write8(void *chip, uint64_t offset, uint8_t value)
{
    struct mv_uart8250 *uart = chip;
    uv_mutex_lock(&uart->lock);
    uart_write_register(uart, offset, value);
    uart_update_line(uart);
    uv_mutex_unlock(&uart->lock);
}

static uint64_t uart_read(void *chip, uint64_t offset, unsigned size)
{
    return mv_narrow_read(chip, offset, size, uart_read8);
}

static void uart_write(void *chip, uint64_t offset, unsigned size, uint64_t value)
{
    mv_narrow_write(chip, offset, size, value, uart_write8);
}

const struct mv_bus_ops mv_uart8250_bus = {uart_read, uart_write};

/* -- the host's side ------------------------------------------------------ */

static void uart_room(void *device)
{
    struct mv_uart8250 *uart = device;
    uv_mutex_lock(&uart->lock);
    uart_send(uart);
    uart_update_line(uart);
    uv_mutex_unlock(&uart->lock);
}

static void uart_input(void *device)
{
    struct mv_uart8250 *uart = device;
    uv_mutex_lock(&uart->lock);
    uart_receive(uart);
    uart_update_line(uart);
    uv_mutex_unlock(&uart->lock);
}

struct mv_chardev_user mv_uart8250_user(struct mv_uart8250 *uart)
{
    return (struct mv_chardev_user){uart_room, uart_input, uart};
}

/* -- life ----------------------------------------------------------------- */

int mv_uart8250_open(struct mv_uart8250 *uart, const struct mv_irq *irq,
                     const struct mv_chardev *host, microvm_error *err)
{
    *uart = (struct mv_uart8250){.irq = *irq, .host = *host};
    int rc = uv_mutex_init(&uart->lock);
    return rc ? mv_fail_uv(err, rc, "serial port: cannot make a lock") : 0;
}

void mv_uart8250_close(struct mv_uart8250 *uart)
{
    uv_mutex_destroy(&uart->lock);
}

static void uart_save_fifo(const struct mv_uart8250_fifo *fifo, struct mv_writer *w)
{
    mv_put8(w, fifo->count);
    mv_put_bytes(w, fifo->data, fifo->count);
}

/* A count that is too large makes the whole load fail: see the check at its end. */
static void uart_load_fifo(struct mv_uart8250_fifo *fifo, struct mv_reader *r)
{
    fifo->count = mv_get8(r);
    mv_get_bytes(r, fifo->data, MV_MIN(fifo->count, MV_UART8250_FIFO));
}

void mv_uart8250_save(struct mv_uart8250 *uart, struct mv_writer *w)
{
    uv_mutex_lock(&uart->lock);
    const struct mv_uart8250_regs *regs = &uart->regs;
    mv_put8(w, regs->ier);
    mv_put8(w, regs->lcr);
    mv_put8(w, regs->mcr);
    mv_put8(w, regs->scr);
    mv_put8(w, regs->dll);
    mv_put8(w, regs->dlm);
    mv_put8(w, regs->fcr);
    mv_put8(w, regs->msr_delta);
    mv_put8(w, regs->overrun);
    mv_put8(w, regs->thr_emptied);
    uart_save_fifo(&regs->rx, w);
    uart_save_fifo(&regs->tx, w);
    uv_mutex_unlock(&uart->lock);
}

int mv_uart8250_load(struct mv_uart8250 *uart, struct mv_reader *r, uint32_t version,
                     microvm_error *err)
{
    struct mv_uart8250_regs regs = {.ier = mv_get8(r)};
    regs.lcr = mv_get8(r);
    regs.mcr = mv_get8(r);
    regs.scr = mv_get8(r);
    regs.dll = mv_get8(r);
    regs.dlm = mv_get8(r);
    regs.fcr = mv_get8(r);
    regs.msr_delta = mv_get8(r);
    uint8_t overrun = mv_get8(r), thr_emptied = mv_get8(r);
    regs.overrun = overrun;
    regs.thr_emptied = thr_emptied;
    uart_load_fifo(&regs.rx, r);
    uart_load_fifo(&regs.tx, r);
    int rc = mv_reader_check(r, "serial port", version, MV_UART8250_STATE_VERSION, err);
    if (rc)
        return rc;
    if (regs.ier > IER_ALL || regs.mcr > MCR_ALL || regs.msr_delta > MSR_DELTA ||
        overrun > 1 || thr_emptied > 1 || (regs.fcr & ~(FCR_ENABLE | FCR_TRIGGER)) ||
        regs.rx.count > MV_UART8250_FIFO || regs.tx.count > MV_UART8250_FIFO)
        return mv_fail(err, MICROVM_E_INVALID,
                       "saved state: serial port: a register has a value that no guest "
                       "can give it: the state is not from this library");
    uv_mutex_lock(&uart->lock);
    uart->regs = regs;
    uart_send(uart);
    uart_receive(uart);
    uart_update_line(uart);
    uv_mutex_unlock(&uart->lock);
    return 0;
}
