/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Kernel files: what is taken from good ones, and the sentence that each bad one gets.
 */
#include "check.h"
#include "image.h"

#include "arch/x86/boot.h"
#include "util/bytes.h"

static struct image image; /* one at a time; too big for some stacks */

static void refused(const char *words)
{
    struct mv_kernel kernel = {.segments = 99};
    microvm_error err;
    assert_error(mv_kernel_identify(&image.source, &kernel, &err), &err,
                 MICROVM_E_KERNEL, words);
    assert_int_equal(kernel.segments, 99); /* outputs are left alone */
}

/* ---- good files ------------------------------------------------------------------ */

static void takes_an_elf(void **state)
{
    struct mv_kernel k;
    microvm_error err;
    (void)state;
    image_elf(&image);
    assert_ok(mv_kernel_identify(&image.source, &k, &err), &err);
    assert_int_equal(k.format, MV_KERNEL_ELF);
    assert_int_equal(k.segments, 2);
    assert_int_equal(k.segment[1].gpa, IMAGE_ELF_DATA);
    assert_int_equal(k.segment[1].file_bytes, IMAGE_ELF_DATA_BYTES);
    assert_int_equal(k.segment[1].memory_bytes, IMAGE_ELF_DATA_MEMORY);
    assert_int_equal(k.run_gpa, IMAGE_ELF_TEXT);
    assert_int_equal(k.run_bytes, IMAGE_ELF_DATA + IMAGE_ELF_DATA_MEMORY - k.run_gpa);
    assert_int_equal(k.entry64_gpa, IMAGE_ELF_ENTRY);
    assert_int_equal(k.entry_pvh, IMAGE_ELF_PVH);
    assert_true(k.linux_notes);
}

static void reads_pvh_notes_of_both_sizes(void **state)
{
    struct mv_kernel k;
    microvm_error err;
    (void)state;
    image_elf(&image);
    uint8_t *xen = image.data + IMAGE_ELF_NOTES + 24;
    mv_store32(xen + 4, 4); /* a 32-bit kernel's pointer */
    assert_ok(mv_kernel_identify(&image.source, &k, &err), &err);
    assert_int_equal(k.entry_pvh, IMAGE_ELF_PVH);
    mv_store32(xen + 16, 0x5000000); /* outside the segments: no entry */
    assert_ok(mv_kernel_identify(&image.source, &k, &err), &err);
    assert_int_equal(k.entry_pvh, 0);
    mv_store32(xen + 4, 0xffffffff); /* a length that runs away */
    assert_ok(mv_kernel_identify(&image.source, &k, &err), &err);
    assert_true(k.linux_notes);
    mv_store32(xen, 0xffffffff);
    assert_ok(mv_kernel_identify(&image.source, &k, &err), &err);
}

static void takes_a_bzimage(void **state)
{
    struct mv_kernel k;
    microvm_error err;
    (void)state;
    image_bzimage(&image);
    assert_ok(mv_kernel_identify(&image.source, &k, &err), &err);
    assert_int_equal(k.format, MV_KERNEL_BZIMAGE);
    assert_int_equal(k.segments, 1);
    assert_int_equal(k.segment[0].gpa, 0x100000);
    assert_int_equal(k.segment[0].offset, IMAGE_BZ_SETUP);
    assert_int_equal(k.segment[0].file_bytes, IMAGE_BZ_CODE_BYTES);
    assert_int_equal(k.run_gpa, IMAGE_BZ_PREF_ADDRESS);
    assert_int_equal(k.run_bytes, IMAGE_BZ_INIT_SIZE);
    assert_int_equal(k.entry64_gpa, 0x100200);
    assert_int_equal(k.initrd_max, 0x7fffffff);
    assert_int_equal(k.cmdline_max, 2047);
    assert_memory_equal(k.header, image.data + 0x1f1, 0x26c - 0x1f1);
    assert_int_equal(k.header[0x26c - 0x1f1], 0);
}

static void finds_where_a_bzimage_runs(void **state)
{
    struct mv_kernel k;
    microvm_error err;
    (void)state;
    image_bzimage(&image);
    mv_store64(image.data + 0x258, 0); /* no preference: realigned from 1 MiB */
    assert_ok(mv_kernel_identify(&image.source, &k, &err), &err);
    assert_int_equal(k.run_gpa, 0x200000);
    mv_store64(image.data + 0x258, 0x400000);
    image.data[0x234] = 0; /* not relocatable: its address, whatever the alignment */
    mv_store32(image.data + 0x230, 3);
    assert_ok(mv_kernel_identify(&image.source, &k, &err), &err);
    assert_int_equal(k.run_gpa, 0x400000);
}

