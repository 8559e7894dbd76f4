/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a loaded kernel can do, found by searching its data: the questions of acpi=auto
 * and transport=auto. First of kernels made for the purpose, then of real ones, which
 * the environment names.
 */
#include "check.h"
#include "image.h"

#include "arch/x86/boot.h"
#include "arch/x86/layout.h"
#include "os/file.h"
#include "os/mem.h"
#include "util/bytes.h"

#include <stdlib.h>

static struct image image;
static struct mv_ram ram;
static struct mv_kernel kernel;

static void load(void)
{
    microvm_error err;
    assert_ok(mv_kernel_identify(&image.source, &kernel, &err), &err);
    assert_ok(mv_kernel_load(&kernel, &ram, &err), &err);
}

static int open_ram(void **state)
{
    microvm_error err;
    (void)state;
    return mv_ram_open(&ram, MV_MIB(128), MV_X86_HOLE, MV_X86_HOLE_END, 0, &err);
}

static int close_ram(void **state)
{
    (void)state;
    mv_ram_close(&ram);
    return 0;
}

static void finds_acpi_by_a_parameter(void **state)
{
    static const char name[] = "\0acpi_force_table_verification";
    uint8_t *end = image.data + 0x4000 + IMAGE_ELF_DATA_BYTES;
    (void)state;
    image_elf(&image);
    load();
    assert_false(mv_kernel_has_acpi(&kernel, &ram));
    for (unsigned i = 0; i < 40; i++) { /* at any alignment, up to the very end */
        image_elf(&image);
        memcpy(end - sizeof name - i, name, sizeof name);
        load();
        assert_true(mv_kernel_has_acpi(&kernel, &ram));
    }
    end[-39 - 1] = 'x'; /* the final NUL: a longer name */
    load();
    assert_false(mv_kernel_has_acpi(&kernel, &ram));
}

static void finds_the_serial_driver_by_its_table(void **state)
{
    static const char core[19] = "PNP0500";
    static const char driver[24] = "PNP0500\0\0\0\0\0\0\0\0\0PNP0501";
    uint8_t *text = image.data + 0x1000;
    (void)state;
    image_elf(&image);
    load();
    assert_true(mv_kernel_has_serial_pnp(&kernel, &ram)); /* nothing says no */
    memcpy(text + 0x20, core, sizeof core);
    load();
    assert_false(mv_kernel_has_serial_pnp(&kernel, &ram));
    memcpy(text + IMAGE_ELF_TEXT_BYTES - 32, driver, sizeof driver);
    load();
    assert_true(mv_kernel_has_serial_pnp(&kernel, &ram));
}

/* Linux's struct pci_device_id of the virtio driver. */
static void finds_virtio_pci_by_its_ids(void **state)
{
    uint8_t *text = image.data + 0x1000;
    (void)state;
    for (unsigned at = 0; at + 32 <= IMAGE_ELF_TEXT_BYTES; at += 0x7f8) {
        image_elf(&image);
        load();
        assert_false(mv_kernel_has_virtio_pci(&kernel, &ram));
        mv_store32(text + at, 0x1af4);
        memset(text + at + 4, 0xff, 12);
        memset(text + at + 16, 0, 16);
        load();
        assert_true(mv_kernel_has_virtio_pci(&kernel, &ram));
        mv_store32(text + at + 4, 0x1000); /* somebody who wants one device only */
        load();
        assert_false(mv_kernel_has_virtio_pci(&kernel, &ram));
    }
}

static void says_yes_for_distribution_kernels(void **state)
{
    (void)state;
    image_bzimage(&image);
    load();
    assert_true(mv_kernel_has_acpi(&kernel, &ram));
    assert_true(mv_kernel_has_serial_pnp(&kernel, &ram));
    assert_true(mv_kernel_has_virtio_pci(&kernel, &ram));
}

/* All of the kernels have virtio over PCI. */
static void real(const char *variable, bool acpi, bool serial_pnp)
{
    const char *path = getenv(variable);
    struct mv_file file = MV_FILE_CLOSED;
    struct mv_source source;
    microvm_error err;
    if (!path) {
        print_message("SKIP: %s names no kernel\n", variable);
        skip();
        return;
    }
    assert_ok(mv_file_open(&file, "kernel", path, 0, &err), &err);
    mv_file_source(&file, path, &source);
    assert_ok(mv_kernel_identify(&source, &kernel, &err), &err);
    assert_ok(mv_kernel_load(&kernel, &ram, &err), &err);
    mv_file_close(&file);
    assert_int_equal(mv_kernel_has_acpi(&kernel, &ram), acpi);
    assert_int_equal(mv_kernel_has_serial_pnp(&kernel, &ram), serial_pnp);
    assert_true(mv_kernel_has_virtio_pci(&kernel, &ram));
}

static void knows_the_ring3_kernel(void **state)
{
    (void)state;
    real("MICROVM_RING3_KERNEL", false, true);
}

static void knows_the_lean_kernel(void **state)
{
    (void)state;
    real("MICROVM_LEAN_KERNEL", true, false);
}

static void knows_a_stock_kernel(void **state)
{
    (void)state;
    real("MICROVM_STOCK_KERNEL", true, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_acpi_by_a_parameter),
        cmocka_unit_test(finds_the_serial_driver_by_its_table),
        cmocka_unit_test(finds_virtio_pci_by_its_ids),
        cmocka_unit_test(says_yes_for_distribution_kernels),
        cmocka_unit_test(knows_the_ring3_kernel),
        cmocka_unit_test(knows_the_lean_kernel),
        cmocka_unit_test(knows_a_stock_kernel),
    };
    return cmocka_run_group_tests(tests, open_ram, close_ram);
}
