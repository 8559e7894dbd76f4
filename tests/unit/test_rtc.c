/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The clock: right on any day of any year and in all four formats, set by the guest,
 * never torn, and its battery-backed bytes.
 */
#include "check.h"

#include "chip/rtc.h"
#include "util/bytes.h"

enum { SECONDS, MINUTES = 2, HOURS = 4, WEEKDAY = 6, DAY, MONTH, YEAR, A, B, C, D };
enum { SET = 0x80, BINARY = 4, HOURS_24 = 2 };

#define NS       1000000000ull
/* 2000-02-29 23:59:58 and 2024-12-31 12:00:00, seconds since 1970. */
#define LEAP_DAY 951868798ull
#define NEW_YEAR 1735646400ull

struct clock {
    struct mv_rtc rtc;
    uint64_t now_ns;
};

static uint64_t clock_now(void *ctx)
{
    return ((struct clock *)ctx)->now_ns;
}

static void clock_open(struct clock *clock, uint64_t now_s)
{
    microvm_error err;
    clock->now_ns = now_s * NS;
    assert_ok(mv_rtc_open(&clock->rtc, clock_now, clock, &err), &err);
}

static uint8_t get(struct clock *clock, uint8_t index)
{
    mv_rtc_bus.write(&clock->rtc, 0, 1, index);
    return (uint8_t)mv_rtc_bus.read(&clock->rtc, 1, 1);
}

static void put(struct clock *clock, uint8_t index, uint8_t value)
{
    mv_rtc_bus.write(&clock->rtc, 0, 1, index);
    mv_rtc_bus.write(&clock->rtc, 1, 1, value);
}

static void expect(struct clock *clock, const uint8_t expected[8])
{
    static const uint8_t index[] = {MV_RTC_CENTURY, YEAR,    MONTH,   DAY,
                                    HOURS,          MINUTES, SECONDS, WEEKDAY};
    for (unsigned i = 0; i < sizeof index; i++)
        assert_int_equal(get(clock, index[i]), expected[i]);
}

static void tells_the_time_in_all_formats(void **state)
{
    struct clock clock;
    (void)state;
    clock_open(&clock, LEAP_DAY);
    assert_int_equal(get(&clock, B), HOURS_24);
    expect(&clock, (uint8_t[]){0x20, 0x00, 0x02, 0x29, 0x23, 0x59, 0x58, 3});
    put(&clock, B, HOURS_24 | BINARY);
    expect(&clock, (uint8_t[]){20, 0, 2, 29, 23, 59, 58, 3});
    put(&clock, B, BINARY);
    expect(&clock, (uint8_t[]){20, 0, 2, 29, 0x80 | 11, 59, 58, 3});
    clock.now_ns += 2 * NS;
    put(&clock, B, 0);
    expect(&clock, (uint8_t[]){0x20, 0x00, 0x03, 0x01, 0x12, 0x00, 0x00, 4});
    clock.now_ns = NEW_YEAR * NS;
    expect(&clock, (uint8_t[]){0x20, 0x24, 0x12, 0x31, 0x92, 0x00, 0x00, 3});
    mv_rtc_close(&clock.rtc);
}

/* Every day from 1970 to 2400 follows the one before. */
static void calendar_has_no_gaps(void **state)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct clock clock;
    unsigned year = 1970, month = 1, day = 1, weekday = 5;
    (void)state;
    clock_open(&clock, 0);
    put(&clock, B, BINARY | HOURS_24);
    for (; year < 2400; clock.now_ns += 86400 * NS) {
        bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        expect(&clock,
               (uint8_t[]){(uint8_t)(year / 100), (uint8_t)(year % 100), (uint8_t)month,
                           (uint8_t)day, 0, 0, 0, (uint8_t)weekday});
        weekday = weekday % 7 + 1;
        day++;
        if (day > days[month - 1] + (leap && month == 2 ? 1u : 0u)) {
            day = 1;
            month++;
        }
        if (month > 12) {
            month = 1;
            year++;
        }
    }
    mv_rtc_close(&clock.rtc);
}