static void leaves_a_signature_in_the_file(void **state)
{
    struct mv_kernel k;
    microvm_error err;
    (void)state;
    image_bzimage(&image);
    image.source.size_bytes += 1500;
    assert_ok(mv_kernel_identify(&image.source, &k, &err), &err);
    assert_int_equal(k.segment[0].file_bytes, IMAGE_BZ_CODE_BYTES);
    image.data[0x1f1] = 0; /* stands for 4 */
    assert_ok(mv_kernel_identify(&image.source, &k, &err), &err);
    assert_int_equal(k.segment[0].offset, IMAGE_BZ_SETUP);
}

/* ---- bad ELF files --------------------------------------------------------------- */

static void elf16(unsigned at, uint16_t value, const char *words)
{
    image_elf(&image);
    mv_store16(image.data + at, value);
    refused(words);
}

static void elf64(unsigned at, uint64_t value, const char *words)
{
    image_elf(&image);
    mv_store64(image.data + at, value);
    refused(words);
}

static void refuses_other_elf_files(void **state)
{
    (void)state;
    elf16(18, 183, "ELF file for arm64: this machine is x86_64");
    elf16(18, 3, "ELF file for i386");
    elf16(18, 243, "ELF file for riscv");
    elf16(18, 0x1234, "ELF file for another processor");
    elf16(4, 0x0101, "is a 32-bit");
    elf16(4, 0x0202, "ELF file for"); /* big-endian: 62 read the other way round */
    elf16(16, 1, "relocatable object");
    elf16(16, 4, "core dump");
    elf16(16, 0xff00, "type 65280");
    elf16(56, 0, "without program headers");
    elf16(56, 65, "65 program headers");
    elf16(54, 32, "program headers of 32 bytes");
    const unsigned note = IMAGE_ELF_PROGRAMS + 112;
    elf16(note, 3, "is a program or a shared library");
    elf16(note, 2, "is a program or a shared library");
    elf16(note, 7, "is a program or a shared library");
}

static void refuses_damaged_elf_files(void **state)
{
    const unsigned text = IMAGE_ELF_PROGRAMS, data = text + 56, note = data + 56;
    (void)state;
    elf64(32, IMAGE_ELF_BYTES - 8, "truncated: its program headers");
    elf64(32, UINT64_MAX - 8, "truncated: its program headers");
    elf64(text + 8, IMAGE_ELF_BYTES, "truncated: a segment ends at byte");
    elf64(text + 32, UINT64_MAX, "truncated: a segment ends");
    elf64(data + 40, 0x800, "more bytes in the file than in memory");
    elf64(data + 24, UINT64_MAX - 0x1000, "wraps around");
    elf64(data + 24, IMAGE_ELF_TEXT + 0x2fff, "0x1000000 and 0x1002fff overlap");
    elf64(note + 8, IMAGE_ELF_BYTES, "truncated: its notes");
    image_elf(&image);
    image.source.size_bytes = 40;
    refused("cut off after 40 bytes");
    image_elf(&image);
    mv_store32(image.data + text, 5);
    mv_store32(image.data + data, 5);
    refused("without loadable segments");
    image_elf(&image);
    mv_store64(image.data + 24, 0x99);
    mv_store32(image.data + note, 5);
    refused("entry point 0x99 lies in none");
    image_elf(&image); /* 17 small segments */
    mv_store16(image.data + 56, 17);
    for (unsigned i = 0; i < 17; i++) {
        uint8_t *p = image.data + text + i * 56;
        mv_store32(p, 1);
        mv_store64(p + 24, 0x1000000 + i * 0x1000);
        mv_store64(p + 32, 0);
        mv_store64(p + 40, 0x1000);
    }
    refused("more than 16 segments");
}

/* ---- bad bzImages ---------------------------------------------------------------- */

static void bz32(unsigned at, uint32_t value, const char *words)
{
    image_bzimage(&image);
    mv_store32(image.data + at, value);
    refused(words);
}

static void refuses_bad_bzimages(void **state)
{
    (void)state;
    image_bzimage(&image);
    mv_store16(image.data + 0x206, 0x20b);
    refused("boot protocol 2.11: 2.12 (Linux 3.8)");
    image_bzimage(&image);
    image.data[0x211] = 0;
    refused("zImage");
    image_bzimage(&image);
    mv_store16(image.data + 0x236, 0);
    refused("32-bit kernel");
    image_bzimage(&image);
    image.source.size_bytes = 0x250;
    refused("cut off after 592 bytes");
    image_bzimage(&image);
    image.source.size_bytes -= 17;
    refused("truncated: its header counts");
    bz32(0x1f4, 0xffffffff, "truncated: its header counts");
    bz32(0x1f4, 0x20, "64-bit code");
    bz32(0x230, 0, "kernel_alignment 0x0");
    bz32(0x230, 0x300000, "kernel_alignment 0x300000");
    bz32(0x260, 0, "init_size");
}

/* ---- files that are something else ----------------------------------------------- */

