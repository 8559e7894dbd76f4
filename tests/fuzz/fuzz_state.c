/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Saved state that is anything: read as a whole state, as the payload of each chip
 * (what a chip accepts it must save again byte for byte), and written under a ceiling,
 * where what was not reported as failed must be read again.
 */
#include "fuzz.h"

#include "around.h"
#include "chip/ioapic.h"
#include "chip/power.h"
#include "chip/rtc.h"
#include "chip/uart8250.h"

static void read_anything(struct fuzz *in)
{
    struct mv_reader whole = {.data = in->data, .length = in->length}, payload;
    struct mv_section section;
    microvm_error err = {.code = 0};
    int rc;
    while ((rc = mv_reader_section(&whole, &section, &payload, &err)) == 1) {
        MV_ASSERT(payload.length <= in->length && whole.at <= in->length);
        while (!payload.failed && payload.at < payload.length)
            switch (mv_get8(&payload) % 4) {
            case 0:
                (void)mv_get16(&payload);
                break;
            case 1:
                (void)mv_get32(&payload);
                break;
            case 2:
                (void)mv_get64(&payload);
                break;
            default:
                break;
            }
        MV_ASSERT(payload.at == payload.length);
    }
    MV_ASSERT(rc == 0 ? whole.at == whole.length : err.code == rc && err.message[0]);
}

/* Sections of random bytes; the second time around they are compared. */
static void write_anything(struct fuzz *in)
{
    const struct fuzz start = *in;
    struct mv_section section;
    struct mv_reader payload;
    struct mv_writer w;
    size_t ceiling = fuzz16(in);
    mv_writer_open(&w, ceiling);
    while (fuzz_left(in)) {
        uint8_t type = fuzz8(in), instance = fuzz8(in);
        mv_writer_begin(&w, type, instance, 1);
        for (unsigned left = fuzz8(in); left > 0 && fuzz_left(in); left--)
            mv_put8(&w, fuzz8(in));
        mv_writer_end(&w);
    }
    MV_ASSERT(w.length <= ceiling);
    struct mv_reader whole = {.data = w.data, .length = w.length};
    *in = start;
    (void)fuzz16(in);
    while (!w.failed && fuzz_left(in)) {
        MV_ASSERT(mv_reader_section(&whole, &section, &payload, NULL) == 1);
        MV_ASSERT(section.type == fuzz8(in) && section.instance == fuzz8(in));
        for (unsigned left = fuzz8(in); left > 0 && fuzz_left(in); left--)
            MV_ASSERT(mv_get8(&payload) == fuzz8(in));
        MV_ASSERT(mv_reader_done(&payload));
    }
    MV_ASSERT(w.failed || mv_reader_section(&whole, &section, &payload, NULL) == 0);
    mv_writer_close(&w);
}

static void same_again(const struct fuzz *in, struct mv_writer *w)
{
    MV_ASSERT(!w->failed && w->length == in->length);
    MV_ASSERT(memcmp(w->data, in->data, w->length) == 0);
}

static void load_uart8250(const struct fuzz *in, struct mv_writer *w)
{
    struct mv_reader r = {.data = in->data, .length = in->length};
    struct around_line line = {.level = false};
    struct around_host host = {.room = 0};
    struct mv_irq irq = around_irq(&line);
    struct mv_chardev chardev = around_chardev(&host);
    struct mv_uart8250 uart;
    MV_ASSERT(mv_uart8250_open(&uart, &irq, &chardev, NULL) == 0);
    if (mv_uart8250_load(&uart, &r, MV_UART8250_STATE_VERSION, NULL) == 0) {
        mv_uart8250_save(&uart, w);
        same_again(in, w);
    }
    mv_uart8250_close(&uart);
}

static uint64_t some_time(void *ctx)
{
    (void)ctx;
    return 1735646400000000000;
}

static void load_rtc(const struct fuzz *in, struct mv_writer *w)
{
    struct mv_reader r = {.data = in->data, .length = in->length};
    struct mv_rtc rtc;
    MV_ASSERT(mv_rtc_open(&rtc, some_time, NULL, NULL) == 0);
    if (mv_rtc_load(&rtc, &r, MV_RTC_STATE_VERSION, NULL) == 0) {
        mv_rtc_save(&rtc, w);
        same_again(in, w);
        for (unsigned i = 0; i < MV_RTC_BYTES; i++) {
            mv_rtc_bus.write(&rtc, 0, 1, i);
            (void)mv_rtc_bus.read(&rtc, 1, 1);
        }
    }
    mv_rtc_close(&rtc);
}

static void load_power(const struct fuzz *in, struct mv_writer *w)
{
    struct mv_reader r = {.data = in->data, .length = in->length};
    struct around_line line = {.level = false};
    struct mv_power power = {.irq = around_irq(&line)};
    if (mv_power_load(&power, &r, MV_POWER_STATE_VERSION, NULL) == 0) {
        mv_power_save(&power, w);
        same_again(in, w);
    }
}

static void drop_msi(void *ctx, uint64_t address, uint32_t data)
{
    (void)ctx;
    (void)address;
    (void)data;
}

static void drop_routes(void *ctx, const struct mv_ioapic_route *route)
{
    (void)ctx;
    (void)route;
}

/* A level that was not sent yet is sent by the load, and its remote IRR then set. */
static void load_ioapic(const struct fuzz *in, struct mv_writer *w)
{
    const struct mv_ioapic_host host = {drop_msi, drop_routes, NULL, NULL};
    struct mv_reader r = {.data = in->data, .length = in->length};
    struct mv_ioapic ioapic;
    MV_ASSERT(mv_ioapic_open(&ioapic, &host, NULL) == 0);
    if (mv_ioapic_load(&ioapic, &r, MV_IOAPIC_STATE_VERSION, NULL) == 0) {
        mv_ioapic_save(&ioapic, w);
        MV_ASSERT(w->length == in->length);
        for (size_t i = 0; i < w->length; i++) {
            bool irr = i >= 6 && (i - 6) % 8 == 1; /* bits 8 to 15 of an entry */
            MV_ASSERT((w->data[i] ^ in->data[i]) <= (irr ? 0x40 : 0));
        }
    }
    mv_ioapic_close(&ioapic);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static void (*const load[])(const struct fuzz *, struct mv_writer *) = {
        load_uart8250, load_rtc, load_power, load_ioapic};
    struct fuzz in = {data, length};
    struct mv_writer w;
    unsigned what = fuzz8(&in) % (2 + MV_ARRAY_LEN(load));
    if (what == 0) {
        read_anything(&in);
    } else if (what == 1) {
        write_anything(&in);
    } else {
        mv_writer_open(&w, 4096);
        load[what - 2](&in, &w);
        mv_writer_close(&w);
    }
    return 0;
}
