/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * ELF kernels: vmlinux as the kernel's build leaves it, and other kernels with a PVH
 * note. Program headers say what goes where (by physical address), notes which entries
 * there are. Sections and symbols are not looked at.
 */
#include "arch/x86/kernel.h"

#include "arch/x86/layout.h"
#include "util/bytes.h"

enum {
    ELF_HEADER_BYTES = 64,
    ELF_PROGRAM_BYTES = 56,
    ELF_PROGRAMS_MAX = 64,
    ELF_NOTES_MAX = 4096, /* notes of one PT_NOTE that are read; Linux has 500 bytes */

    ELF_CLASS_64 = 2,
    ELF_DATA_LITTLE = 1,
    ELF_TYPE_REL = 1,
    ELF_TYPE_EXEC = 2,
    ELF_TYPE_DYN = 3,
    ELF_TYPE_CORE = 4,
    ELF_MACHINE_X86_64 = 62,

    ELF_PT_LOAD = 1,
    ELF_PT_DYNAMIC = 2,
    ELF_PT_INTERP = 3,
    ELF_PT_NOTE = 4,
    ELF_PT_TLS = 7,

    XEN_ELFNOTE_PHYS32_ENTRY = 18
};

static const char *elf_machine_name(unsigned machine)
{
    switch (machine) {
    case 3:
        return "i386";
    case 8:
        return "mips";
    case 21:
        return "ppc64";
    case 22:
        return "s390";
    case 40:
        return "arm (32-bit)";
    case ELF_MACHINE_X86_64:
        return "x86_64";
    case 183:
        return "arm64";
    case 243:
        return "riscv";
    case 258:
        return "loongarch";
    default:
        return "another processor";
    }
}

static int elf_check_header(const struct mv_kernel_head *head, microvm_error *err)
{
    const uint8_t *h = head->bytes;
    if (head->length < ELF_HEADER_BYTES)
        return mv_kernel_fail(head->source, err,
                              "is an ELF file cut off after %llu bytes: copy it again",
                              (unsigned long long)head->length);
    bool little = h[5] == ELF_DATA_LITTLE;
    unsigned machine = little ? mv_load16(h + 18) : (unsigned)(h[18] << 8 | h[19]);
    unsigned type = little ? mv_load16(h + 16) : (unsigned)(h[16] << 8 | h[17]);
    if (machine != ELF_MACHINE_X86_64)
        return mv_kernel_fail(
            head->source, err,
            "is an ELF file for %s: this machine is x86_64 and needs a "
            "kernel built for it",
            elf_machine_name(machine));
    if (h[4] != ELF_CLASS_64 || !little)
        return mv_kernel_fail(head->source, err,
                              "is a 32-bit or big-endian ELF file: a 64-bit x86_64 "
                              "kernel is needed");
    if (type == ELF_TYPE_REL)
        return mv_kernel_fail(head->source, err,
                              "is a relocatable object (.o, .ko), not a linked kernel: "
                              "give the vmlinux or bzImage");
    if (type == ELF_TYPE_CORE)
        return mv_kernel_fail(head->source, err, "is a core dump, not a kernel");
    if (type != ELF_TYPE_EXEC && type != ELF_TYPE_DYN)
        return mv_kernel_fail(head->source, err,
                              "is an ELF file of type %u, not an executable kernel",
                              type);
    return 0;
}

/* One PT_LOAD. Whether it fits into guest memory is for mv_kernel_load. */
static int elf_add_segment(const struct mv_source *source, const uint8_t *p,
                           struct mv_kernel *out, microvm_error *err)
{
    struct mv_kernel_segment s = {
        .offset = mv_load64(p + 8),
        .gpa = mv_load64(p + 24),
        .file_bytes = mv_load64(p + 32),
        .memory_bytes = mv_load64(p + 40),
    };
    uint64_t end;
    if (s.memory_bytes == 0 && s.file_bytes == 0)
        return 0;
    if (!mv_inside(s.offset, s.file_bytes, 0, source->size_bytes))
        return mv_kernel_fail(source, err,
                              "is truncated: a segment ends at byte %llu, the file has "
                              "%llu; copy it again",
                              (unsigned long long)(s.offset + s.file_bytes),
                              (unsigned long long)source->size_bytes);
    if (s.file_bytes > s.memory_bytes)
        return mv_kernel_fail(
            source, err,
            "is damaged: a segment has more bytes in the file than in "
            "memory");
    if (!mv_add(s.gpa, s.memory_bytes, &end))
        return mv_kernel_fail(source, err,
                              "is damaged: a segment at 0x%llx wraps around the end of "
                              "the address space",
                              (unsigned long long)s.gpa);
    if (out->segments == MV_KERNEL_SEGMENTS_MAX)
        return mv_kernel_fail(source, err,
                              "has more than %d segments: no kernel needs that many",
                              (int)MV_KERNEL_SEGMENTS_MAX);
    for (unsigned i = 0; i < out->segments; i++) {
        const struct mv_kernel_segment *o = &out->segment[i];
        if (mv_overlap(s.gpa, s.memory_bytes, o->gpa, o->memory_bytes))
            return mv_kernel_fail(
                source, err, "is damaged: its segments at 0x%llx and 0x%llx overlap",
                (unsigned long long)o->gpa, (unsigned long long)s.gpa);
    }
    uint64_t start = out->segments ? MV_MIN(out->run_gpa, s.gpa) : s.gpa;
    end = MV_MAX(out->run_gpa + out->run_bytes, end);
    out->run_gpa = start;
    out->run_bytes = end - start;
    out->segment[out->segments++] = s;
    return 0;
}

