/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Opening a disk: what is refused and in which words, and who may share an image.
 */
#include "disk_bed.h"

#ifdef __linux__
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>
#endif

static void check_refused(const void *head, size_t length, const void *tail,
                          const char *words)
{
    enum { BYTES = 64 << 10 };
    struct fixture f;
    microvm_error err;
    uint8_t *image = calloc(1, BYTES);
    assert_non_null(image);
    setup(&f);
    memcpy(image, head, length);
    if (tail)
        memcpy(image + BYTES - 512, tail, 8);
    scratch_file(f.path, image, BYTES);
    free(image);
    assert_error(open_any(&f, &err), &err, MICROVM_E_INVALID, words);
    assert_non_null(strstr(err.message, f.path));
    assert_null(f.disk);
    teardown(&f);
}

static void names_formats_that_are_not_raw(void **state)
{
    static const char convert[] = "only raw images are supported: convert it with "
                                  "'qemu-img convert -O raw'";
    (void)state;
    check_refused("QFI\xfb\0\0\0\3", 8, NULL, "a qcow2 image");
    check_refused("QFI\xfb", 4, NULL, convert);
    check_refused("KDMV\1", 5, NULL, "a VMDK image");
    check_refused("COWD\1", 5, NULL, "a VMDK image");
    check_refused("# Disk DescriptorFile\nversion=1\n", 32, NULL, "VMDK description");
    check_refused("conectix", 8, NULL, "a VHD image");
    check_refused("", 0, "conectix", "a VHD image"); /* fixed: a footer only */
    check_refused("vhdxfile", 8, NULL, "a VHDX image");
    check_refused("<<< Oracle VM VirtualBox Disk Image >>>\n", 40, NULL, "VirtualBox");
    check_refused("\x1f\x8b\x08", 3, NULL, "a gzip file");
    check_refused("\x1f\x8b\x08", 3, NULL, "uncompress it first");
    check_refused("\xfd"
                  "7zXZ",
                  6, NULL, "an xz file");
    check_refused("\x28\xb5\x2f\xfd", 4, NULL, "a zstd file");
}

static void a_qcow2_footer_is_data(void **state)
{
    struct fixture f;
    microvm_error err;
    uint8_t image[1024] = {0};
    (void)state;
    setup(&f);
    memcpy(image + 512, "QFI\xfb", 4);
    scratch_file(f.path, image, sizeof image);
    assert_ok(open_any(&f, &err), &err);
    assert_int_equal(f.disk->size_bytes, 1024);
    assert_int_equal(f.disk->block_bytes, 512);
    teardown(&f);
}

static void names_sizes_that_are_wrong(void **state)
{
    struct fixture f;
    microvm_error err;
    (void)state;
    setup(&f);
    scratch_sparse(f.path, 0);
    assert_error(open_any(&f, &err), &err, MICROVM_E_INVALID, "is empty");
    assert_non_null(strstr(err.message, "truncate -s 1G"));
    scratch_truncate(f.path, 1000);
    assert_error(open_any(&f, &err), &err, MICROVM_E_INVALID,
                 "its size of 1000 bytes is no multiple of 512");
    assert_non_null(strstr(err.message, "truncate -s %512"));
    scratch_truncate(f.path, 1024);
    assert_ok(open_any(&f, &err), &err);
    teardown(&f);
}

static void names_what_is_no_image(void **state)
{
    struct fixture f;
    microvm_error err;
    (void)state;
    setup(&f);
    const char *kind = scratch_special(f.path, SCRATCH_DIRECTORY);
    assert_error(open_any(&f, &err), &err, MICROVM_E_INVALID, kind);
    scratch_remove(f.path);
    assert_error(open_any(&f, &err), &err, MICROVM_E_IO, "no such file");
    teardown(&f);
}

static void two_machines_cannot_write_one_image(void **state)
{
    struct fixture f, g;
    microvm_error err;
    (void)state;
    setup(&f);
    setup(&g);
    scratch_sparse(f.path, 4096);
    g.config.path = f.path;
    assert_ok(open_any(&f, &err), &err);
    assert_error(open_any(&g, &err), &err, MICROVM_E_IO, "another machine or program");
    g.config.read_only = true;
    assert_error(open_any(&g, &err), &err, MICROVM_E_IO, "for writing");
    f.disk->ops->close(f.disk);
    f.config.read_only = true;
    assert_ok(open_any(&f, &err), &err);
    assert_ok(open_any(&g, &err), &err); /* many may read */
    teardown(&f);
    (void)snprintf(g.path, sizeof g.path, "%s", f.path);
    teardown(&g);
}

/* As in a container that forbids io_uring; here for want of a descriptor. */
static void falls_back_to_threads_and_says_so(void **state)
{
    (void)state;
#if defined(__linux__) && MV_HAVE_URING
    struct fixture f;
    struct rlimit limit, low;
    microvm_error err;
    setup(&f);
    scratch_sparse(f.path, 4096);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int taken[32];
    for (unsigned i = 0; i < MV_ARRAY_LEN(taken); i++)
        taken[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    low = limit;
    low.rlim_cur = (rlim_t)taken[31] + 1;
    (void)close(taken[31]); /* for the file */
    (void)close(taken[30]); /* for the bell; there is none for the ring */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    int rc = open_any(&f, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (unsigned i = 0; i < 30; i++)
        (void)close(taken[i]);
    assert_ok(rc, &err);
    assert_string_equal(f.disk->ops->name, "threads");
    assert_non_null(strstr(f.line, "threads instead of io_uring: io_uring is not"));
    teardown(&f);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_formats_that_are_not_raw),
        cmocka_unit_test(a_qcow2_footer_is_data),
        cmocka_unit_test(names_sizes_that_are_wrong),
        cmocka_unit_test(names_what_is_no_image),
        cmocka_unit_test(two_machines_cannot_write_one_image),
        cmocka_unit_test(falls_back_to_threads_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
