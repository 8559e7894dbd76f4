/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Sizes, durations, switches and misspelt words: each form that is read, each that is
 * refused, and the edges of 64 bits.
 */
#include "check.h"

#include "util/bytes.h"
#include "util/str.h"

static void reads_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        {"256", MV_MIB(256)},
        {"0", 0},
        {"256M", MV_MIB(256)},
        {"2g", MV_GIB(2)},
        {"64K", MV_KIB(64)},
        {"1T", MV_GIB(1024)},
        {"2GiB", MV_GIB(2)},
        {"512mb", MV_MIB(512)},
        {"16777215T", 0xffffffull << 40},
    };
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(cases); i++) {
        uint64_t bytes = 1;
        assert_null(mv_str_to_size(cases[i].text, &bytes));
        assert_int_equal(bytes, cases[i].bytes);
    }
}

static void refuses_what_is_no_size(void **state)
{
    static const char *const wrong[] = {"",    "M",    "-1",    "1.5G", "1,5G", " 1",
                                        "1 M", "256X", "256Mi", "12MM", "0x10", "+1"};
    uint64_t bytes = 77;
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(wrong); i++)
        assert_string_equal(mv_str_to_size(wrong[i], &bytes),
                            "is not a size; write it as 256M or 2G");
    assert_string_equal(mv_str_to_size("16777216T", &bytes), "is too large");
    assert_string_equal(mv_str_to_size("18446744073709551616", &bytes), "is too large");
    assert_int_equal(bytes, 77);
}

static void reads_durations(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } cases[] = {
        {"0", 0},        {"90", 90000},      {"300s", 300000},
        {"5m", 300000},  {"1h30m", 5400000}, {"250ms", 250},
        {"1s5ms", 1005}, {"2d", 172800000},  {"18446744073709551615ms", UINT64_MAX}};
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(cases); i++) {
        uint64_t ms = 1;
        assert_null(mv_str_to_duration(cases[i].text, &ms));
        assert_int_equal(ms, cases[i].ms);
    }
}

static void refuses_what_is_no_duration(void **state)
{
    static const char *const wrong[] = {"",     "s",   "5x",  "1h30",
                                        "1.5s", "-5s", "5 s", "5S"};
    uint64_t ms = 77;
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(wrong); i++)
        assert_string_equal(mv_str_to_duration(wrong[i], &ms),
                            "is not a duration; write it as 300s, 5m or 1h30m");
    assert_string_equal(mv_str_to_duration("18446744073709551615", &ms),
                        "is too large");
    assert_string_equal(mv_str_to_duration("18446744073709551615ms1ms", &ms),
                        "is too large");
    assert_int_equal(ms, 77);
}

static void reads_counts_and_switches(void **state)
{
    uint64_t count = 0;
    bool on = false;
    (void)state;
    assert_null(mv_str_to_count("18446744073709551615", &count));
    assert_int_equal(count, UINT64_MAX);
    assert_string_equal(mv_str_to_count("18446744073709551616", &count),
                        "is too large");
    assert_string_equal(mv_str_to_count("4x", &count), "is not a whole number");
    assert_string_equal(mv_str_to_count("", &count), "is not a whole number");
    assert_int_equal(count, UINT64_MAX);
    static const char *const words[] = {"on", "ON", "true", "yes", "1"};
    for (unsigned i = 0; i < MV_ARRAY_LEN(words); i++) {
        on = false;
        assert_null(mv_str_to_bool(words[i], &on));
        assert_true(on);
    }
    assert_null(mv_str_to_bool("off", &on));
    assert_false(on);
    assert_string_equal(mv_str_to_bool("onn", &on), "is neither on nor off");
    assert_string_equal(mv_str_to_bool("", &on), "is neither on nor off");
}

static void writes_what_it_reads(void **state)
{
    static const uint64_t sizes[] = {
        0,         1024,         MV_MIB(1),   MV_MIB(1) + 1024, MV_MIB(1536),
        MV_GIB(2), MV_GIB(2048), MV_GIB(5000)};
    static const uint64_t times[] = {0, 1, 999, 1000, 1001, 300000, UINT64_MAX};
    char text[MV_STR_NUMBER];
    uint64_t back;
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(sizes); i++) {
        assert_null(mv_str_to_size(mv_str_from_size(text, sizes[i]), &back));
        assert_int_equal(back, sizes[i]);
    }
    assert_string_equal(mv_str_from_size(text, MV_MIB(1536)), "1536M");
    assert_string_equal(mv_str_from_size(text, MV_GIB(2)), "2G");
    for (unsigned i = 0; i < MV_ARRAY_LEN(times); i++) {
        assert_null(mv_str_to_duration(mv_str_from_duration(text, times[i]), &back));
        assert_int_equal(back, times[i]);
    }
}

static void finds_the_nearest_word(void **state)
{
    static const char *const words[] = {"name",   "kernel",  "cmdline", "cmdline-only",
                                        "memory", "console", "cpus",    NULL};
    (void)state;
    assert_string_equal(mv_str_nearest("memroy", words), "memory"); /* swapped */
    assert_string_equal(mv_str_nearest("kernl", words), "kernel");  /* missing */
    assert_string_equal(mv_str_nearest("cosnole", words), "console");
    assert_string_equal(mv_str_nearest("cpuss", words), "cpus"); /* one too many */
    assert_string_equal(mv_str_nearest("Memory", words), "memory");
    assert_string_equal(mv_str_nearest("cmdline_only", words), "cmdline-only");
    assert_string_equal(mv_str_nearest("mem", words), "memory"); /* a beginning */
    assert_null(mv_str_nearest("banana", words));
    assert_null(mv_str_nearest("", words));
    assert_null(mv_str_nearest("x", words));
    assert_null(
        mv_str_nearest("a-word-that-is-longer-than-any-flag-has-ever-been", words));
}

static void knows_plain_text(void **state)
{
    static const char *const plain[] = {
        "", "a b", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const other[] = {
        "a\n",          "\x1b[0m",          "\x7f",
        "\xc2\x80",     "\xc0\x80",         "\xc3",
        "\xe0\x80\x80", "\xed\xa0\x80",     "\xf0\x80\x80\x80",
        "\xff",         "\xf4\x90\x80\x80", "\xe2\x82",
        "\x80",
    };
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(plain); i++)
        assert_true(mv_str_is_plain(plain[i]));
    for (unsigned i = 0; i < MV_ARRAY_LEN(other); i++)
        assert_false(mv_str_is_plain(other[i]));
}

static void shows_any_text(void **state)
{
    char shown[MV_STR_SHOWN], big[200];
    (void)state;
    assert_string_equal(mv_str_show(shown, "a\x1b[1m\xff\xc3\xa9"), "a?[1m?\xc3\xa9");
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = '\0';
    (void)mv_str_show(shown, big);
    assert_int_equal(strlen(shown), MV_STR_SHOWN - 1);
    assert_string_equal(shown + MV_STR_SHOWN - 5, "x...");
    big[MV_STR_SHOWN - 4] = '\0';
    assert_string_equal(mv_str_show(shown, big), big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_sizes),
        cmocka_unit_test(refuses_what_is_no_size),
        cmocka_unit_test(reads_durations),
        cmocka_unit_test(refuses_what_is_no_duration),
        cmocka_unit_test(reads_counts_and_switches),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(finds_the_nearest_word),
        cmocka_unit_test(knows_plain_text),
        cmocka_unit_test(shows_any_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