/* As Linux's mc146818_set_time: stop, write, go on. */
static void can_be_set(void **state)
{
    struct clock clock;
    (void)state;
    clock_open(&clock, LEAP_DAY);
    put(&clock, B, SET | HOURS_24);
    clock.now_ns += 5 * NS;
    expect(&clock, (uint8_t[]){0x20, 0x00, 0x02, 0x29, 0x23, 0x59, 0x58, 3});
    const uint8_t time[][2] = {{YEAR, 0x99},          {MONTH, 0x12},   {DAY, 0x31},
                               {HOURS, 0x23},         {MINUTES, 0x59}, {SECONDS, 0x50},
                               {MV_RTC_CENTURY, 0x19}};
    for (unsigned i = 0; i < MV_ARRAY_LEN(time); i++)
        put(&clock, time[i][0], time[i][1]);
    put(&clock, B, HOURS_24);
    clock.now_ns += 10 * NS;
    expect(&clock, (uint8_t[]){0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00, 7});
    put(&clock, HOURS, 0x07); /* while it runs */
    clock.now_ns += NS;
    expect(&clock, (uint8_t[]){0x20, 0x00, 0x01, 0x01, 0x07, 0x00, 0x01, 7});
    mv_rtc_close(&clock.rtc);
}

static void nonsense_becomes_a_time(void **state)
{
    struct clock clock;
    (void)state;
    clock_open(&clock, LEAP_DAY);
    for (unsigned format = 0; format < 8; format += 2) {
        for (unsigned value = 0; value < 256; value++) {
            put(&clock, B, (uint8_t)(SET | format));
            for (uint8_t index = 0; index < A; index++)
                put(&clock, index, (uint8_t)value);
            put(&clock, MV_RTC_CENTURY, (uint8_t)value);
            put(&clock, B, BINARY | HOURS_24);
            assert_in_range(get(&clock, SECONDS), 0, 59);
            assert_in_range(get(&clock, MINUTES), 0, 59);
            assert_in_range(get(&clock, HOURS), 0, 23);
            assert_in_range(get(&clock, WEEKDAY), 1, 7);
            assert_in_range(get(&clock, DAY), 1, 31);
            assert_in_range(get(&clock, MONTH), 1, 12);
            assert_in_range(get(&clock, YEAR), 0, 99);
            assert_in_range(get(&clock, MV_RTC_CENTURY), 0, 99);
        }
    }
    clock.now_ns = UINT64_MAX;
    assert_in_range(get(&clock, MV_RTC_CENTURY), 0, 99);
    mv_rtc_close(&clock.rtc);
}

/* A reader that sees the bit clear has 244 us; one that sees it waits no longer. */
static void update_in_progress(void **state)
{
    struct clock clock;
    (void)state;
    clock_open(&clock, LEAP_DAY);
    assert_int_equal(get(&clock, A), 0x26);
    clock.now_ns += NS - 244001;
    assert_int_equal(get(&clock, A), 0x26);
    assert_int_equal(get(&clock, SECONDS), 0x58);
    clock.now_ns += 1;
    assert_int_equal(get(&clock, A), 0xa6);
    put(&clock, A, 0xaf); /* not written by the guest */
    clock.now_ns += 243999;
    assert_int_equal(get(&clock, A), 0xaf);
    assert_int_equal(get(&clock, SECONDS), 0x58);
    clock.now_ns += 1;
    assert_int_equal(get(&clock, A), 0x2f);
    assert_int_equal(get(&clock, SECONDS), 0x59);
    put(&clock, B, SET); /* stops it */
    clock.now_ns += NS - 1;
    assert_int_equal(get(&clock, A), 0x2f);
    mv_rtc_close(&clock.rtc);
}

static void bytes_are_kept(void **state)
{
    struct clock clock;
    (void)state;
    clock_open(&clock, 0);
    put(&clock, C, 0xff);
    put(&clock, D, 0);
    assert_int_equal(get(&clock, C), 0);
    assert_int_equal(get(&clock, D), 0x80);
    for (unsigned i = D + 1; i < MV_RTC_BYTES; i++)
        if (i != MV_RTC_CENTURY)
            put(&clock, (uint8_t)i, (uint8_t)(i ^ 0x5a));
    for (unsigned i = D + 1; i < MV_RTC_BYTES; i++)
        if (i != MV_RTC_CENTURY)
            assert_int_equal(get(&clock, (uint8_t)(0x80 | i)), i ^ 0x5a);
    put(&clock, 1, 0x12); /* the alarm */
    assert_int_equal(get(&clock, 1), 0x12);
    mv_rtc_close(&clock.rtc);
}

