/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Time registers are made from the clock when one is read, and taken apart into an
 * offset when one is written. While SET stops the clock (register B) they are plain
 * bytes. A guest may write any nonsense into them: each part is brought into its range.
 */
#include "chip/rtc.h"

#include "chip/narrow.h"
#include "os/error.h"
#include "util/bytes.h"

enum {
    RTC_SECONDS = 0,
    RTC_MINUTES = 2,
    RTC_HOURS = 4,
    RTC_WEEKDAY = 6,
    RTC_DAY = 7,
    RTC_MONTH = 8,
    RTC_YEAR = 9,
    RTC_A = 10,
    RTC_B = 11,
    RTC_C = 12,
    RTC_D = 13
};

enum {
    A_UPDATE = 1 << 7,
    A_DEFAULT = 0x26, /* 32,768 Hz crystal, 1024 Hz periodic rate */
    B_SET = 1 << 7,
    B_BINARY = 1 << 2,
    B_24_HOURS = 1 << 1,
    D_VALID = 1 << 7,
    HOURS_PM = 1 << 7
};

#define RTC_SECOND_NS 1000000000u
#define RTC_UPDATE_NS 244000u /* tBUC */
#define RTC_DAY_S     86400ll

/* Years 1 to 9999, in seconds since 1970. */
#define RTC_FIRST_S   (-719162ll * RTC_DAY_S)
#define RTC_LAST_S    (2932897ll * RTC_DAY_S - 1)

/* -- calendar ------------------------------------------------------------- */

struct rtc_date {
    int64_t year;
    int64_t month, day; /* from 1 */
};

/* Years are counted from March here, so that the day which leap years have more is
 * their last: month m from March then begins after (153 m + 2) / 5 days. */
enum { YEAR_MARCH_0_DAYS = 719468 /* from 1 March of year 0 to 1 January 1970 */ };
enum { DAYS_400_YEARS = 146097, DAYS_100_YEARS = 36524, DAYS_4_YEARS = 1461 };

/* Days since 1970; a day that the month does not have is one of the next month. */
static int64_t rtc_days(struct rtc_date date)
{
    int64_t year = date.year - (date.month < 3), month = (date.month + 9) % 12;
    return year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 +
           date.day - 1 - YEAR_MARCH_0_DAYS;
}

static struct rtc_date rtc_date(int64_t days)
{
    days += YEAR_MARCH_0_DAYS;
    int64_t year = days / DAYS_400_YEARS * 400;
    days %= DAYS_400_YEARS;
    int64_t centuries = MV_MIN(days / DAYS_100_YEARS, 3);
    days -= centuries * DAYS_100_YEARS;
    int64_t fours = days / DAYS_4_YEARS;
    days -= fours * DAYS_4_YEARS;
    int64_t ones = MV_MIN(days / 365, 3);
    days -= ones * 365;
    int64_t month = (5 * days + 2) / 153;
    year += centuries * 100 + fours * 4 + ones + (month > 9);
    return (struct rtc_date){year, (month + 2) % 12 + 1,
                             days - (153 * month + 2) / 5 + 1};
}

/* -- registers of the time ------------------------------------------------ */

/* In the form that register B asks for. */
static uint8_t rtc_encode(const struct mv_rtc *rtc, int64_t value)
{
    if (rtc->cmos[RTC_B] & B_BINARY)
        return (uint8_t)value;
    return (uint8_t)(value / 10 << 4 | value % 10);
}

static int64_t rtc_decode(const struct mv_rtc *rtc, uint8_t value, int64_t min,
                          int64_t max)
{
    int64_t number = value;
    if (!(rtc->cmos[RTC_B] & B_BINARY))
        number = (value >> 4) * 10 + (value & 15);
    return MV_MAX(MV_MIN(number, max), min);
}

static uint8_t rtc_encode_hours(const struct mv_rtc *rtc, int64_t hours)
{
    if (rtc->cmos[RTC_B] & B_24_HOURS)
        return rtc_encode(rtc, hours);
    uint8_t value = rtc_encode(rtc, (hours + 11) % 12 + 1);
    return hours < 12 ? value : value | HOURS_PM;
}