/* One note: the entry of PVH, or a sign that this is Linux. */
static void elf_take_note(const uint8_t *name, uint32_t name_bytes, uint32_t type,
                          const uint8_t *desc, uint32_t desc_bytes,
                          struct mv_kernel *out)
{
    if (name_bytes == 6 && memcmp(name, "Linux", 6) == 0)
        out->linux_notes = true;
    if (name_bytes == 4 && memcmp(name, "Xen", 4) == 0 &&
        type == XEN_ELFNOTE_PHYS32_ENTRY) {
        /* A pointer of the kernel's size: 8 bytes in Linux, 4 elsewhere. */
        uint64_t entry = desc_bytes == 8   ? mv_load64(desc)
                         : desc_bytes == 4 ? mv_load32(desc)
                                           : 0;
        if (entry <= UINT32_MAX)
            out->entry_pvh = (uint32_t)entry;
    }
}

/* Notes that do not add up end the search; they are hints, not what is run. */
static int elf_read_notes(const struct mv_source *source, const uint8_t *p,
                          struct mv_kernel *out, microvm_error *err)
{
    uint8_t notes[ELF_NOTES_MAX];
    uint64_t offset = mv_load64(p + 8), file_bytes = mv_load64(p + 32);
    if (!mv_inside(offset, file_bytes, 0, source->size_bytes))
        return mv_kernel_fail(source, err,
                              "is truncated: its notes lie past the end of the file; "
                              "copy it again");
    uint64_t length = MV_MIN(file_bytes, sizeof notes);
    int rc = length ? source->read(source->ctx, offset, notes, length, err) : 0;
    if (rc)
        return rc;
    for (uint64_t at = 0; length >= 12 && at <= length - 12;) {
        uint32_t name_bytes = mv_load32(notes + at);
        uint32_t desc_bytes = mv_load32(notes + at + 4);
        uint64_t name = at + 12;
        uint64_t desc = name + mv_align_up(name_bytes, 4);
        uint64_t next = desc + mv_align_up(desc_bytes, 4);
        if (desc + desc_bytes > length)
            break;
        elf_take_note(notes + name, name_bytes, mv_load32(notes + at + 8), notes + desc,
                      desc_bytes, out);
        at = next;
    }
    return 0;
}

static int elf_take_program(const struct mv_source *source, const uint8_t *p,
                            struct mv_kernel *out, microvm_error *err)
{
    switch (mv_load32(p)) {
    case ELF_PT_LOAD:
        return elf_add_segment(source, p, out, err);
    case ELF_PT_NOTE:
        return elf_read_notes(source, p, out, err);
    case ELF_PT_INTERP:
    case ELF_PT_DYNAMIC:
    case ELF_PT_TLS:
        return mv_kernel_fail(source, err,
                              "is a program or a shared library for an operating "
                              "system, not a kernel: give a bzImage or a vmlinux");
    default:
        return 0;
    }
}

/* An entry must be a byte that the file provides. */
static bool elf_entry_loaded(const struct mv_kernel *kernel, uint64_t entry)
{
    for (unsigned i = 0; i < kernel->segments; i++)
        if (mv_inside(entry, 1, kernel->segment[i].gpa, kernel->segment[i].file_bytes))
            return true;
    return false;
}

int mv_elf_parse(const struct mv_kernel_head *head, struct mv_kernel *out,
                 microvm_error *err)
{
    const struct mv_source *source = head->source;
    uint8_t programs[ELF_PROGRAMS_MAX * ELF_PROGRAM_BYTES];
    int rc = elf_check_header(head, err);
    if (rc)
        return rc;
    uint64_t offset = mv_load64(head->bytes + 32);
    unsigned size = mv_load16(head->bytes + 54), count = mv_load16(head->bytes + 56);
    if (count == 0)
        return mv_kernel_fail(source, err,
                              "is an ELF file without program headers: nothing in it "
                              "can be loaded (give the vmlinux itself, not a part)");
    if (size != ELF_PROGRAM_BYTES || count > ELF_PROGRAMS_MAX)
        return mv_kernel_fail(source, err,
                              "is a damaged ELF file: %u program headers of %u bytes",
                              count, size);
    uint64_t bytes = (uint64_t)count * ELF_PROGRAM_BYTES;
    if (!mv_inside(offset, bytes, 0, source->size_bytes))
        return mv_kernel_fail(source, err,
                              "is truncated: its program headers lie past the end of "
                              "the file; copy it again");
    rc = source->read(source->ctx, offset, programs, bytes, err);
    for (unsigned i = 0; rc == 0 && i < count; i++)
        rc = elf_take_program(source, programs + i * ELF_PROGRAM_BYTES, out, err);
    if (rc)
        return rc;
    if (out->segments == 0)
        return mv_kernel_fail(source, err,
                              "is an ELF file without loadable segments, not a kernel");
    out->format = MV_KERNEL_ELF;
    out->entry64_gpa = mv_load64(head->bytes + 24);
    out->initrd_max = MV_X86_HOLE - 1;
    out->cmdline_max = MV_CMDLINE_MAX;
    if (!elf_entry_loaded(out, out->entry_pvh))
        out->entry_pvh = 0;
    if (!elf_entry_loaded(out, out->entry64_gpa) && !out->entry_pvh)
        return mv_kernel_fail(source, err,
                              "is damaged: its entry point 0x%llx lies in none of its "
                              "segments",
                              (unsigned long long)out->entry64_gpa);
    return 0;
}
