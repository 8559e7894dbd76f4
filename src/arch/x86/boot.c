/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What stands in guest memory beside the kernel when it starts: initrd, command line,
 * memory map, page tables, GDT, and the parameter block of the protocol that is used
 * (boot_params of Linux's 64-bit protocol, or hvm_start_info of PVH). Where: layout.h.
 *
 * The memory map says what saves the guest searching: page 0, the EBDA and everything
 * to 1 MiB are reserved, and ECAM, which Linux does not use until it has seen that;
 * ACPI's root pointer is named, so nobody scans for it; the
 * screen has 0 columns, so nobody looks for a VGA adapter.
 */
#include "arch/x86/boot.h"

#include "arch/x86/layout.h"
#include "util/assert.h"
#include "util/bytes.h"

enum {
    /* boot_params, Documentation/arch/x86/zero-page.rst */
    BP_RSDP = 0x070,
    BP_E820_COUNT = 0x1e8,
    BP_HEADER = 0x1f1,
    BP_BOOT_FLAG = 0x1fe,
    BP_MAGIC = 0x202,
    BP_VERSION = 0x206,
    BP_LOADER = 0x210,
    BP_CODE32_START = 0x214,
    BP_INITRD = 0x218,
    BP_INITRD_SIZE = 0x21c,
    BP_CMDLINE = 0x228,
    BP_ALIGNMENT = 0x230,
    BP_CMDLINE_SIZE = 0x238,
    BP_E820 = 0x2d0,
    BP_SIZE = 0x1000,
    BP_LOADER_UNKNOWN = 0xff,

    /* hvm_start_info version 1, xen/include/public/arch-x86/hvm/start_info.h */
    PVH_MAGIC = 0x336ec578,
    PVH_MODULES = 0x100, /* our places for the two lists, from the structure */
    PVH_MEMORY_MAP = 0x200,
    PVH_ENTRY_BYTES = 24,

    E820_RAM = 1,
    E820_RESERVED = 2,
    E820_ENTRY_BYTES = 20,
    E820_MAX = 8
};

struct boot_range {
    uint64_t gpa, bytes;
    uint32_t type;
};

static unsigned boot_memory_map(const struct mv_ram *ram, bool pci,
                                struct boot_range range[E820_MAX])
{
    const struct mv_ram_region *low = &ram->region[0];
    unsigned n = 0;
    range[n++] = (struct boot_range){0, MV_X86_LOW_USABLE, E820_RESERVED};
    range[n++] = (struct boot_range){MV_X86_LOW_USABLE, MV_X86_EBDA - MV_X86_LOW_USABLE,
                                     E820_RAM};
    range[n++] =
        (struct boot_range){MV_X86_EBDA, MV_X86_KERNEL - MV_X86_EBDA, E820_RESERVED};
    range[n++] =
        (struct boot_range){MV_X86_KERNEL, low->size - MV_X86_KERNEL, E820_RAM};
    if (pci)
        range[n++] = (struct boot_range){MV_X86_ECAM, MV_X86_ECAM_SIZE, E820_RESERVED};
    for (unsigned i = 1; i < ram->count; i++)
        range[n++] =
            (struct boot_range){ram->region[i].gpa, ram->region[i].size, E820_RAM};
    MV_ASSERT(n <= E820_MAX);
    return n;
}

/* Our own places in the first MiB; mv_boot_prepare has checked that it is there. */
static uint8_t *boot_low(const struct mv_ram *ram, uint64_t gpa, uint64_t bytes)
{
    uint8_t *at = mv_ram_at(ram, gpa, bytes);
    MV_ASSERT(at != NULL);
    return at;
}

/* ---- initrd and command line ----------------------------------------------------- */

/*
 * As high as the kernel takes it: low memory stays free for what the kernel places
 * early. "page-aligned" is Linux's demand (reserve_initrd frees whole pages).
 */
static int boot_load_initrd(const struct mv_boot_request *request,
                            struct mv_boot_entry *out, microvm_error *err)
{
    const struct mv_kernel *kernel = request->kernel;
    const struct mv_source *initrd = request->initrd;
    const struct mv_ram_region *low = &request->ram->region[0];
    uint64_t bytes = initrd->size_bytes;
    uint64_t top = MV_MIN(low->size, kernel->initrd_max + 1);
    uint64_t floor = kernel->run_gpa + kernel->run_bytes;
    for (unsigned i = 0; i < kernel->segments; i++)
        floor = MV_MAX(floor, kernel->segment[i].gpa + kernel->segment[i].memory_bytes);
    floor = mv_align_up(floor, 4096);
    if (bytes == 0)
        return mv_fail(err, MICROVM_E_KERNEL,
                       "initrd '%s' is empty: leave it away, or give a cpio archive",
                       initrd->name);
    if (bytes > UINT32_MAX || top < floor || bytes > top - floor)
        return mv_fail(
            err, MICROVM_E_KERNEL,
            "initrd '%s' (%llu MiB) does not fit between the kernel's end at "
            "%llu MiB and %llu MiB%s",
            initrd->name, (unsigned long long)((bytes + 0xfffff) >> 20),
            (unsigned long long)(floor >> 20), (unsigned long long)(top >> 20),
            top < low->size ? ", the highest address this kernel takes it at"
                            : ": give the machine more memory");
    uint64_t gpa = mv_align_down(top - bytes, 4096);
    /* floor is page-aligned, so rounding down cannot go below it. */
    void *to = mv_ram_at(request->ram, gpa, bytes);
    MV_ASSERT(gpa >= floor && to != NULL);
    int rc = initrd->read(initrd->ctx, 0, to, bytes, err);
    if (rc)
        return rc;
    out->initrd_gpa = gpa;
    out->initrd_bytes = bytes;
    return 0;
}

static int boot_put_cmdline(const struct mv_boot_request *request, microvm_error *err)
{
    size_t length = strlen(request->cmdline);
    if (length > request->kernel->cmdline_max || length >= MV_X86_CMDLINE_MAX)
        return mv_fail(err, MICROVM_E_KERNEL,
                       "kernel command line: %zu bytes are too many, this kernel takes "
                       "%u",
                       length, request->kernel->cmdline_max);
    memcpy(boot_low(request->ram, MV_X86_CMDLINE, length + 1), request->cmdline,
           length + 1);
    return 0;
}

/* ---- processor tables ------------------------------------------------------------ */

/* Flat code and data at the selectors that boot.rst names: 0x10 and 0x18. */
static void boot_put_gdt(const struct mv_ram *ram, bool pvh)
{
    uint8_t *gdt = boot_low(ram, MV_X86_GDT, 32);
    mv_store64(gdt + 0x10, pvh ? 0x00cf9b000000ffff : 0x00af9b000000ffff);
    mv_store64(gdt + 0x18, 0x00cf93000000ffff);
}

/* The first 4 GiB, by 2 MiB pages: those every processor has. 1 GiB pages would save
 * four pages of writing and need a CPUID bit. */
static void boot_put_page_tables(const struct mv_ram *ram)
{
    enum { PRESENT_WRITE = 0x3, LARGE = 0x80, DIRECTORIES = 4 };
    uint8_t *table = boot_low(ram, MV_X86_PAGE_TABLES, (2 + DIRECTORIES) * 4096);
    mv_store64(table, (MV_X86_PAGE_TABLES + 0x1000) | PRESENT_WRITE);
    for (uint64_t i = 0; i < DIRECTORIES; i++)
        mv_store64(table + 0x1000 + i * 8,
                   (MV_X86_PAGE_TABLES + 0x2000 + i * 0x1000) | PRESENT_WRITE);
    for (uint64_t i = 0; i < DIRECTORIES * 512; i++)
        mv_store64(table + 0x2000 + i * 8, i << 21 | LARGE | PRESENT_WRITE);
}

/* ---- parameter blocks ------------------------------------------------------------ */

static void boot_put_linux(const struct mv_boot_request *request,
                           const struct mv_boot_entry *entry)
{
    struct boot_range range[E820_MAX];
    unsigned count = boot_memory_map(request->ram, request->pci, range);
    uint8_t *bp = boot_low(request->ram, MV_X86_PARAMS, BP_SIZE);
    memset(bp, 0, BP_SIZE);
    memcpy(bp + BP_HEADER, request->kernel->header, MV_KERNEL_HEADER_MAX);
    if (request->kernel->format == MV_KERNEL_ELF) {
        /* No header in the file: what the kernel looks at, as a boot loader says it. */
        mv_store16(bp + BP_BOOT_FLAG, 0xaa55);
        memcpy(bp + BP_MAGIC, "HdrS", 4);
        mv_store16(bp + BP_VERSION, 0x20f);
        mv_store32(bp + BP_ALIGNMENT, 0x1000000);
        mv_store32(bp + BP_CMDLINE_SIZE, request->kernel->cmdline_max);
    } else {
        mv_store32(bp + BP_CODE32_START, MV_X86_KERNEL);
    }
    bp[BP_LOADER] = BP_LOADER_UNKNOWN;
    mv_store32(bp + BP_CMDLINE, MV_X86_CMDLINE);
    mv_store32(bp + BP_INITRD, (uint32_t)entry->initrd_gpa);
    mv_store32(bp + BP_INITRD_SIZE, (uint32_t)entry->initrd_bytes);
    mv_store64(bp + BP_RSDP, request->rsdp_gpa);
    bp[BP_E820_COUNT] = (uint8_t)count;
    for (unsigned i = 0; i < count; i++) {
        uint8_t *e = bp + BP_E820 + i * E820_ENTRY_BYTES;
        mv_store64(e, range[i].gpa);
        mv_store64(e + 8, range[i].bytes);
        mv_store32(e + 16, range[i].type);
    }
}

static void boot_put_pvh(const struct mv_boot_request *request,
                         const struct mv_boot_entry *entry)
{
    struct boot_range range[E820_MAX];
    unsigned count = boot_memory_map(request->ram, request->pci, range);
    uint8_t *si = boot_low(request->ram, MV_X86_PARAMS, BP_SIZE);
    memset(si, 0, BP_SIZE);
    mv_store32(si, PVH_MAGIC);
    mv_store32(si + 4, 1); /* version */
    if (entry->initrd_bytes > 0) {
        mv_store32(si + 12, 1); /* nr_modules */
        mv_store64(si + 16, MV_X86_PARAMS + PVH_MODULES);
        mv_store64(si + PVH_MODULES, entry->initrd_gpa);
        mv_store64(si + PVH_MODULES + 8, entry->initrd_bytes);
    }
    mv_store64(si + 24, MV_X86_CMDLINE);
    mv_store64(si + 32, request->rsdp_gpa);
    mv_store64(si + 40, MV_X86_PARAMS + PVH_MEMORY_MAP);
    mv_store32(si + 48, count);
    for (unsigned i = 0; i < count; i++) {
        uint8_t *e = si + PVH_MEMORY_MAP + i * PVH_ENTRY_BYTES;
        mv_store64(e, range[i].gpa);
        mv_store64(e + 8, range[i].bytes);
        mv_store32(e + 16, range[i].type);
    }
}

/* ---- all together ---------------------------------------------------------------- */

static int boot_choose(const struct mv_boot_request *request, struct mv_boot_entry *out,
                       microvm_error *err)
{
    const struct mv_kernel *kernel = request->kernel;
    bool pvh = false;
    switch (request->mode) {
    case MV_BOOT_AUTO:
        pvh = kernel->entry_pvh != 0 && !kernel->linux_notes;
        break;
    case MV_BOOT_LINUX:
        break;
    case MV_BOOT_PVH:
        pvh = true;
        break;
    }
    if (pvh && kernel->entry_pvh == 0)
        return mv_fail(err, MICROVM_E_KERNEL,
                       "kernel '%s' has no PVH entry (%s): use boot=auto or boot=linux",
                       kernel->source->name,
                       kernel->format == MV_KERNEL_ELF
                           ? "an ELF kernel needs CONFIG_PVH for it"
                           : "only an ELF vmlinux can have one");
    out->pvh = pvh;
    out->entry_gpa = pvh ? kernel->entry_pvh : kernel->entry64_gpa;
    if (!pvh && !mv_ram_at(request->ram, out->entry_gpa, 1))
        return mv_fail(err, MICROVM_E_KERNEL,
                       "kernel '%s': its 64-bit entry 0x%llx lies outside memory; try "
                       "boot=pvh",
                       kernel->source->name, (unsigned long long)out->entry_gpa);
    return 0;
}

int mv_boot_prepare(const struct mv_boot_request *request, struct mv_boot_entry *out,
                    microvm_error *err)
{
    struct mv_boot_entry entry = {.params_gpa = MV_X86_PARAMS};
    if (request->ram->region[0].size <= MV_X86_KERNEL)
        return mv_fail(err, MICROVM_E_MEMORY, "memory: %llu KiB do not hold a kernel",
                       (unsigned long long)(request->ram->size_bytes >> 10));
    int rc = boot_choose(request, &entry, err);
    if (rc == 0)
        rc = boot_put_cmdline(request, err);
    if (rc == 0 && request->initrd)
        rc = boot_load_initrd(request, &entry, err);
    if (rc)
        return rc;
    boot_put_gdt(request->ram, entry.pvh);
    if (entry.pvh) {
        boot_put_pvh(request, &entry);
    } else {
        boot_put_page_tables(request->ram);
        boot_put_linux(request, &entry);
    }
    *out = entry;
    return 0;
}

static struct mv_x86_segment boot_segment(uint16_t selector, uint8_t type, bool l)
{
    return (struct mv_x86_segment){.limit = 0xffffffff,
                                   .selector = selector,
                                   .type = type,
                                   .present = true,
                                   .s = true,
                                   .g = true,
                                   .l = l,
                                   .db = !l};
}

void mv_boot_cpu(const struct mv_boot_entry *entry, struct mv_x86_cpu *cpu)
{
    enum { CODE = 11, DATA = 3, TSS_BUSY = 11, LDT = 2 };
    enum { CR0_PE = 1 << 0, CR0_ET = 1 << 4, CR0_NE = 1 << 5, CR4_PAE = 1 << 5 };
    const uint64_t cr0_pg = 1u << 31, efer_lme_lma = 0x500;
    *cpu = (struct mv_x86_cpu){
        .rip = entry->entry_gpa,
        .rflags = 2, /* bit 1 is always set; interrupts off */
        .cs = boot_segment(0x10, CODE, !entry->pvh),
        .ds = boot_segment(0x18, DATA, false),
        .tr = {.limit = 0x67, .type = TSS_BUSY, .present = true},
        .ldt = {.type = LDT, .unusable = true},
        .gdt = {.base = MV_X86_GDT, .limit = 0x1f},
        .cr0 = CR0_PE | CR0_ET | CR0_NE,
        .apic_base = MV_X86_LAPIC | 1u << 11 | 1u << 8, /* enabled, boot processor */
        .runnable = MV_CPU_RUNS,
    };
    cpu->es = cpu->fs = cpu->gs = cpu->ss = cpu->ds;
    if (entry->pvh) {
        cpu->gpr[MV_RBX] = entry->params_gpa;
        return;
    }
    cpu->gpr[MV_RSI] = entry->params_gpa;
    cpu->cr0 |= cr0_pg;
    cpu->cr3 = MV_X86_PAGE_TABLES;
    cpu->cr4 = CR4_PAE;
    cpu->efer = efer_lme_lma;
}
