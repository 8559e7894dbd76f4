/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The motherboard: chips on the two buses, interrupt lines, and the upcalls through
 * which the hypervisor reaches them. Fixed before the first vCPU runs.
 */
#include "machine/hv/hv_machine.h"

#include "util/bytes.h"

/* ---- interrupt lines: the hypervisor's on rung 3, our I/O APIC's on rung 2 ------- */

static void line_set(void *controller, unsigned line, bool level)
{
    struct hv_machine *m = controller;
    m->hv->irq_line(m->vm, line, level);
}

static void line_pulse(void *controller, unsigned line)
{
    struct hv_machine *m = controller;
    m->hv->irq_line(m->vm, line, true);
    m->hv->irq_line(m->vm, line, false);
}

struct mv_irq hv_board_irq(struct hv_machine *m, unsigned gsi)
{
    if (m->rung == MV_RUNG_FULL)
        return (struct mv_irq){line_set, line_pulse, m, gsi};
    return mv_ioapic_pin(&m->ioapic, gsi);
}

static void ioapic_msi(void *ctx, uint64_t address, uint32_t data)
{
    struct hv_machine *m = ctx;
    m->hv->irq_msi(m->vm, address, data);
}

static void ioapic_changed(void *ctx, const struct mv_ioapic_route *from)
{
    struct hv_machine *m = ctx;
    struct mv_hv_route route[MV_IOAPIC_PINS];
    for (unsigned i = 0; i < MV_IOAPIC_PINS; i++)
        route[i] = (struct mv_hv_route){.address = from[i].address,
                                        .data = from[i].data,
                                        .masked = from[i].masked,
                                        .level = from[i].level};
    microvm_error err;
    if (m->hv->irq_routes && m->hv->irq_routes(m->vm, route, MV_IOAPIC_PINS, &err))
        mv_log(&m->base.log, MICROVM_LOG_ERROR, "I/O APIC: %s", err.message);
}

static void resend_now(uv_timer_t *timer)
{
    struct hv_machine *m = timer->data;
    mv_ioapic_resend(&m->ioapic);
}

static void resend_start(void *arg)
{
    struct hv_machine *m = arg;
    uv_timer_t *timer = &m->resend.timer;
    if (!uv_is_active((const uv_handle_t *)timer))
        (void)uv_timer_start(timer, resend_now, MV_IOAPIC_PAUSE_MS, 0);
}

static void ioapic_later(void *ctx)
{
    struct hv_machine *m = ctx;
    mv_loop_post(&m->base.loop, &m->resend.start);
}

static void resend_open(struct hv_machine *m)
{
    m->resend.start = (struct mv_call){.fn = resend_start, .arg = m};
    (void)uv_timer_init(&m->base.loop.uv, &m->resend.timer); /* cannot fail */
    m->resend.timer.data = m;
}

static void resend_close(struct hv_machine *m)
{
    mv_loop_cancel(&m->base.loop, &m->resend.start);
    uv_close((uv_handle_t *)&m->resend.timer, NULL);
}

/* ---- what chips ask of the machine, on vCPU threads ------------------------------ */

static void board_power_off(void *ctx)
{
    hv_vcpus_quit(ctx, MICROVM_EXIT_POWER_OFF, "the guest powered itself off");
}

static void board_reset(void *ctx)
{
    struct hv_machine *m = ctx;
    int reason = hv_boot_reset_reason(m, false);
    hv_vcpus_quit(m, reason,
                  reason == MICROVM_EXIT_PANIC ? "the guest's kernel panicked"
                                               : "the guest reset itself");
}

