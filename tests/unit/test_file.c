/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Files by offset: what is refused and in which words, locks, transfers over many
 * spans, the ends of files, zeroing and discarding; and files as sources.
 */
#include "check.h"

#include "core/source.h"
#include "os/file.h"
#include "scratch.h"
#include "util/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void opens_and_reads(void **state)
{
    struct mv_file file = MV_FILE_CLOSED;
    char path[SCRATCH_PATH], data[8] = {0};
    microvm_error err;
    (void)state;
    scratch_file(path, "hello", 5);
    assert_ok(mv_file_open(&file, "disk", path, 0, &err), &err);
    assert_int_equal(file.size_bytes, 5);
    assert_false(file.block_device);
    assert_int_equal(mv_file_read(&file, 1, data, 3), 3);
    assert_string_equal(data, "ell");
    assert_int_equal(mv_file_read(&file, 3, data, 8), 2); /* the end cuts it */
    assert_int_equal(mv_file_read(&file, 5, data, 8), 0);
    mv_file_close(&file);
    mv_file_close(&file); /* closed already */
    scratch_remove(path);
}

static void names_what_is_missing(void **state)
{
    struct mv_file file = MV_FILE_CLOSED;
    microvm_error err;
    (void)state;
    assert_error(mv_file_open(&file, "kernel", "no/such/file", 0, &err), &err,
                 MICROVM_E_IO, "kernel 'no/such/file'");
    assert_non_null(strstr(err.message, "no such file"));
    assert_int_not_equal(err.os_code, 0);
    assert_int_equal(file.handle, -1);
}

static void names_the_kind_it_refuses(void **state)
{
    struct mv_file file = MV_FILE_CLOSED;
    char path[SCRATCH_PATH];
    microvm_error err;
    (void)state;
    for (int kind = 0; kind < SCRATCH_KINDS; kind++) {
        const char *name = scratch_special(path, kind);
        if (!name) /* this system has no such kind */
            continue;
        assert_error(mv_file_open(&file, "disk", path, 0, &err), &err,
                     MICROVM_E_INVALID, name);
        assert_non_null(strstr(err.message, "regular file or a block device"));
        assert_error(mv_file_open(&file, "disk", path, MV_FILE_WRITE, &err), &err,
                     MICROVM_E_INVALID, name);
        scratch_remove(path);
    }
}

static void locks_out_a_second_writer(void **state)
{
    struct mv_file a = MV_FILE_CLOSED, b = MV_FILE_CLOSED;
    char path[SCRATCH_PATH];
    microvm_error err;
    (void)state;
    scratch_file(path, "x", 1);
    const unsigned write = MV_FILE_WRITE | MV_FILE_LOCK;
    assert_ok(mv_file_open(&a, "disk", path, write, &err), &err);
    assert_error(mv_file_open(&b, "disk", path, write, &err), &err, MICROVM_E_IO,
                 "in use: another machine or program has locked it; use a copy");
    assert_error(mv_file_open(&b, "disk", path, MV_FILE_LOCK, &err), &err, MICROVM_E_IO,
                 "locked it for writing");
    assert_ok(mv_file_open(&b, "disk", path, 0, &err), &err); /* does not ask */
    mv_file_close(&b);
    mv_file_close(&a);

    assert_ok(mv_file_open(&a, "disk", path, MV_FILE_LOCK, &err), &err);
    assert_ok(mv_file_open(&b, "disk", path, MV_FILE_LOCK, &err), &err);
    mv_file_close(&b);
    assert_error(mv_file_open(&b, "disk", path, write, &err), &err, MICROVM_E_IO,
                 "in use");
    mv_file_close(&a);
    assert_ok(mv_file_open(&b, "disk", path, write, &err), &err); /* gone with it */
    mv_file_close(&b);
    scratch_remove(path);
}

/* More spans than one system call gets, some of them empty. */
static void moves_many_spans(void **state)
{
    enum { SPANS = 200, BYTES = 64 << 10 };
    struct mv_file file = MV_FILE_CLOSED;
    struct mv_span span[SPANS];
    char path[SCRATCH_PATH];
    microvm_error err;
    (void)state;
    uint8_t *data = malloc(BYTES), *back = calloc(1, BYTES);
    assert_non_null(data);
    assert_non_null(back);
    size_t used = 0;
    for (unsigned i = 0; i < SPANS; i++) {
        span[i] = (struct mv_span){data + used, i % 7 * 50};
        used += span[i].length;
    }
    for (size_t i = 0; i < used; i++)
        data[i] = (uint8_t)(i * 31 >> 3);
    scratch_file(path, "", 0);
    assert_ok(mv_file_open(&file, "disk", path, MV_FILE_WRITE, &err), &err);
    assert_int_equal(mv_file_writev(&file, 1000, span, SPANS, 0), used);
    assert_int_equal(mv_file_read(&file, 1000, back, BYTES), used);
    assert_memory_equal(back, data, used);

    memcpy(back, data, used);
    memset(data, 0, used); /* skip leaves the first bytes alone */
    assert_int_equal(mv_file_readv(&file, 1000, span, SPANS, 777), used);
    assert_memory_equal(data + 777, back + 777, used - 777);
    assert_int_equal(data[776], 0);
    assert_int_equal(mv_file_readv(&file, 1010, span, SPANS, 0), used - 10);
    assert_int_equal(mv_file_readv(&file, 1000, span, SPANS, used), used);
    mv_file_close(&file);
    scratch_remove(path);
    free(data);
    free(back);
}

