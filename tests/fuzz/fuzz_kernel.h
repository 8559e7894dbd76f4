/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What fuzz_elf and fuzz_bzimage share: an input as a kernel file, brought to the point
 * where a vCPU would start, by every protocol and with an initrd. Beside crashes,
 * wanted are kernels whose parts end up on top of each other.
 */
#ifndef TESTS_FUZZ_FUZZ_KERNEL_H
#define TESTS_FUZZ_FUZZ_KERNEL_H

#include "fuzz.h"

#include "arch/x86/boot.h"
#include "arch/x86/layout.h"
#include "os/mem.h"

static inline int fuzz_read(void *ctx, uint64_t offset, void *to, uint64_t length,
                            microvm_error *err)
{
    const struct fuzz *file = ctx;
    (void)err;
    MV_ASSERT(mv_inside(offset, length, 0, file->length));
    memcpy(to, file->data + offset, (size_t)length);
    return 0;
}

static inline void fuzz_prepare(const struct mv_ram *ram,
                                const struct mv_kernel *kernel,
                                const struct mv_source *initrd, enum mv_boot_mode mode)
{
    struct mv_boot_request request = {.ram = ram,
                                      .kernel = kernel,
                                      .initrd = initrd,
                                      .cmdline = "console=ttyS0",
                                      .mode = mode};
    struct mv_boot_entry entry;
    struct mv_x86_cpu cpu;
    if (mv_boot_prepare(&request, &entry, NULL))
        return;
    MV_ASSERT(entry.initrd_gpa >= kernel->run_gpa + kernel->run_bytes);
    for (unsigned i = 0; i < kernel->segments; i++)
        MV_ASSERT(!mv_overlap(kernel->segment[i].gpa, kernel->segment[i].memory_bytes,
                              entry.initrd_gpa, entry.initrd_bytes));
    mv_boot_cpu(&entry, &cpu);
}

static inline void fuzz_kernel(const uint8_t *data, size_t length)
{
    struct fuzz file = {data, length};
    struct mv_source source = {"fuzz", length, fuzz_read, &file};
    struct mv_kernel kernel;
    struct mv_ram ram;
    if (mv_kernel_identify(&source, &kernel, NULL))
        return;
    MV_ASSERT(kernel.segments > 0);
    if (mv_ram_open(&ram, MV_MIB(32), MV_X86_HOLE, MV_X86_HOLE_END, 0, NULL))
        return;
    if (mv_kernel_load(&kernel, &ram, NULL) == 0) {
        (void)mv_kernel_has_acpi(&kernel, &ram);
        (void)mv_kernel_has_serial_pnp(&kernel, &ram);
        fuzz_prepare(&ram, &kernel, &source, MV_BOOT_AUTO);
        fuzz_prepare(&ram, &kernel, &source, MV_BOOT_LINUX);
        fuzz_prepare(&ram, &kernel, &source, MV_BOOT_PVH);
    }
    mv_ram_close(&ram);
}

#endif