static uint64_t board_clock(void *ctx)
{
    uv_timeval64_t now = {0, 0};
    (void)ctx;
    (void)uv_gettimeofday(&now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_usec * 1000u;
}

/* ---- upcalls --------------------------------------------------------------------- */

static uint64_t up_pio_read(void *ctx, uint16_t port, unsigned size)
{
    struct hv_machine *m = ctx;
    uint64_t value;
    (void)mv_bus_read(&m->pio, port, size, &value);
    return value;
}

static void up_pio_write(void *ctx, uint16_t port, unsigned size, uint64_t value)
{
    struct hv_machine *m = ctx;
    if (port == MV_X86_PORT_SERIAL)
        hv_serial_written(m);
    (void)mv_bus_write(&m->pio, port, size, value);
}

static uint64_t up_mmio_read(void *ctx, uint64_t gpa, unsigned size)
{
    struct hv_machine *m = ctx;
    uint64_t value;
    (void)mv_bus_read(&m->mmio, gpa, size, &value);
    return value;
}

static void up_mmio_write(void *ctx, uint64_t gpa, unsigned size, uint64_t value)
{
    struct hv_machine *m = ctx;
    (void)mv_bus_write(&m->mmio, gpa, size, value);
}

static void up_eoi(void *ctx, uint8_t vector)
{
    struct hv_machine *m = ctx;
    mv_ioapic_eoi(&m->ioapic, vector);
}

const struct mv_hv_up hv_board_up = {
    .pio_read = up_pio_read,
    .pio_write = up_pio_write,
    .mmio_read = up_mmio_read,
    .mmio_write = up_mmio_write,
    .eoi = up_eoi,
};

/* ---- the board ------------------------------------------------------------------- */

static int board_wire(struct hv_machine *m, microvm_error *err)
{
    const struct place {
        struct mv_bus *bus;
        uint64_t base, size;
        const struct mv_bus_ops *ops;
        void *chip;
        bool there;
    } place[] = {
        {&m->pio, MV_X86_PORT_SERIAL, MV_UART8250_SIZE, &mv_uart8250_bus, &m->uart,
         m->base.config.console == MV_CONSOLE_SERIAL},
        {&m->pio, MV_X86_PORT_I8042, MV_I8042_SIZE, &mv_i8042_data_bus, &m->i8042,
         true},
        {&m->pio, MV_X86_PORT_I8042 + MV_I8042_COMMAND, MV_I8042_SIZE,
         &mv_i8042_command_bus, &m->i8042, true},
        {&m->pio, MV_X86_PORT_RTC, MV_RTC_SIZE, &mv_rtc_bus, &m->rtc, true},
        {&m->pio, MV_X86_PORT_DEBUG, MV_DEBUGPORT_SIZE, &mv_debugport_bus,
         &m->debugport, true},
        {&m->mmio, MV_X86_POWER, MV_POWER_SIZE, &mv_power_bus, &m->power, true},
        {&m->mmio, MV_X86_IOAPIC, MV_IOAPIC_SIZE, &mv_ioapic_bus, &m->ioapic,
         m->rung == MV_RUNG_LOCAL},
    };
    for (unsigned i = 0; i < MV_ARRAY_LEN(place); i++) {
        const struct place *p = &place[i];
        int rc =
            p->there ? mv_bus_add(p->bus, p->base, p->size, p->ops, p->chip, err) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

/* Ports that Linux writes to and nobody here listens: the 8254 timer, which it stops at
 * the start, and port 0x80, which it writes to in order to wait a little. */
static void board_mute(struct hv_machine *m)
{
    if (!m->hv->pio_mute)
        return;
    m->hv->pio_mute(m->vm, 0x40, 4);
    m->hv->pio_mute(m->vm, 0x80, 1);
}

static int board_open_chips(struct hv_machine *m, microvm_error *err)
{
    const struct mv_ioapic_host controller = {ioapic_msi, ioapic_changed, ioapic_later,
                                              m};
    struct mv_chardev host = mv_tty_chardev(&m->tty);
    int rc = mv_ioapic_open(&m->ioapic, &controller, err);
    if (rc)
        return rc;
    if ((rc = mv_tty_open(&m->tty, &m->base.loop, err)))
        goto fail_ioapic;
    struct mv_irq serial = hv_board_irq(m, MV_X86_GSI_SERIAL);
    if ((rc = mv_uart8250_open(&m->uart, &serial, &host, err)))
        goto fail_tty;
    if ((rc = mv_rtc_open(&m->rtc, board_clock, NULL, err)))
        goto fail_uart;
    if (m->base.config.console == MV_CONSOLE_SERIAL)
        m->tty.user = mv_uart8250_user(&m->uart);
    return 0;

fail_uart:
    mv_uart8250_close(&m->uart);
fail_tty:
    mv_tty_close(&m->tty);
fail_ioapic:
    mv_ioapic_close(&m->ioapic);
    return rc;
}

int hv_board_open(struct hv_machine *m, microvm_error *err)
{
    m->i8042 = (struct mv_i8042){.reset = board_reset, .ctx = m};
    int rc = board_open_chips(m, err);
    if (rc)
        return rc;
    m->power = (struct mv_power){.irq = hv_board_irq(m, MV_X86_GSI_POWER),
                                 .off = board_power_off,
                                 .reset = board_reset,
                                 .ctx = m};
    hv_serial_open(m);
    resend_open(m);
    rc = board_wire(m, err);
    if (rc)
        hv_board_close(m);
    else
        board_mute(m);
    return rc;
}

void hv_board_close(struct hv_machine *m)
{
    resend_close(m);
    hv_serial_close(m);
    mv_rtc_close(&m->rtc);
    mv_uart8250_close(&m->uart);
    mv_tty_close(&m->tty);
    mv_ioapic_close(&m->ioapic);
}
