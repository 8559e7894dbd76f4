/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * bzImage: what distributions ship as vmlinuz. A 16-bit part that a BIOS boot loader
 * would run (skipped, except for the header inside it), then a 64-bit program that
 * unpacks the kernel. Fields and offsets: Linux, Documentation/arch/x86/boot.rst.
 *
 * The program is loaded at 1 MiB, whatever the kernel's preferred address: a
 * relocatable kernel that was loaded lower moves up to pref_address before it unpacks
 * itself, and one that is not relocatable moves to its address unconditionally ("The
 * Real-Mode Kernel Header", pref_address). Hence two ranges: the segment where the file
 * goes, and [run_gpa, run_gpa + run_bytes), which the kernel takes without asking the
 * memory map.
 */
#include "arch/x86/kernel.h"

#include "arch/x86/layout.h"
#include "util/bytes.h"

enum {
    BZ_SETUP_SECTS = 0x1f1,
    BZ_SYSSIZE = 0x1f4,
    BZ_JUMP = 0x201,
    BZ_VERSION = 0x206,
    BZ_LOADFLAGS = 0x211,
    BZ_INITRD_ADDR_MAX = 0x22c,
    BZ_KERNEL_ALIGNMENT = 0x230,
    BZ_RELOCATABLE = 0x234,
    BZ_XLOADFLAGS = 0x236,
    BZ_CMDLINE_SIZE = 0x238,
    BZ_PREF_ADDRESS = 0x258,
    BZ_INIT_SIZE = 0x260,
    BZ_HEADER_MIN = 0x264, /* the header of protocol 2.12 ends with init_size, */
    BZ_HEADER_MAX = 0x290, /* and there the room for it in boot_params */

    BZ_VERSION_MIN = 0x20c, /* xloadflags */
    BZ_LOADED_HIGH = 1,
    BZ_XLF_KERNEL_64 = 1,
    BZ_ENTRY_64 = 0x200 /* from the load address */
};

static int bzimage_check(const struct mv_kernel_head *head, microvm_error *err)
{
    const struct mv_source *source = head->source;
    const uint8_t *h = head->bytes;
    unsigned version = mv_load16(h + BZ_VERSION);
    if (head->length < BZ_HEADER_MIN)
        return mv_kernel_fail(source, err,
                              "is a bzImage cut off after %llu bytes: copy it again",
                              (unsigned long long)head->length);
    if (version < BZ_VERSION_MIN)
        return mv_kernel_fail(source, err,
                              "speaks boot protocol %u.%02u: 2.12 (Linux 3.8) or later "
                              "is needed",
                              version >> 8, version & 0xff);
    if (!(h[BZ_LOADFLAGS] & BZ_LOADED_HIGH))
        return mv_kernel_fail(source, err,
                              "is a zImage, which loads below 1 MiB: build a bzImage");
    if (!(mv_load16(h + BZ_XLOADFLAGS) & BZ_XLF_KERNEL_64))
        return mv_kernel_fail(source, err,
                              "is a 32-bit kernel (no XLF_KERNEL_64): a 64-bit x86_64 "
                              "kernel is needed");
    return 0;
}

/* The segment: everything behind the 16-bit part that belongs to the kernel. */
static int bzimage_segment(const struct mv_kernel_head *head, struct mv_kernel *out,
                           microvm_error *err)
{
    const uint8_t *h = head->bytes;
    uint64_t file_bytes = head->source->size_bytes;
    /* 0 stands for 4 ("setup_sects"). */
    uint64_t setup = (h[BZ_SETUP_SECTS] ? h[BZ_SETUP_SECTS] + 1ull : 5ull) * 512;
    uint64_t bytes = mv_load32(h + BZ_SYSSIZE) * 16ull;
    if (bytes <= BZ_ENTRY_64)
        return mv_kernel_fail(head->source, err,
                              "is damaged: its header counts %llu bytes of 64-bit code",
                              (unsigned long long)bytes);
    if (setup + bytes > file_bytes)
        return mv_kernel_fail(
            head->source, err,
            "is truncated: its header counts %llu bytes, the file has "
            "%llu; copy it again",
            (unsigned long long)(setup + bytes), (unsigned long long)file_bytes);
    /* syssize counts whole paragraphs, rounded down since Linux 6.7; what may follow
     * the last one (a signature) is not loaded. */
    bytes = MV_MIN(bytes + 16, file_bytes - setup);
    out->segment[0] = (struct mv_kernel_segment){.offset = setup,
                                                 .file_bytes = bytes,
                                                 .gpa = MV_X86_KERNEL,
                                                 .memory_bytes = bytes};
    out->segments = 1;
    return 0;
}

/* Where it will run ("init_size": the runtime start address). */
static int bzimage_run(const struct mv_kernel_head *head, struct mv_kernel *out,
                       microvm_error *err)
{
    const uint8_t *h = head->bytes;
    uint64_t align = mv_load32(h + BZ_KERNEL_ALIGNMENT);
    uint64_t start = mv_load64(h + BZ_PREF_ADDRESS);
    if (h[BZ_RELOCATABLE]) {
        if (align < 4096 || (align & (align - 1)) != 0)
            return mv_kernel_fail(head->source, err,
                                  "is damaged: kernel_alignment 0x%llx is not a power "
                                  "of two of at least 4096",
                                  (unsigned long long)align);
        start = MV_MAX(start, mv_align_up(MV_X86_KERNEL, align));
    }
    out->run_gpa = start;
    out->run_bytes = mv_load32(h + BZ_INIT_SIZE);
    if (out->run_bytes == 0)
        return mv_kernel_fail(head->source, err,
                              "is damaged: init_size, the memory it needs to unpack "
                              "itself, is 0");
    return 0;
}

int mv_bzimage_parse(const struct mv_kernel_head *head, struct mv_kernel *out,
                     microvm_error *err)
{
    const uint8_t *h = head->bytes;
    int rc = bzimage_check(head, err);
    if (rc == 0)
        rc = bzimage_segment(head, out, err);
    if (rc == 0)
        rc = bzimage_run(head, out, err);
    if (rc)
        return rc;
    out->format = MV_KERNEL_BZIMAGE;
    out->entry64_gpa = MV_X86_KERNEL + BZ_ENTRY_64;
    out->initrd_max = mv_load32(h + BZ_INITRD_ADDR_MAX);
    out->cmdline_max = MV_MIN(mv_load32(h + BZ_CMDLINE_SIZE), 0xffffu);
    /* boot.rst, "Details of Header Fields": the header ends where its jump goes. */
    unsigned end = BZ_JUMP + 1u + h[BZ_JUMP];
    end = MV_MIN(MV_MAX(end, (unsigned)BZ_HEADER_MIN), (unsigned)BZ_HEADER_MAX);
    memcpy(out->header, h + BZ_SETUP_SECTS, end - BZ_SETUP_SECTS);
    return 0;
}