static void refuses_to_write_what_was_opened_to_read(void **state)
{
    struct mv_file file = MV_FILE_CLOSED;
    char x = 'x';
    struct mv_span span = {&x, 1};
    char path[SCRATCH_PATH];
    microvm_error err;
    (void)state;
    scratch_file(path, "hello", 5);
    assert_ok(mv_file_open(&file, "disk", path, 0, &err), &err);
    assert_true(mv_file_writev(&file, 0, &span, 1, 0) < 0);
    assert_false(file.can_discard);
    mv_file_close(&file);
    scratch_remove(path);
}

static void check_range(const struct mv_file *file, uint64_t offset, size_t length,
                        uint8_t value)
{
    uint8_t *back = malloc(length);
    assert_non_null(back);
    assert_int_equal(mv_file_read(file, offset, back, length), length);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(back[i], value);
    free(back);
}

static void zeroes_ranges(void **state)
{
    enum { BYTES = 1 << 20 };
    struct mv_file file = MV_FILE_CLOSED;
    char path[SCRATCH_PATH];
    microvm_error err;
    (void)state;
    uint8_t *data = malloc(BYTES);
    assert_non_null(data);
    memset(data, 0xaa, BYTES);
    scratch_file(path, data, BYTES);
    free(data);
    assert_ok(mv_file_open(&file, "disk", path, MV_FILE_WRITE, &err), &err);
    assert_int_equal(mv_file_zero(&file, 4096, 8192, true), 0);
    assert_int_equal(mv_file_zero(&file, 65536 + 512, 1000, false), 0);
    assert_int_equal(mv_file_zero(&file, 512 * 1024, 300 * 1024 + 512, false), 0);
    assert_int_equal(mv_file_discard(&file, BYTES - 8192, 4096), 0);
    assert_int_equal(mv_file_flush(&file), 0);
    check_range(&file, 0, 4096, 0xaa);
    check_range(&file, 4096, 8192, 0);
    check_range(&file, 12288, 65536 + 512 - 12288, 0xaa);
    check_range(&file, 65536 + 512, 1000, 0);
    check_range(&file, 65536 + 1512, 512, 0xaa);
    check_range(&file, 512 * 1024 - 512, 512, 0xaa);
    check_range(&file, 512 * 1024, 300 * 1024 + 512, 0);
    check_range(&file, 812 * 1024 + 512, 512, 0xaa);
    check_range(&file, BYTES - 4096, 4096, 0xaa);
    mv_file_close(&file);
    scratch_remove(path);
}

/* Transfers that are aligned and such that are not see the same bytes. */
static void direct_takes_any_alignment(void **state)
{
    enum { BYTES = 64 << 10 };
    struct mv_file file = MV_FILE_CLOSED;
    char path[SCRATCH_PATH];
    microvm_error err;
    (void)state;
    uint8_t *data = scratch_pages(BYTES);
    memset(data, 0x11, BYTES);
    scratch_file(path, data, BYTES);
    int rc = mv_file_open(&file, "disk", path, MV_FILE_WRITE | MV_FILE_DIRECT, &err);
    if (rc) {
        assert_error(rc, &err, MICROVM_E_UNSUPPORTED, "leave out 'direct'");
        print_message("not run: no direct I/O where the test runs\n");
    } else {
        memset(data, 0x22, BYTES);
        struct mv_span whole = {data, 8192}, odd = {data + 1, 1000};
        if (file.direct != -1) {
            assert_int_equal(mv_file_handle(&file, 4096, &whole, 1), file.direct);
            assert_int_equal(mv_file_handle(&file, 100, &whole, 1), file.handle);
            assert_int_equal(mv_file_handle(&file, 4096, &odd, 1), file.handle);
        }
        assert_int_equal(mv_file_writev(&file, 8192, &whole, 1, 0), 8192);
        assert_int_equal(mv_file_writev(&file, 20000, &odd, 1, 0), 1000);
        check_range(&file, 0, 8192, 0x11);
        check_range(&file, 8192, 8192, 0x22);
        check_range(&file, 20000, 1000, 0x22);
        struct mv_span all = {data, BYTES};
        assert_int_equal(mv_file_readv(&file, 0, &all, 1, 0), BYTES);
        assert_int_equal(data[19999], 0x11);
        assert_int_equal(data[20000], 0x22);
        assert_int_equal(data[20999], 0x22);
        assert_int_equal(data[21000], 0x11);
        mv_file_close(&file);
    }
    scratch_remove(path);
    scratch_pages_free(data);
}

static void serves_as_a_source(void **state)
{
    struct mv_file file = MV_FILE_CLOSED;
    struct mv_source source;
    char path[SCRATCH_PATH], data[8] = {0};
    microvm_error err;
    (void)state;
    scratch_file(path, "hello", 5);
    assert_ok(mv_file_open(&file, "kernel", path, 0, &err), &err);
    mv_file_source(&file, path, &source);
    assert_int_equal(source.size_bytes, 5);
    assert_ok(source.read(source.ctx, 1, data, 4, &err), &err);
    assert_string_equal(data, "ello");
    scratch_truncate(path, 3);
    assert_error(source.read(source.ctx, 1, data, 4, &err), &err, MICROVM_E_IO,
                 "became shorter");
    mv_file_close(&file);
    scratch_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_and_reads),
        cmocka_unit_test(names_what_is_missing),
        cmocka_unit_test(names_the_kind_it_refuses),
        cmocka_unit_test(locks_out_a_second_writer),
        cmocka_unit_test(moves_many_spans),
        cmocka_unit_test(refuses_to_write_what_was_opened_to_read),
        cmocka_unit_test(zeroes_ranges),
        cmocka_unit_test(direct_takes_any_alignment),
        cmocka_unit_test(serves_as_a_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
