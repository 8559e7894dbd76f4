/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * When the serial port's output is gathered. Each byte that a guest writes to THR costs
 * an exit, unless the hypervisor keeps it back until the next one (pio_gather). Linux
 * writes 16 bytes and then reads IIR, LSR and MSR: 3 exits instead of 19. Its console
 * reads LSR before each 16 bytes: 1 instead of 17.
 *
 * What is kept back must not stay there when the guest has no further exit: after a
 * last byte written blindly, or when it sleeps until the interrupt that tells that the
 * transmitter is empty. So somebody has to look from time to time, and a machine that
 * prints nothing must not be woken for that. Hence two states:
 *
 *   direct     every byte is an exit. BURST bytes within WINDOW_NS begin gathering.
 *   gathering  the loop looks every TICK_MS; after IDLE_TICKS ticks without a byte
 *              it ends gathering and its own ticking. Output goes on to the host in
 *              ticks, too: one write for what was printed in one.
 *
 * TICK_MS is about what 16 bytes take on a line of 115200 baud, so that a driver which
 * knows only the interrupt sees the port that it was written for.
 *
 * The chip knows nothing of this. Its registers are as true as before, because what was
 * written before a register is accessed comes up before that access does.
 */
#include "machine/hv/hv_machine.h"

#include "os/error.h"

enum { BURST = 16, WINDOW_NS = 10000000, TICK_MS = 2, IDLE_TICKS = 25 };

static void serial_direct(struct hv_machine *m)
{
    struct hv_serial *serial = &m->serial;
    (void)uv_timer_stop(&serial->tick);
    mv_tty_hold(&m->tty, false);
    atomic_store(&serial->count, 0);
    atomic_store(&serial->gathering, false);
}

static void serial_tick(uv_timer_t *tick)
{
    struct hv_machine *m = tick->data;
    struct hv_serial *serial = &m->serial;
    m->hv->pio_flush(m->vm);
    mv_tty_flush(&m->tty);
    unsigned count = atomic_load(&serial->count);
    serial->idle_ticks = count == serial->seen ? serial->idle_ticks + 1 : 0;
    serial->seen = count;
    if (serial->idle_ticks >= IDLE_TICKS && /* again, should it fail */
        m->hv->pio_gather(m->vm, MV_X86_PORT_SERIAL, false, NULL) == 0)
        serial_direct(m);
}

static void serial_gather(void *arg)
{
    struct hv_machine *m = arg;
    struct hv_serial *serial = &m->serial;
    microvm_error err;
    int rc = m->hv->pio_gather(m->vm, MV_X86_PORT_SERIAL, true, &err);
    if (rc) { /* stays direct, and is not asked again */
        mv_log(&m->base.log, MICROVM_LOG_DEBUG, "serial port: %s", err.message);
        return;
    }
    serial->idle_ticks = 0;
    mv_tty_hold(&m->tty, true);
    (void)uv_timer_start(&serial->tick, serial_tick, TICK_MS, TICK_MS);
}

/* `gathering` is set here and not when it has begun, so that one call is posted. The
 * count of a window need not be exact when vCPUs write at the same time. */
void hv_serial_written(struct hv_machine *m)
{
    struct hv_serial *serial = &m->serial;
    unsigned count = atomic_fetch_add(&serial->count, 1) + 1;
    if (atomic_load(&serial->gathering))
        return;
    uint64_t now_ns = uv_hrtime();
    if (now_ns - atomic_load(&serial->since_ns) > WINDOW_NS) {
        atomic_store(&serial->since_ns, now_ns);
        atomic_store(&serial->count, 1);
    } else if (count >= BURST && !atomic_exchange(&serial->gathering, true)) {
        mv_loop_post(&m->base.loop, &serial->begin);
    }
}

void hv_serial_open(struct hv_machine *m)
{
    struct hv_serial *serial = &m->serial;
    serial->begin = (struct mv_call){.fn = serial_gather, .arg = m};
    (void)uv_timer_init(&m->base.loop.uv, &serial->tick); /* cannot fail */
    serial->tick.data = m;
    /* It never begins where it cannot, or where the port is not the console and the
     * console's output is held back elsewhere. */
    bool wanted = m->base.config.console == MV_CONSOLE_SERIAL;
    atomic_store(&serial->gathering, !m->hv->pio_gather || !wanted);
}

void hv_serial_close(struct hv_machine *m)
{
    mv_loop_cancel(&m->base.loop, &m->serial.begin);
    uv_close((uv_handle_t *)&m->serial.tick, NULL);
}
