/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The PC's clock and its battery-backed bytes: Motorola's MC146818A behind an index
 * port (0x70) and a data port (0x71). The time is the host's plus what the guest set it
 * off by, so a guest that is paused or restored finds the right time.
 *
 * Register A says "update in progress" for the last 244 us of each second, as the data
 * sheet promises, and not during the update, which takes no time here: a reader that
 * sees the bit clear has time for all registers, and one that waits for it waits 244
 * us.
 *
 * Absent: interrupts and their flags (register C reads 0), the alarm, daylight saving,
 * the square wave. Their control bits are kept without effect.
 */
#ifndef MV_CHIP_RTC_H
#define MV_CHIP_RTC_H

#include "core/bus.h"
#include "core/state.h"
#include "os/thread.h"

enum {
    MV_RTC_SIZE = 2, /* ports */
    MV_RTC_BYTES = 128,
    MV_RTC_CENTURY = 0x32, /* register; FADT CENTURY */
    MV_RTC_STATE_VERSION = 1
};

/* UTC, nanoseconds since 1970. Any thread. */
typedef uint64_t mv_rtc_clock_fn(void *ctx);

struct mv_rtc {
    uv_mutex_t lock;
    uint8_t index;
    uint8_t cmos[MV_RTC_BYTES]; /* time registers: as last read or written */
    int64_t offset_s;           /* guest's time minus the host's */
    mv_rtc_clock_fn *clock;
    void *ctx;
};

extern const struct mv_bus_ops mv_rtc_bus;

int mv_rtc_open(struct mv_rtc *rtc, mv_rtc_clock_fn *clock, void *ctx,
                microvm_error *err);
void mv_rtc_close(struct mv_rtc *rtc);

/* While no vCPU runs. */
void mv_rtc_save(struct mv_rtc *rtc, struct mv_writer *w);
int mv_rtc_load(struct mv_rtc *rtc, struct mv_reader *r, uint32_t version,
                microvm_error *err);

#endif