static void refuses_by_name(void **state)
{
    static const struct {
        unsigned offset, length;
        const char *magic, *words;
    } files[] = {
        {0, 3, "\x1f\x8b\x08", "compressed with gzip: unpack it first"},
        {0, 6,
         "\xfd"
         "7zXZ",
         "compressed with xz: unpack it first"},
        {0, 4, "\x28\xb5\x2f\xfd", "compressed with zstd: unpack it first"},
        {0, 4, "\x04\x22\x4d\x18", "compressed with lz4: unpack it first"},
        {0, 4, "\x02\x21\x4c\x18", "lz4 (legacy frames)"},
        {0, 4, "BZh9", "compressed with bzip2"},
        {0, 5, "\x5d\0\0\x80\0", "compressed with lzma"},
        {0, 4, "\x89LZO", "compressed with lzop"},
        {0x38, 4, "ARMd", "Linux Image for arm64"},
        {0x38, 4, "RSC\x05", "Linux Image for riscv"},
        {0, 4, "\x27\x05\x19\x56", "uImage"},
        {0, 4, "\xd0\x0d\xfe\xed", "device tree"},
        {0, 4, "\xcf\xfa\xed\xfe", "Mach-O"},
        {0, 4, "QFI\xfb", "qcow2 disk image: convert it"},
        {0, 4, "KDMV", "VMDK"},
        {0, 8, "vhdxfile", "VHDX"},
        {0, 8, "conectix", "VHD disk image"},
        {0x8001, 5, "CD001", "ISO 9660"},
        {0x438, 2, "\x53\xef", "ext4 file system: give it as a disk"},
        {0, 4, "hsqs", "squashfs"},
        {0x400, 4, "\xe2\xe1\xf5\xe0", "erofs"},
        {0, 4, "XFSB", "XFS"},
        {0x10040, 8, "_BHRfS_M", "btrfs"},
        {0x200, 8, "EFI PART", "GPT"},
        {0, 6, "070701", "cpio archive (an initramfs): give it as the initrd"},
        {0x101, 5, "ustar", "tar archive"},
        {0, 4, "PK\x03\x04", "zip archive"},
        {0, 8, "!<arch>\n", "ar archive"},
        {0, 4, "\xed\xab\xee\xdb", "RPM"},
        {0, 10, "#!/bin/sh\n", "is a script"},
        {0, 2, "MZ", "without Linux's boot header"},
        {0x1fe, 2, "\x55\xaa", "partition table"},
        {0x1800, 1, "x", "begins with 4096 zero bytes"},
        {3, 1, "\x90", "begins with bytes 00 00 00 90"},
    };
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(files); i++) {
        image_zero(&image, IMAGE_BYTES_MAX);
        memcpy(image.data + files[i].offset, files[i].magic, files[i].length);
        refused(files[i].words);
    }
}

static void refuses_short_files(void **state)
{
    (void)state;
    image_zero(&image, 0);
    refused("kernel 'image' is empty");
    image_zero(&image, 5);
    memcpy(image.data, "host\n", 5);
    refused("is a text file: a kernel is a bzImage");
    image_zero(&image, 1);
    image.data[0] = 0x7f;
    refused("begins with bytes 7f 00 00 00");
    image_zero(&image, 0x439); /* one byte short of ext4's magic */
    image.data[0x438] = 0x53;
    image.data[0] = 1;
    refused("begins with bytes 01");
}

static int read_fails(void *ctx, uint64_t offset, void *to, uint64_t length,
                      microvm_error *err)
{
    (void)ctx;
    (void)offset;
    (void)to;
    (void)length;
    return mv_fail(err, MICROVM_E_IO, "disk on fire");
}

static void passes_read_errors_on(void **state)
{
    const struct mv_source source = {"broken", 4096, read_fails, NULL};
    struct mv_kernel kernel;
    microvm_error err;
    (void)state;
    assert_error(mv_kernel_identify(&source, &kernel, &err), &err, MICROVM_E_IO,
                 "fire");
}

static void keeps_the_reason_behind_a_long_path(void **state)
{
    char path[300];
    microvm_error err;
    struct mv_kernel kernel;
    (void)state;
    memset(path, 'd', sizeof path);
    memcpy(path + sizeof path - 8, "/vmlinu", 8);
    image_zero(&image, 0);
    image.source.name = path;
    assert_error(mv_kernel_identify(&image.source, &kernel, &err), &err,
                 MICROVM_E_KERNEL, "d/vmlinu' is empty: give a bzImage");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_an_elf),
        cmocka_unit_test(reads_pvh_notes_of_both_sizes),
        cmocka_unit_test(takes_a_bzimage),
        cmocka_unit_test(finds_where_a_bzimage_runs),
        cmocka_unit_test(leaves_a_signature_in_the_file),
        cmocka_unit_test(refuses_other_elf_files),
        cmocka_unit_test(refuses_damaged_elf_files),
        cmocka_unit_test(refuses_bad_bzimages),
        cmocka_unit_test(refuses_by_name),
        cmocka_unit_test(refuses_short_files),
        cmocka_unit_test(passes_read_errors_on),
        cmocka_unit_test(keeps_the_reason_behind_a_long_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
