/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Saved state: what is written is read again, ceilings hold, damage is refused with a
 * sentence that says where.
 */
#include "check.h"

#include "core/state.h"
#include "util/bytes.h"
#include "util/crc32.h"

static void crc32_check_value(void **state)
{
    (void)state;
    assert_int_equal(mv_crc32(0, "123456789", 9), 0xcbf43926);
    assert_int_equal(mv_crc32(mv_crc32(0, "1234", 4), "56789", 5), 0xcbf43926);
    assert_int_equal(mv_crc32(0, "", 0), 0);
}

/* Two sections: one with a field of each width, one empty. */
static void write_example(struct mv_writer *w, size_t length_max)
{
    mv_writer_open(w, length_max);
    mv_writer_begin(w, 7, 1, 3);
    mv_put8(w, 0x12);
    mv_put16(w, 0x3456);
    mv_put32(w, 0x789abcde);
    mv_put64(w, 0x1122334455667788);
    mv_put_bytes(w, "text", 4);
    mv_put_bytes(w, NULL, 0);
    mv_writer_end(w);
    mv_writer_begin(w, 8, 0, 1);
    mv_writer_end(w);
}

enum {
    EXAMPLE_PAYLOAD = 19,
    EXAMPLE_FIRST = 16 + EXAMPLE_PAYLOAD + 4,
    EXAMPLE_BYTES = 59
};

static void round_trip(void **state)
{
    struct mv_writer w;
    struct mv_reader r, payload;
    struct mv_section section;
    microvm_error err;
    char text[5] = "";
    (void)state;
    write_example(&w, 4096);
    assert_false(w.failed);
    assert_int_equal(w.length, EXAMPLE_BYTES);
    r = (struct mv_reader){.data = w.data, .length = w.length};
    assert_int_equal(mv_reader_section(&r, &section, &payload, &err), 1);
    assert_int_equal(section.type, 7);
    assert_int_equal(section.instance, 1);
    assert_int_equal(section.version, 3);
    assert_int_equal(mv_get8(&payload), 0x12);
    assert_int_equal(mv_get16(&payload), 0x3456);
    assert_int_equal(mv_get32(&payload), 0x789abcde);
    assert_int_equal(mv_get64(&payload), 0x1122334455667788);
    assert_false(mv_reader_done(&payload));
    mv_get_bytes(&payload, text, 4);
    assert_string_equal(text, "text");
    assert_true(mv_reader_done(&payload));
    assert_int_equal(mv_reader_section(&r, &section, &payload, &err), 1);
    assert_int_equal(section.type, 8);
    assert_true(mv_reader_done(&payload));
    assert_int_equal(mv_reader_section(&r, &section, &payload, &err), 0);
    assert_int_equal(section.type, 8); /* left alone */
    mv_writer_close(&w);
    assert_null(w.data);
}

/* The format, byte by byte: files outlive programs. */
static void layout_is_fixed(void **state)
{
    static const uint8_t expected[] = {0x07, 0,    0,    0,    1,    0,    0,    0,
                                       3,    0,    0,    0,    19,   0,    0,    0,
                                       0x12, 0x56, 0x34, 0xde, 0xbc, 0x9a, 0x78, 0x88};
    struct mv_writer w;
    (void)state;
    write_example(&w, 4096);
    assert_memory_equal(w.data, expected, sizeof expected);
    assert_int_equal(mv_load32(w.data + EXAMPLE_FIRST - 4),
                     mv_crc32(0, w.data, EXAMPLE_FIRST - 4));
    mv_writer_close(&w);
}

static void ceiling_holds(void **state)
{
    (void)state;
    for (size_t max = 0; max <= EXAMPLE_BYTES; max++) {
        struct mv_writer w;
        write_example(&w, max);
        assert_int_equal(w.failed, max < EXAMPLE_BYTES);
        assert_in_range(w.length, 0, max);
        assert_in_range(w.capacity, 0, max);
        mv_writer_close(&w);
    }
}