static int64_t rtc_decode_hours(const struct mv_rtc *rtc, uint8_t value)
{
    if (rtc->cmos[RTC_B] & B_24_HOURS)
        return rtc_decode(rtc, value, 0, 23);
    int64_t hours = rtc_decode(rtc, value & (uint8_t)~HOURS_PM, 1, 12) % 12;
    return value & HOURS_PM ? hours + 12 : hours;
}

/* Brings the time registers up to date, unless SET has stopped them. */
static void rtc_refresh(struct mv_rtc *rtc)
{
    if (rtc->cmos[RTC_B] & B_SET)
        return;
    int64_t now_s = (int64_t)(rtc->clock(rtc->ctx) / RTC_SECOND_NS) + rtc->offset_s;
    now_s = MV_MAX(MV_MIN(now_s, RTC_LAST_S), RTC_FIRST_S) - RTC_FIRST_S;
    int64_t days = now_s / RTC_DAY_S, second = now_s % RTC_DAY_S;
    struct rtc_date date = rtc_date(days + RTC_FIRST_S / RTC_DAY_S);
    uint8_t *cmos = rtc->cmos;
    cmos[RTC_SECONDS] = rtc_encode(rtc, second % 60);
    cmos[RTC_MINUTES] = rtc_encode(rtc, second / 60 % 60);
    cmos[RTC_HOURS] = rtc_encode_hours(rtc, second / 3600);
    cmos[RTC_WEEKDAY] = (uint8_t)((days + 1) % 7 + 1); /* 1 January of year 1: Monday */
    cmos[RTC_DAY] = rtc_encode(rtc, date.day);
    cmos[RTC_MONTH] = rtc_encode(rtc, date.month);
    cmos[RTC_YEAR] = rtc_encode(rtc, date.year % 100);
    cmos[MV_RTC_CENTURY] = rtc_encode(rtc, date.year / 100);
}

/* The other way round: the registers say what time it is. */
static void rtc_adjust(struct mv_rtc *rtc)
{
    const uint8_t *cmos = rtc->cmos;
    int64_t year = rtc_decode(rtc, cmos[MV_RTC_CENTURY], 0, 99) * 100 +
                   rtc_decode(rtc, cmos[RTC_YEAR], 0, 99);
    struct rtc_date date = {MV_MAX(year, 1), rtc_decode(rtc, cmos[RTC_MONTH], 1, 12),
                            rtc_decode(rtc, cmos[RTC_DAY], 1, 31)};
    int64_t set_s = rtc_days(date) * RTC_DAY_S +
                    rtc_decode_hours(rtc, cmos[RTC_HOURS]) * 3600 +
                    rtc_decode(rtc, cmos[RTC_MINUTES], 0, 59) * 60 +
                    rtc_decode(rtc, cmos[RTC_SECONDS], 0, 59);
    rtc->offset_s = set_s - (int64_t)(rtc->clock(rtc->ctx) / RTC_SECOND_NS);
}

static bool rtc_is_time(uint8_t index)
{
    switch (index) {
    case RTC_SECONDS:
    case RTC_MINUTES:
    case RTC_HOURS:
    case RTC_WEEKDAY:
    case RTC_DAY:
    case RTC_MONTH:
    case RTC_YEAR:
    case MV_RTC_CENTURY:
        return true;
    default:
        return false;
    }
}

/* -- the data port -------------------------------------------------------- */

static bool rtc_updates(const struct mv_rtc *rtc)
{
    return !(rtc->cmos[RTC_B] & B_SET) &&
           rtc->clock(rtc->ctx) % RTC_SECOND_NS >= RTC_SECOND_NS - RTC_UPDATE_NS;
}

static uint8_t rtc_read_data(struct mv_rtc *rtc)
{
    if (rtc_is_time(rtc->index))
        rtc_refresh(rtc);
    if (rtc->index == RTC_A && rtc_updates(rtc))
        return rtc->cmos[RTC_A] | A_UPDATE;
    return rtc->cmos[rtc->index];
}

static void rtc_write_b(struct mv_rtc *rtc, uint8_t value)
{
    bool was_set = rtc->cmos[RTC_B] & B_SET;
    rtc_refresh(rtc);
    rtc->cmos[RTC_B] = value;
    if (was_set && !(value & B_SET))
        rtc_adjust(rtc);
}