static void wide_accesses_are_bytes(void **state)
{
    struct clock clock;
    struct mv_bus bus = {.count = 0};
    microvm_error err;
    uint64_t value;
    (void)state;
    clock_open(&clock, 0);
    assert_ok(mv_bus_add(&bus, 0x70, MV_RTC_SIZE, &mv_rtc_bus, &clock.rtc, &err), &err);
    assert_true(mv_bus_write(&bus, 0x70, 2, 0x3440)); /* index 0x40, data 0x34 */
    assert_int_equal(get(&clock, 0x40), 0x34);
    assert_true(mv_bus_read(&bus, 0x70, 2, &value));
    assert_int_equal(value, 0x34ff); /* the index cannot be read */
    assert_false(mv_bus_read(&bus, 0x70, 4, &value));
    assert_false(mv_bus_write(&bus, 0x71, 2, 0x1111));
    mv_rtc_close(&clock.rtc);
}

static void saved_and_loaded_it_goes_on(void **state)
{
    struct clock old, new;
    uint32_t random = 1;
    (void)state;
    clock_open(&old, NEW_YEAR);
    for (unsigned round = 0; round < 200; round++) {
        struct mv_writer w;
        microvm_error err;
        for (unsigned i = 0; i < 50; i++) {
            random = random * 1664525 + 1013904223;
            mv_rtc_bus.write(&old.rtc, random >> 30 & 1, 1, random >> 16 & 0xff);
            old.now_ns += random;
        }
        clock_open(&new, 0);
        new.now_ns = old.now_ns;
        mv_writer_open(&w, 256);
        mv_rtc_save(&old.rtc, &w);
        assert_false(w.failed);
        struct mv_reader r = {.data = w.data, .length = w.length};
        assert_ok(mv_rtc_load(&new.rtc, &r, MV_RTC_STATE_VERSION, &err), &err);
        mv_writer_close(&w);
        assert_int_equal(mv_rtc_bus.read(&new.rtc, 1, 1),
                         mv_rtc_bus.read(&old.rtc, 1, 1));
        old.now_ns = new.now_ns += 12345 * NS;
        for (unsigned i = 0; i < MV_RTC_BYTES; i++)
            assert_int_equal(get(&new, (uint8_t)i), get(&old, (uint8_t)i));
        mv_rtc_close(&new.rtc);
    }
    mv_rtc_close(&old.rtc);
}

static void refuses_impossible_states(void **state)
{
    struct clock clock;
    struct mv_writer w;
    microvm_error err;
    (void)state;
    clock_open(&clock, NEW_YEAR);
    mv_writer_open(&w, 256);
    mv_rtc_save(&clock.rtc, &w);
    struct mv_reader r = {.data = w.data, .length = w.length};
    assert_error(mv_rtc_load(&clock.rtc, &r, 2, &err), &err, MICROVM_E_INVALID,
                 "clock: has format 2");
    const struct {
        size_t at;
        uint8_t value;
    } bad[] = {{0, 0x80}, {8, 0x7f}, {8, 0x80}, {9 + A, 0x80}, {9 + C, 1}, {9 + D, 0}};
    for (unsigned i = 0; i < MV_ARRAY_LEN(bad); i++) {
        uint8_t copy[256];
        memcpy(copy, w.data, w.length);
        copy[bad[i].at] = bad[i].value;
        r = (struct mv_reader){.data = copy, .length = w.length};
        assert_error(mv_rtc_load(&clock.rtc, &r, 1, &err), &err, MICROVM_E_INVALID,
                     "no guest can give it");
    }
    mv_writer_close(&w);
    mv_rtc_close(&clock.rtc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_the_time_in_all_formats),
        cmocka_unit_test(calendar_has_no_gaps),
        cmocka_unit_test(can_be_set),
        cmocka_unit_test(nonsense_becomes_a_time),
        cmocka_unit_test(update_in_progress),
        cmocka_unit_test(bytes_are_kept),
        cmocka_unit_test(wide_accesses_are_bytes),
        cmocka_unit_test(saved_and_loaded_it_goes_on),
        cmocka_unit_test(refuses_impossible_states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