static void grows_beyond_its_first_size(void **state)
{
    struct mv_writer w;
    (void)state;
    mv_writer_open(&w, 100000);
    for (uint32_t i = 0; i < 20000; i++)
        mv_put32(&w, i);
    assert_false(w.failed);
    for (uint32_t i = 0; i < 20000; i++)
        assert_int_equal(mv_load32(w.data + 4 * (size_t)i), i);
    mv_writer_close(&w);
}

static void reading_too_much_gives_zeros(void **state)
{
    const uint8_t data[] = {1, 2, 3};
    struct mv_reader r = {.data = data, .length = sizeof data};
    uint8_t bytes[2] = {9, 9};
    (void)state;
    assert_int_equal(mv_get16(&r), 0x0201);
    assert_int_equal(mv_get32(&r), 0);
    assert_int_equal(mv_get8(&r), 0); /* also what would still be there */
    mv_get_bytes(&r, bytes, 2);
    assert_int_equal(bytes[0] | bytes[1], 0);
    assert_false(mv_reader_done(&r));
}

static void check_names_part_and_trouble(void **state)
{
    const uint8_t data[] = {1, 2, 3};
    struct mv_reader r = {.data = data, .length = sizeof data};
    microvm_error err;
    (void)state;
    assert_error(mv_reader_check(&r, "clock", 4, 4, &err), &err, MICROVM_E_INVALID,
                 "clock: 3 bytes are too many");
    assert_error(mv_reader_check(&r, "clock", 5, 4, &err), &err, MICROVM_E_INVALID,
                 "clock: has format 5, this library reads format 4");
    (void)mv_get32(&r);
    assert_error(mv_reader_check(&r, "clock", 4, 4, &err), &err, MICROVM_E_INVALID,
                 "clock: 3 bytes are too few");
    r = (struct mv_reader){.data = data, .length = 1};
    (void)mv_get8(&r);
    assert_ok(mv_reader_check(&r, "clock", 4, 4, &err), &err);
}

static void damage_is_found_anywhere(void **state)
{
    struct mv_writer w;
    microvm_error err;
    (void)state;
    write_example(&w, 4096);
    for (size_t i = 0; i < EXAMPLE_FIRST; i++) {
        struct mv_reader r = {.data = w.data, .length = w.length}, payload = {.at = 77};
        struct mv_section section = {99, 99, 99};
        w.data[i] ^= 0x10;
        assert_error(mv_reader_section(&r, &section, &payload, &err), &err,
                     MICROVM_E_INVALID, "the section at byte 0");
        assert_int_equal(r.at, 0);
        assert_int_equal(payload.at, 77);
        assert_int_equal(section.type, 99);
        w.data[i] ^= 0x10;
    }
    mv_writer_close(&w);
}

static void cut_short_is_found_anywhere(void **state)
{
    struct mv_writer w;
    microvm_error err;
    (void)state;
    write_example(&w, 4096);
    for (size_t length = 1; length < EXAMPLE_FIRST; length++) {
        struct mv_reader r = {.data = w.data, .length = length}, payload;
        struct mv_section section;
        assert_error(mv_reader_section(&r, &section, &payload, &err), &err,
                     MICROVM_E_INVALID, "cut short");
    }
    mv_store32(w.data + 12, UINT32_MAX); /* a length that wraps when added to */
    struct mv_reader r = {.data = w.data, .length = w.length}, payload;
    struct mv_section section;
    assert_error(mv_reader_section(&r, &section, &payload, &err), &err,
                 MICROVM_E_INVALID, "says it has 4294967295 bytes");
    mv_writer_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32_check_value),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(layout_is_fixed),
        cmocka_unit_test(ceiling_holds),
        cmocka_unit_test(grows_beyond_its_first_size),
        cmocka_unit_test(reading_too_much_gives_zeros),
        cmocka_unit_test(check_names_part_and_trouble),
        cmocka_unit_test(damage_is_found_anywhere),
        cmocka_unit_test(cut_short_is_found_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