static void rtc_write_data(struct mv_rtc *rtc, uint8_t value)
{
    if (rtc_is_time(rtc->index)) {
        rtc_refresh(rtc);
        rtc->cmos[rtc->index] = value;
        if (!(rtc->cmos[RTC_B] & B_SET))
            rtc_adjust(rtc);
    } else if (rtc->index == RTC_B) {
        rtc_write_b(rtc, value);
    } else if (rtc->index == RTC_A) {
        rtc->cmos[RTC_A] = value & (uint8_t)~A_UPDATE;
    } else if (rtc->index != RTC_C && rtc->index != RTC_D) {
        rtc->cmos[rtc->index] = value;
    }
}

/* -- the bus's side ------------------------------------------------------- */

/* The index port cannot be read. */
static uint8_t rtc_read8(void *chip, uint64_t offset)
{
    struct mv_rtc *rtc = chip;
    if (offset == 0)
        return 0xff;
    uv_mutex_lock(&rtc->lock);
    uint8_t value = rtc_read_data(rtc);
    uv_mutex_unlock(&rtc->lock);
    return value;
}

/* Bit 7 of the index port masks NMIs, of which there are none. */
static void rtc_write8(void *chip, uint64_t offset, uint8_t value)
{
    struct mv_rtc *rtc = chip;
    uv_mutex_lock(&rtc->lock);
    if (offset == 0)
        rtc->index = value % MV_RTC_BYTES;
    else
        rtc_write_data(rtc, value);
    uv_mutex_unlock(&rtc->lock);
}

static uint64_t rtc_read(void *chip, uint64_t offset, unsigned size)
{
    return mv_narrow_read(chip, offset, size, rtc_read8);
}

static void rtc_write(void *chip, uint64_t offset, unsigned size, uint64_t value)
{
    mv_narrow_write(chip, offset, size, value, rtc_write8);
}

const struct mv_bus_ops mv_rtc_bus = {rtc_read, rtc_write};

/* -- life ----------------------------------------------------------------- */

int mv_rtc_open(struct mv_rtc *rtc, mv_rtc_clock_fn *clock, void *ctx,
                microvm_error *err)
{
    *rtc = (struct mv_rtc){.clock = clock, .ctx = ctx};
    rtc->cmos[RTC_A] = A_DEFAULT;
    rtc->cmos[RTC_B] = B_24_HOURS;
    rtc->cmos[RTC_D] = D_VALID;
    int rc = uv_mutex_init(&rtc->lock);
    return rc ? mv_fail_uv(err, rc, "clock: cannot make a lock") : 0;
}

void mv_rtc_close(struct mv_rtc *rtc)
{
    uv_mutex_destroy(&rtc->lock);
}

void mv_rtc_save(struct mv_rtc *rtc, struct mv_writer *w)
{
    uv_mutex_lock(&rtc->lock);
    mv_put8(w, rtc->index);
    mv_put64(w, (uint64_t)rtc->offset_s);
    mv_put_bytes(w, rtc->cmos, sizeof rtc->cmos);
    uv_mutex_unlock(&rtc->lock);
}

int mv_rtc_load(struct mv_rtc *rtc, struct mv_reader *r, uint32_t version,
                microvm_error *err)
{
    uint8_t index = mv_get8(r), cmos[MV_RTC_BYTES];
    int64_t offset_s = (int64_t)mv_get64(r);
    mv_get_bytes(r, cmos, sizeof cmos);
    int rc = mv_reader_check(r, "clock", version, MV_RTC_STATE_VERSION, err);
    if (rc)
        return rc;
    if (index >= MV_RTC_BYTES || offset_s > RTC_LAST_S || offset_s < 2 * RTC_FIRST_S ||
        (cmos[RTC_A] & A_UPDATE) || cmos[RTC_C] || cmos[RTC_D] != D_VALID)
        return mv_fail(err, MICROVM_E_INVALID,
                       "saved state: clock: a register has a value that no guest can "
                       "give it: the state is not from this library");
    uv_mutex_lock(&rtc->lock);
    rtc->index = index;
    rtc->offset_s = offset_s;
    memcpy(rtc->cmos, cmos, sizeof cmos);
    uv_mutex_unlock(&rtc->lock);
    return 0;
}
